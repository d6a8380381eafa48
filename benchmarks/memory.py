"""The memory suite: peak resident memory against the number of steps taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.modules import answer
from tfcnf.ode.gradient import Gradient

TOLS = (1e-1, 1e-8, 5e-11)  # tighter solves take more steps


def run(log: Callable[[str], None]) -> dict[str, Any]:
    """Steps and peak memory in GiB for each gradient and tolerance."""
    results: dict[str, Any] = {}
    for gradient in Gradient.known:
        results[gradient] = []
        for tol in TOLS:
            row = {"tol": tol} | answer("one_solve", gradient, tol)
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
