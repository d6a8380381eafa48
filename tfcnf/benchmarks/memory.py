"""The memory suite: peak resident memory against the number of steps taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tfcnf.ode.adjoint import GRADIENTS

ENDS = (6, 40, 100)  # times to which is solved: longer solves take more steps


def run(log: Callable[[str], None]) -> dict[str, Any]:
    """Steps and peak memory in GiB for each gradient and end."""
    results: dict[str, Any] = {}
    for gradient in GRADIENTS:
        results[gradient] = []
        for end in ENDS:
            module = [sys.executable, "-m", "tfcnf.benchmarks.one_solve"]
            output = subprocess.run(
                [*module, gradient, str(end)],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
            ).stdout
            row = {"end": end} | json.loads(output.strip().splitlines()[-1])
            results[gradient].append(row)
            log(f"{gradient}: {row}")
    return results


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each solve."""
    return [
        {"gradient": gradient} | row
        for gradient, rows in results.items()
        for row in rows
    ]
