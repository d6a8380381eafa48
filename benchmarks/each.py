"""The each suite: steps of each example beside shared steps, in CPU time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.flows.cnf import CNFLayer
from tfcnf.ode.dynamics import ConvDynamics
from tfcnf.types import Control, On

SHAPE, FILTERS = (8, 8, 1), (32, 32)
SMOOTH, STIFF = -1.0, 1.6  # contexts: an example takes one step, or about ten
TOL, ENLARGED = 1e-5, 2.0
BATCHES: tuple[dict[str, Any], ...] = (
    {"name": "homogeneous", "size": 128, "stiff": 0.0},
    {"name": "homogeneous", "size": 1000, "stiff": 0.0},
    {"name": "one in ten stiff", "size": 128, "stiff": 0.1},
)


def run(log: Callable[[str], None], rounds: int = 3) -> dict[str, Any]:
    """CPU seconds and evaluations of both kinds of steps for each batch.

    Args:
        log: takes a line of progress.
        rounds: timings of each, which take turns, after one that is not counted.
    """
    layer = _layer()
    solves = {"shared": _solve(layer, None), "each": _solve(layer, On())}
    cases = []
    for batch in BATCHES:
        rng = np.random.default_rng(0)
        x = tf.constant(rng.normal(size=(batch["size"], *SHAPE)), tf.float32)
        stiff = np.arange(batch["size"]) < batch["stiff"] * batch["size"]
        context = tf.constant(np.where(stiff, STIFF, SMOOTH)[:, None], tf.float32)
        case: dict[str, Any] = batch | {"nfe": {}, "cpu": {name: [] for name in solves}}
        for name, solve in solves.items():
            nfe = solve(x, context).numpy().ravel()
            case["nfe"][name] = [float(nfe.min()), float(nfe.mean()), float(nfe.max())]
        for _ in range(rounds):
            for name, solve in solves.items():
                before = time.process_time()
                solve(x, context)
                case["cpu"][name].append(time.process_time() - before)
        log(f"{case}")
        cases.append(case)
    return {"tol": TOL, "cases": cases}


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each batch: evaluations, medians and their ratio."""
    rows = []
    for case in results["cases"]:
        row = {"batch": case["name"], "size": case["size"]}
        for name, seconds in case["cpu"].items():
            row[f"{name}_nfe"] = case["nfe"][name][1]
            row[f"{name}_cpu_s"] = statistics.median(seconds)
        rows.append(row | {"ratio": row["each_cpu_s"] / row["shared_cpu_s"]})
    return rows


def _layer() -> CNFLayer:
    """A layer with enlarged weights, whose context says how much examples move."""
    dynamics = ConvDynamics(FILTERS, time="concatsquash", context_dims=1, seed=0)
    layer = CNFLayer(dynamics, seed=0)
    layer.build((None, *SHAPE))
    for row in dynamics.stack:
        row["kernel"].assign(ENLARGED * row["kernel"])
        row["context_gate"].assign(tf.ones_like(row["context_gate"]))
    return layer


def _solve(layer: CNFLayer, each: On | None) -> Callable[..., Any]:
    """A graph of a solve that gives the evaluations."""

    @tf.function(autograph=False)
    def solve(x: Any, context: Any) -> Any:
        seed = tf.constant([0, 1])
        control = Control(tf.constant(TOL), seed=seed, context=context, each=each)
        out = layer(x, control=control)
        with tf.control_dependencies([out.z, out.log_det]):
            return tf.identity(out.nfe)

    return solve
