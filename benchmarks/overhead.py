"""Costs of a solve beyond its evaluations, and of one beyond its convolutions.

    python -m benchmarks.overhead ARRAYS.npz SIZE TOL ROUNDS

prints a line of JSON for one CNF: the median seconds of a forward solve, of one
evaluation of value and divergence in a tight loop, and of the convolutions alone (z
and noise as one batch, the same kernels), each timed in turns.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.network import Size
from benchmarks.tfcnf_contender import TfcnfContender
from tfcnf.ode.trace import Probes, value_and_divergence
from tfcnf.types import Tensor

REPEATS = 8  # evaluations of a tight loop


def measure(contender: TfcnfContender, rounds: int) -> dict[str, float]:
    """Median seconds: ``"solve"``, ``"evaluation"``, ``"convolutions"``; ``"nfe"``."""
    x, dynamics = contender.x, contender.dynamics[0]
    probes = Probes(contender.noise[0][None], tf.ones([], x.dtype))

    @tf.function(autograph=False)
    def evaluations() -> Tensor:
        field, theta = dynamics.prepare()

        def body(i: Tensor, z: Tensor, total: Tensor) -> Any:
            t = tf.cast(i, z.dtype) / REPEATS
            dz, divergence = value_and_divergence(field, theta, t=t, z=z, probes=probes)
            return i + 1, z + 0.1 * dz, total + divergence

        start = (tf.constant(0), x, tf.zeros(x.shape[:1], x.dtype))
        return tf.while_loop(lambda i, *_: i < REPEATS, body, start)[1:]

    both = tf.concat([x, contender.noise[0]], 0)
    _, theta = dynamics.prepare()
    inputs = [both]
    for kernel in theta[::3]:
        inputs.append(_convolve(inputs[-1], kernel))

    @tf.function(autograph=False)
    def convolutions() -> list[Tensor]:
        pairs = zip(inputs, theta[::3], strict=False)
        return [_convolve(value, kernel) for value, kernel in pairs]

    seconds: dict[str, list[float]] = {}
    nfe = contender.forward()[2]
    for _ in range(rounds + 1):  # the first one traces
        for name, function in [
            ("solve", contender.forward),
            ("evaluation", evaluations),
            ("convolutions", convolutions),
        ]:
            seconds.setdefault(name, []).append(_seconds(function))
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    medians["evaluation"] /= REPEATS
    return medians | {"nfe": nfe}


def _convolve(x: Tensor, kernel: Tensor) -> Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    tf.nest.map_structure(np.asarray, function())
    return time.perf_counter() - start


def main(path: str, size: str, tol: str, rounds: str) -> None:
    """Prints the figures of one CNF."""
    with np.load(path) as arrays:
        contender = TfcnfContender(
            Size(*json.loads(size)), dict(arrays), tol=float(tol)
        )
    print(json.dumps(measure(contender, int(rounds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
