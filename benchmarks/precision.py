"""The precision suite: half precision in the dynamics, its noise and its CPU time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.flows.cnf import CNFLayer
from tfcnf.models.infocnf import InfoCNF
from tfcnf.ode.dynamics import ConvDynamics, DenseDynamics
from tfcnf.types import Control

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
TOLS = (1e-3, 1e-4, 1e-5)
EXACT_TOL, ENLARGED = 1e-10, 2.0
FIELDS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]] = {
    "convolutions, 8x8x1": (ConvDynamics, (32, 32), (8, 8, 1)),
    "convolutions, 14x14x1": (ConvDynamics, (64, 64, 64), (14, 14, 1)),
    "dense, 13": (DenseDynamics, (64, 64, 64), (13,)),
}
EXAMPLES, BATCH = 16, 32
IMAGES = ((28, 28, 1), (32, 32, 3))
STEP: dict[str, Any] = {
    "filters": 64,
    "hidden_layers": 3,
    "num_scales": 1,
    "flows_per_block": 1,
    "tol": 1e-2,  # above the noise of bfloat16
}


def run(log: Callable[[str], None], rounds: int = 3) -> dict[str, Any]:
    """Evaluations and errors of solves, and CPU seconds of training steps.

    Args:
        log: takes a line of progress.
        rounds: timings of each step, which take turns, after one that is not counted.
    """
    noise = [row for name in FIELDS for row in _noise(name, log)]
    return {"noise": noise, "steps": [_steps(s, rounds, log) for s in IMAGES]}


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of noise, and for each network and policy the median and its ratio."""
    rows = list(results["noise"])
    for case in results["steps"]:
        medians = {name: statistics.median(x) for name, x in case["cpu"].items()}
        for name, seconds in medians.items():
            row = {"shape": case["shape"], "policy": name, "step_cpu_s": seconds}
            rows.append(row | {"ratio": seconds / medians["float32"]})
    return rows


def _noise(name: str, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Evaluations and errors of the log-determinant against float64, by policy."""
    kind, hidden, shape = FIELDS[name]
    x = np.random.default_rng(0).normal(size=(EXAMPLES, *shape))
    weights: list[Any] = []

    def solve(policy: str, tol: float) -> Any:
        dynamics = kind(hidden, seed=0, dtype=policy)
        state = "float64" if policy == "float64" else "float32"
        layer = CNFLayer(dynamics, seed=0, dtype=state)
        layer.build((None, *shape))
        weights[:] = weights or [ENLARGED * w for w in dynamics.get_weights()]
        dynamics.set_weights(weights)
        control = Control(tf.constant(tol, state), seed=tf.constant([0, 1]))
        return layer(tf.constant(x, state), control=control)

    truth = solve("float64", EXACT_TOL).log_det.numpy()
    rows = []
    for policy in POLICIES:
        for tol in TOLS:
            out = solve(policy, tol)
            error = float(np.sqrt(np.mean((out.log_det.numpy() - truth) ** 2)))
            row = {"field": name, "policy": policy, "tol": tol}
            rows.append(row | {"nfe": int(out.nfe[0]), "log_det_rms_error": error})
            log(f"{rows[-1]}")
    return rows


def _steps(
    shape: tuple[int, int, int], rounds: int, log: Callable[[str], None]
) -> dict[str, Any]:
    """CPU seconds of training steps of a network of the papers by policy."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (BATCH, *shape)).astype(np.uint8)
    y = rng.integers(0, 10, BATCH)
    models = {}
    for policy in POLICIES[:2]:
        model = InfoCNF(shape, 10, num_levels=256, seed=0, dtype=policy, **STEP)
        model.compile(keras.optimizers.Adam(1e-3))
        model.train_on_batch(x, y)
        models[policy] = model
    cpu: dict[str, list[float]] = {policy: [] for policy in models}
    for _ in range(rounds):
        for policy, model in models.items():
            before = time.process_time()
            model.train_on_batch(x, y)
            cpu[policy].append(time.process_time() - before)
    log(f"{shape}: {cpu}")
    return {"shape": "x".join(map(str, shape)), "cpu": cpu}
