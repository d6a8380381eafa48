"""The gpu suite: a training step by precision, with XLA and without, on one to N GPUs.

Nothing of this package was ever timed on a GPU; this is the one command that does it.
Where there is no GPU it runs on the CPU, and several devices are logical ones, which
share its cores.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from benchmarks.modules import answer

SIZES: dict[str, dict[str, Any]] = {  # the papers' networks, and the digits'
    "28x28x1": {"event_shape": (28, 28, 1), "batch": 64, "options": {}},
    "32x32x3": {"event_shape": (32, 32, 3), "batch": 64, "options": {}},
    "8x8x1": {
        "event_shape": (8, 8, 1),
        "batch": 128,
        "options": {
            "num_levels": 17,
            "num_scales": 2,
            "flows_per_block": 1,
            "filters": 32,
            "hidden_layers": 2,
            "alpha": 0.05,
        },
    },
}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
ONE = {
    f"{dtype}{', XLA' if compiled else ''}": {"dtype": dtype, "compiled": compiled}
    for compiled in (False, True)
    for dtype in PRECISIONS
}
BASE = "float32"
Log = Callable[[str], None]


def cases() -> dict[str, dict[str, Any]]:
    """The cases by name; those of several devices as many as there are."""
    found = {name: case | {"devices": 1} for name, case in ONE.items()}
    for count in range(2, max(2, len(tf.config.list_physical_devices("GPU"))) + 1):
        found[f"{BASE}, {count} devices"] = ONE[BASE] | {"devices": count}
    return found


def run(
    log: Log,
    *,
    sizes: Sequence[str] = tuple(SIZES),
    contenders: Sequence[str] = (),
    rounds: int = 3,
    batch: int | None = None,
) -> dict[str, Any]:
    """Seconds of the steps of each case, each in a process of its own.

    Args:
        log: takes a line of progress.
        sizes: names, see `SIZES`.
        contenders: names of cases, see `cases`; all if empty.
        rounds: steps that are timed.
        batch: images of a device; each size's own if None.
    """
    rows = []
    for size in sizes:
        given = {"batch": batch} if batch else {}
        for name, case in cases().items():
            if contenders and name not in contenders:
                continue
            asked = SIZES[size] | case | given | {"steps": rounds}
            row = {"size": size, "contender": name}
            row |= {key: asked[key] for key in ("batch", "devices")}
            try:
                row |= answer("gpu_step", json.dumps(asked))
            except subprocess.CalledProcessError as error:
                lines = error.stderr.strip().splitlines() or ["no message"]
                row["skipped"] = lines[-1]
            rows.append(row)
            log(str(row))
    return {"rows": rows}


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each size and case; medians of seconds.

    ``ratio`` and ``cpu_ratio`` are the time by the clock and of the CPU for an image
    over that of float32 on one device.
    """
    timed = [row for row in results["rows"] if "skipped" not in row]
    means = {(row["size"], row["contender"]): _medians(row) for row in timed}
    summary = []
    for row in timed:
        images = row["batch"] * row["devices"]
        wall, cpu = means[row["size"], row["contender"]]
        entry = {key: row[key] for key in ("size", "contender", "device")}
        entry |= {"images": images, "nfe": row["nfe_forward"] + row["nfe_backward"]}
        entry |= {"first_s": row["first"][0], "step_s": wall, "step_cpu_s": cpu}
        entry["images_per_s"] = images / wall
        base = means.get((row["size"], BASE))
        if base:
            entry["ratio"] = wall / base[0] / row["devices"]
            entry["cpu_ratio"] = cpu / base[1] / row["devices"]
        summary.append(entry | {"peak_gib": row["peak_gib"]})
    return summary


def _medians(row: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a step by the clock and of the CPU."""
    wall, cpu = zip(*row["steps"], strict=True)
    return statistics.median(wall), statistics.median(cpu)
