"""The start suite: from process start to the first completed training step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from benchmarks.modules import answer

CIFAR10 = {"batch": 16, "event_shape": [32, 32, 3]}
CASES = {
    "digits, 3 CNFs, batch 128": {
        "batch": 128,
        "event_shape": [8, 8, 1],
        "num_levels": 17,
        "num_scales": 2,
        "flows_per_block": 1,
        "filters": 32,
        "hidden_layers": 2,
    },
    "CIFAR10, 14 CNFs, batch 16": CIFAR10,
    "CIFAR10, 28 CNFs, batch 16": CIFAR10 | {"flows_per_block": 4},
}


def run(log: Callable[[str], None]) -> dict[str, Any]:
    """Seconds after process start at which each stage was done, by case."""
    results = {}
    for name, keywords in CASES.items():
        results[name] = answer("first_step", time.time(), json.dumps(keywords))
        log(f"{name}: {results[name]}")
    return results


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Seconds of each stage by itself, and to the first step."""
    summary = []
    for name, stages in results.items():
        row: dict[str, Any] = {"case": name, "to_first_step_s": stages["first_step"]}
        before = 0.0
        for stage in ("import", "build", "trace", "first_step", "second_step"):
            row[f"{stage}_s"] = stages[stage] - before
            before = stages[stage]
        summary.append(row | {"peak_gib": stages["peak_gib"]})
    return summary
