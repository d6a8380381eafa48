"""The benchmark suites by name, and the file that each leaves."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    each,
    gpu,
    hostile,
    machine,
    memory,
    precision,
    serve,
    solver,
    start,
    step,
    tables,
    train,
)
from tfcnf.checks import check_choice
from tfcnf.files import write_json

SUITES: dict[str, Any] = {  # each with its own `run` and `summarise`
    "solver": solver,
    "step": step,
    "train": train,
    "start": start,
    "memory": memory,
    "serve": serve,
    "hostile": hostile,
    "tables": tables,
    "gpu": gpu,
    "each": each,
    "precision": precision,
}


def run(
    suite: str,
    out: str,
    *,
    sizes: Sequence[str] = (),
    rounds: int = 3,
    checkpoint: str | None = None,
    contenders: Sequence[str] = (),
    budget: float = 3600.0,
    batch: int | None = None,
) -> None:
    """Runs a suite and writes its results, the machine described, to a JSON file.

    Args:
        suite: one of `SUITES`.
        out: the file; an existing one is refused.
        sizes: numbers of the sizes of the step suite, names of tables, or of the
            sizes of the train and gpu suites; all if empty, of train the digits.
        rounds: timings of each contender; seeds of the tables suite.
        checkpoint: run folder of trained flows, for solver, step, serve and hostile.
        contenders: names of the contenders of the step, train and tables suites, or of
            the cases of the gpu suite; all if empty.
        budget: CPU seconds of each training of the train suite.
        batch: images of a device in the gpu suite; each size's own if None.

    Raises:
        ValueError: if the file exists, or a size or contender is not known.
    """
    path = Path(out)
    if path.exists():
        raise ValueError(f"the file exists; choose another. Received: out={out!r}")
    begin = time.time()
    names = functools.partial(_named, "contenders", contenders)
    options: dict[str, Any] = {}
    if suite == "solver":
        options = {"checkpoint": checkpoint}
    elif suite == "step":
        options = {
            "sizes": _choose(sizes),
            "contenders": names((*step.OURS, *step.PEERS)),
            "rounds": rounds,
            "checkpoint": checkpoint,
        }
    elif suite == "train":
        options = {
            "sizes": _named("sizes", sizes, train.SIZES) if sizes else ("digits",),
            "contenders": names(train.CONTENDERS),
            "budget": budget,
            "folder": path.with_name(f"{path.stem}.trainings"),
        }
    elif suite == "gpu":
        options = {
            "sizes": _named("sizes", sizes, gpu.SIZES),
            "contenders": names(gpu.cases()),
            "rounds": rounds,
            "batch": batch,
        }
    elif suite == "tables":
        options = {
            "tables": _named("sizes", sizes, tables.TABLES),
            "contenders": names(tables.CONTENDERS),
            "seeds": rounds,
            "kept": path.with_name(f"{path.stem}.fits.json"),
        }
    elif suite == "serve":
        options = {"workdir": checkpoint, "rounds": rounds}
    elif suite == "hostile":
        options = {"workdir": checkpoint}
    elif suite in ("each", "precision"):
        options = {"rounds": rounds}
    results = SUITES[suite].run(log=_log, **options)
    summary = SUITES[suite].summarise(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "suite": suite,
        "command": " ".join(sys.argv),
        "seconds": time.time() - begin,
        "machine": machine.describe(),
    }
    write_json(path, record | {"summary": summary, "results": results})
    _log(f"wrote {path}")


def _named(what: str, names: Sequence[str], known: Iterable[str]) -> Sequence[str]:
    """The names that were given, or all."""
    for name in names:
        check_choice(what, name, known)
    return names or tuple(known)


def _choose(sizes: Sequence[str]) -> Sequence[step.Size]:
    known = range(len(step.SIZES))
    if not all(text.isdigit() and int(text) in known for text in sizes):
        raise ValueError(
            f"sizes must be numbers from 0 to {len(known) - 1}. "
            f"Received: sizes={list(sizes)}"
        )
    return [step.SIZES[int(text)] for text in sizes] or step.SIZES


def _log(line: str) -> None:
    print(line, flush=True)
