"""The measures of a run, in files and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfcnf.diagnostics.tolerances import MODES, LearnedTolerances
from tfcnf.files import write_json
from tfcnf.reporting.tables import results_table
from tfcnf.tasks import Task


def origin(epoch: int, chosen: bool) -> dict[str, Any]:
    """The epoch that weights are of, and the split, if any, that chose it."""
    return {"epoch": epoch, "chosen_by": "validation" if chosen else "none"}


def write_results(
    folder: Path,
    evaluators: Sequence[Any],
    *,
    tols: Sequence[float],
    draws: int,
    weights: dict[str, Any],
    suffix: str = "",
) -> list[dict[str, Any]]:
    """Evaluates at each tolerance, writes a JSON file and prints a table.

    Args:
        folder: of the run.
        evaluators: one for each model.
        tols: solver tolerances.
        draws: draws of noise that are averaged.
        weights: which weights they are, of `origin`.
        suffix: end of the file's name.
    """
    results = [
        dict(evaluator.run(tol, draws, backward=True))
        | {"dtype": evaluator.model.compute_dtype}
        | weights
        for evaluator in evaluators
        for tol in tols
    ]
    split = evaluators[0].split_name
    name = "eval" if split == "test" else f"eval_{split}"
    write_json(folder / f"{name}{suffix}.json", results[0] | {"evaluations": results})
    print(results_table(results, Task.of(evaluators[0].source).measures))
    return results


def write_tolerances(
    folder: Path, model: Any, *, source: Any, batch_size: int, suffix: str = ""
) -> None:
    """Evaluates at the policies' own tolerances and writes a JSON file.

    Raises:
        ValueError: where the tolerances are constants.
    """
    diagnostic = LearnedTolerances(batch_size=batch_size)
    arrays = diagnostic.compute(model, source)
    distribution = {
        split: {mode: arrays[f"{split}/{mode}"].tolist() for mode in MODES}
        for split in ("train", "test")
    }
    record = {
        "evaluations": dict(diagnostic.measures(arrays)),
        "distribution": distribution,
    }
    write_json(folder / f"tolerances{suffix}.json", record)
