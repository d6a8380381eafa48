"""Conditional densities of tables: tfcnf beside zuko and a linear Gaussian.

Each contender has the same rows, batches, limit of steps, patience and grid of learning
rates; the rate is the one that the validation rows of the first seed prefer. What is
reported is of the test rows, which choose nothing.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.table_data import TABLES

CONTENDERS = ("tfcnf", "zuko cnf", "zuko nsf", "gaussian")
RATES = (1e-3, 3e-3, 1e-2)
LIMIT = 3_600  # seconds for one fit
Log = Callable[[str], None]


def run(
    log: Log,
    *,
    tables: Sequence[str] = tuple(TABLES),
    contenders: Sequence[str] = CONTENDERS,
    seeds: int = 3,
) -> dict[str, Any]:
    """Test measures of each contender on each table, for some seeds.

    Args:
        log: takes a line of progress.
        tables: names, see `benchmarks.table_data.TABLES`.
        contenders: names, see `CONTENDERS`.
        seeds: number of splits, initial weights and orders of the batches.
    """
    fits = []
    for table in tables:
        tuned: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for rate in RATES:
            for name in contenders:
                if name != "gaussian" or rate == RATES[0]:
                    tuned[name].append(_fit(name, table, 0, rate, log))
        best = {name: _best(found) for name, found in tuned.items()}
        fits += [fit for found in tuned.values() for fit in found if "skipped" in fit]
        chosen = {name: fit for name, fit in best.items() if fit}
        fits += list(chosen.values())
        for seed in range(1, seeds):
            for name, fit in chosen.items():
                fits.append(_fit(name, table, seed, fit["rate"], log))
    return {"rates": RATES, "seeds": seeds, "fits": fits}


def _best(fits: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The fit of the rate that the validation rows prefer, or None."""
    done = [fit for fit in fits if "skipped" not in fit]
    return min(done, key=lambda fit: fit["valid_nll"]) if done else None


def _fit(name: str, table: str, seed: int, rate: float, log: Log) -> dict[str, Any]:
    """One fit in a process of its own; why it is skipped if it does not end well."""
    command = [sys.executable, "-m", "benchmarks.table_worker"]
    command += [name, table, str(seed), str(rate)]
    fit = {"contender": name, "table": table, "seed": seed, "rate": rate}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines()
        last = lines[-1] if lines else "no message"
        fit |= json.loads(last) if done.returncode == 0 else {"skipped": last}
    except subprocess.TimeoutExpired:
        fit["skipped"] = f"no end within {LIMIT} s"
    log(str(fit))
    return fit


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each table and contender: mean and deviation over the seeds.

    ``ratio`` is the time of training over that of ``zuko cnf``, medians of both.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for fit in results["fits"]:
        if "skipped" not in fit:
            groups.setdefault((fit["table"], fit["contender"]), []).append(fit)
    seconds = {
        key: statistics.median(fit["seconds"] for fit in fits)
        for key, fits in groups.items()
    }
    rows = []
    for (table, contender), fits in groups.items():
        found = [fit["test_nll"] for fit in fits]
        peer = seconds.get((table, "zuko cnf"))
        rows.append(
            {
                "table": table,
                "contender": contender,
                "rate": fits[0]["rate"],
                "parameters": fits[0].get("parameters"),
                "test_nll": statistics.mean(found),
                "deviation": statistics.stdev(found) if len(found) > 1 else None,
                "seconds": seconds[table, contender],
                "ratio": seconds[table, contender] / peer if peer else None,
            }
        )
    return rows
