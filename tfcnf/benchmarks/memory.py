"""The memory suite: peak resident memory against the number of steps taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tfcnf.ode.adjoint import GRADIENTS

TOLS = (1e-1, 1e-8, 5e-11)  # tighter solves take more steps


def run(log: Callable[[str], None]) -> dict[str, Any]:
    """Steps and peak memory in GiB for each gradient and tolerance."""
    results: dict[str, Any] = {}
    for gradient in GRADIENTS:
        results[gradient] = []
        for tol in TOLS:
            module = [sys.executable, "-m", "tfcnf.benchmarks.one_solve"]
            output = subprocess.run(
                [*module, gradient, str(tol)],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
            ).stdout
            row = {"tol": tol} | json.loads(output.strip().splitlines()[-1])
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
