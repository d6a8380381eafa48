"""The records of a run as reports read them, checked for what reports show of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.data.arrays import ArrayFile
from tfcnf.records import Record, check_record, damaged, read_lines, read_record
from tfcnf.tasks import Task

MODELS = {  # key of a configuration -> class
    "infocnf": "InfoCNF",
    "ccnf": "CCNF",
    "cnf": "CNF",
    "latent_ode": "LatentODE",
}
STEP = {"step": int, "nfe_forward": float, "nfe_backward": float}
EPOCH = STEP | {"epoch": int, "seconds": float}
COUNTS = ("draws", "num_examples", "num_parameters", "epoch")
TEXTS = ("dtype", "chosen_by")


def read_steps(folder: Path) -> list[Record]:
    """The lines of ``steps.jsonl``.

    Raises:
        ValueError: naming the line that is damaged; so do the others name their file.
    """
    return read_lines(folder / "steps.jsonl", STEP, float)


def read_epochs(folder: Path) -> list[Record]:
    """The lines of ``metrics.jsonl``, one at least."""
    path = folder / "metrics.jsonl"
    lines = read_lines(path, EPOCH, float)
    if not lines:
        raise ValueError(f"{path.name} has no line. Received: {path}")
    return lines


def read_results(folder: Path, *measures: str, has_rows: bool = True) -> Record:
    """The measures of ``eval.json``, with these numbers at least.

    With ``has_rows`` also ``"evaluations"``, which all have the same measures.
    """
    path = folder / "eval.json"
    results = read_record(path, {"evaluations": list} if has_rows else None)
    rows = results["evaluations"] if has_rows else []
    try:
        _check_measures(results, *measures)
        if has_rows and not rows:
            raise ValueError("'evaluations' must not be empty")
        for row in rows:
            check_record(row, {"tolerance": float})
            _check_measures(row)
            if row.keys() != rows[0].keys():
                raise ValueError("'evaluations' must have the same measures")
    except ValueError as failure:
        raise damaged(path, failure) from None
    return results


def _check_measures(row: Any, *needed: str) -> None:
    numbers = {k: v for k, v in row.items() if k not in (*TEXTS, "evaluations")}
    fields: dict[str, type] = dict.fromkeys(needed, float)
    fields |= dict.fromkeys((name for name in COUNTS if name in row), int)
    check_record(numbers, fields, float)
    check_record(row, {name: str for name in TEXTS if name in row})


def read_tolerances(folder: Path) -> Record:
    """The measures and tolerances of ``tolerances.json``; nothing where it is absent.

    ``"distribution"`` has ``[n, N]`` sampled tolerances of each split.
    """
    path = folder / "tolerances.json"
    if not path.is_file():
        return {}
    sampled = [f"distribution.{split}.sampled" for split in ("train", "test")]
    record = read_record(path, {"evaluations": dict} | dict.fromkeys(sampled, list))
    try:
        check_record(record["evaluations"], {}, float)
        if not record["evaluations"]:
            raise ValueError("'evaluations' must not be empty")
        for name in record["evaluations"]:
            if name.count("/") < 2:
                raise ValueError(f"not MODE/BATCH/MEASURE but {name!r}")
        for split in ("train", "test"):
            _check_sampled(record["distribution"][split]["sampled"])
    except ValueError as failure:
        raise damaged(path, failure) from None
    return record


def _check_sampled(tols: list[Any]) -> None:
    message = "'sampled' must be rows of as many positive numbers"
    try:
        array = np.array(tols, float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(message) from None
    if array.ndim != 2 or not array.size or not np.all(array > 0):
        raise ValueError(message)


def read_classes(folder: Path) -> tuple[list[list[str]], list[str]]:
    """Names of the classes of each label factor, and the exchanges, of ``data.json``.

    None where it is absent.
    """
    path = folder / "data.json"
    if not path.is_file():
        return [], []
    record = read_record(path, {"class_names": list, "exchanged": list})
    factors, exchanged = record["class_names"], record["exchanged"]
    for names in (exchanged, *factors):
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise damaged(path, ValueError("what must be texts is not"))
    return factors, exchanged


def read_task(folder: Path) -> Task:
    """The kind of a run's data; one like flows of images where it is not known here."""
    path = folder / "data.json"
    name = read_record(path).get("task") if path.is_file() else None
    return Task.known.get(str(name), Task)()


def read_numbers(path: Path) -> Record:
    """The numbers of a JSON file by name; none where it is absent."""
    return read_record(path, {}, float) if path.is_file() else {}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` by name.

    Raises:
        ValueError: naming the file, where it is damaged.
    """
    file = ArrayFile(path)
    return {name: file.read(name) for name in file.names}
