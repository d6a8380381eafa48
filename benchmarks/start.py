"""The start suite: from process start to the first completed training step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from benchmarks.modules import answer

CIFAR10 = {"batch": 16, "event_shape": [32, 32, 3]}
CASES = {
    "13 numbers, 2 CNFs, batch 100": {
        "batch": 100,
        "event_shape": [13],
        "labels": 3,
        "filters": 32,
        "hidden_layers": 2,
    },
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
STAGES = ("import", "build", "trace", "first_step", "second_step")


def run(log: Callable[[str], None]) -> dict[str, Any]:
    """Figures of `benchmarks.first_step`, by case."""
    results = {}
    for name, keywords in CASES.items():
        results[name] = answer("first_step", time.time(), json.dumps(keywords))
        log(f"{name}: {results[name]}")
    return results


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Wall and CPU seconds of each stage by itself, and to the first step; sizes."""
    summary = []
    for name, stages in results.items():
        row: dict[str, Any] = {
            "case": name,
            "to_first_step_s": stages["first_step"],
            "to_first_step_cpu_s": stages["first_step_cpu"],
        }
        for suffix in ("", "_cpu"):
            before = 0.0
            for stage in STAGES:
                row[f"{stage}{suffix}_s"] = stages[stage + suffix] - before
                before = stages[stage + suffix]
        graph = stages["graph"]
        row |= {"nodes": graph["nodes"], "functions": graph["functions"]}
        row |= {f"nodes_{room}": count for room, count in graph["rooms"].items()}
        summary.append(row | {"peak_gib": stages["peak_gib"]})
    return summary
