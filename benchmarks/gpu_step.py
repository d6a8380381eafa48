"""Training steps of InfoCNF on the devices of this machine, in a fresh process.

    python -m benchmarks.gpu_step CASE

CASE is the JSON of the keywords of `measure`. It prints a line of JSON with seconds by
the clock and of the CPU. The examples are noise, so that no data set is needed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfcnf
from tfcnf.training.accumulation import make_step
from tfcnf.training.strategy import distribute, get_strategy, split_cpu, start_faster

TOL = 1e-3  # the tightest that bfloat16 has a use for


def measure(
    *,
    event_shape: Sequence[int],
    batch: int,
    dtype: str,
    compiled: bool,
    devices: int,
    steps: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Seconds of the first step, tracing and compilation included, and of others.

    Args:
        event_shape: ``(H, W, C)``.
        batch: images of a device.
        dtype: Keras' policy.
        compiled: whether XLA compiles the step.
        devices: GPUs, or logical CPUs where there is none.
        steps: steps that are timed.
        options: other keywords of `tfcnf.InfoCNF`.

    Raises:
        ValueError: for more devices than there are.
    """
    _use(devices)
    start_faster()
    strategy = get_strategy("mirrored" if devices > 1 else "one_device")
    with strategy.scope():
        model = tfcnf.InfoCNF(event_shape, seed=0, dtype=dtype, tol=TOL, **options)
        adam: Any = keras.optimizers.Adam(1e-4)
        if dtype == "mixed_float16":
            adam = keras.optimizers.LossScaleOptimizer(adam)
        model.compile(adam, jit_compile=compiled)
    step = make_step(model, strategy)
    rng = np.random.default_rng(0)
    x = rng.integers(0, model.num_levels, (devices * batch, *event_shape))
    y = rng.integers(0, model.labels[0].num_classes, devices * batch)
    parts = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch)
    data = next(iter(distribute(strategy, lambda: parts)))
    metrics = {metric.name: metric for metric in model.metrics}
    times = []
    for _ in range(1 + steps):
        wall, cpu = time.perf_counter(), time.process_time()
        step(data)
        loss = float(metrics["loss"].result())  # waits for the device
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    names = "nfe_forward", "nfe_backward"
    return {
        "first": times[0],
        "steps": times[1:],
        "loss": loss,
        **{name: float(metrics[name].result()) for name in names},
        "device": strategy.extended.worker_devices[0],
        "peak_gib": _peak(),
    }


def _use(devices: int) -> None:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        split_cpu(devices)
    elif devices > len(gpus):
        raise ValueError(f"there are {len(gpus)} GPUs. Received: devices={devices}")
    else:
        tf.config.set_visible_devices(gpus[:devices], "GPU")


def _peak() -> float | None:
    """Peak memory of the first GPU; None without one."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
