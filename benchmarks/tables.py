"""Conditional densities of tables: tfcnf beside zuko and a linear Gaussian.

Each contender has the same rows, batches, patience, limits of steps and CPU time, and
grid of learning rates; the rate is the one that the validation rows of the first seed
prefer. What is reported is of the test rows, which choose nothing. A fit has a process
and one thread of its own, the contenders take turns, and their times are CPU seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import modules
from benchmarks.table_data import TABLES
from benchmarks.table_worker import LIMIT
from tfcnf.files import write_json

CONTENDERS = ("tfcnf", "zuko cnf", "zuko cnf 1e-3", "zuko nsf", "gaussian")
RATES = (1e-3, 5e-3)
MOST = 7_200  # seconds by the clock for one process
Log = Callable[[str], None]
Fit = dict[str, Any]


def run(
    log: Log,
    *,
    tables: Sequence[str] = tuple(TABLES),
    contenders: Sequence[str] = CONTENDERS,
    seeds: int = 3,
    kept: Path | None = None,
) -> dict[str, Any]:
    """Test measures of each contender on each table, for some seeds.

    Args:
        log: takes a line of progress.
        tables: names, see `benchmarks.table_data.TABLES`.
        contenders: names, see `CONTENDERS`.
        seeds: number of splits, initial weights and orders of the batches.
        kept: JSON file with the fits that were done; those in it are not done again.
    """
    done: list[Fit] = json.loads(kept.read_text()) if kept and kept.exists() else []
    fits: list[Fit] = []
    for seed in range(seeds):
        for table in tables:
            for name in contenders:
                key = {"contender": name, "table": table, "seed": seed}
                fit = _find(done, key)
                if not fit:
                    first = _find(fits, key | {"seed": 0})
                    if first and "skipped" in first:
                        continue
                    rates = [first["rate"]] if first and "rate" in first else RATES
                    fit = key | _fit(name, table, seed, rates)
                    log(str({k: v for k, v in fit.items() if k != "curve"}))
                    done.append(fit)
                    if kept:
                        kept.parent.mkdir(parents=True, exist_ok=True)
                        write_json(kept, done)
                fits.append(fit)
    return {"rates": RATES, "limit": LIMIT, "seeds": seeds, "fits": fits}


def _find(fits: Sequence[Fit], key: Fit) -> Fit | None:
    """The fit of a contender, a table and a seed, or None."""
    return next((fit for fit in fits if fit.items() >= key.items()), None)


def _fit(name: str, table: str, seed: int, rates: Sequence[float]) -> Fit:
    """A process of its own; why it is skipped if it does not end well."""
    command = [sys.executable, "-m", "benchmarks.table_worker"]
    command += [name, table, str(seed), ",".join(map(str, rates))]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=MOST,
            check=False,
            env=os.environ | modules.ONE_THREAD,
        )
    except subprocess.TimeoutExpired:
        return {"skipped": f"no end within {MOST} s"}
    lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines()
    last = lines[-1] if lines else "no message"
    found: Fit = json.loads(last) if done.returncode == 0 else {"skipped": last}
    return found


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each table and contender: mean and deviation over the seeds.

    ``cpu_s`` are CPU seconds of training, ``start_s`` those of imports and tracing.
    ``reach_s`` are those until the validation rows are as likely as to the best weights
    of ``zuko cnf``, and ``ratio`` is them over the seconds that ``zuko cnf`` took; all
    are medians over the seeds. ``cut`` is the number of trainings that the limit ended.
    ``50 %``, ``80 %`` and ``95 %`` are mean coverages in percent; ``outside`` counts
    those, of all levels and seeds, that chance does not allow in 95 % of right models.
    """
    fits = [fit for fit in results["fits"] if "skipped" not in fit]
    groups: dict[tuple[str, str], list[Fit]] = {}
    for fit in fits:
        groups.setdefault((fit["table"], fit["contender"]), []).append(fit)
    rows = []
    for (table, contender), group in groups.items():
        found = [fit["test_nll"] for fit in group]
        reached = [_reach(fit, fits) for fit in group]
        rows.append(
            {
                "table": table,
                "contender": contender,
                "rate": group[0].get("rate"),
                "parameters": group[0].get("parameters"),
                "test_nll": statistics.mean(found),
                "deviation": statistics.stdev(found) if len(found) > 1 else None,
                "cpu_s": _median([fit["seconds"] for fit in group]),
                "start_s": _median([fit.get("start") for fit in group]),
                "reach_s": _median([own for own, _ in reached]),
                "ratio": _median(
                    [own / peer if own else None for own, peer in reached]
                ),
                "cut": sum(fit.get("cut", False) for fit in group),
                **_coverages([fit["coverage"] for fit in group]),
            }
        )
    return rows


def _coverages(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean coverages, and the number of those outside of what chance allows."""
    levels = ("50 %", "80 %", "95 %")
    outside = sum(
        not one[f"{level}/low"] <= one[f"{level}/coverage"] <= one[f"{level}/high"]
        for one in found
        for level in levels
    )
    means = {
        level: 100 * statistics.mean(one[f"{level}/coverage"] for one in found)
        for level in levels
    }
    return means | {"outside": outside}


def _reach(fit: Fit, fits: Sequence[Fit]) -> tuple[float | None, float]:
    """CPU seconds in which a fit is as good as zuko's CNF, and in which that is."""
    key = {name: fit[name] for name in ("table", "seed")}
    peer = _find(fits, key | {"contender": "zuko cnf"})
    if not peer or "curve" not in fit:
        return None, 1.0
    seconds, best = peer["curve"][-1]
    return next((s for s, nll in fit["curve"] if nll <= best), None), seconds


def _median(values: Sequence[float | None]) -> float | None:
    """The median; None where a value is missing."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None
