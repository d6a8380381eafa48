"""Answers of a run about the rows of a table, in a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice, check_positive_integer
from tfcnf.data.extras import train_extra
from tfcnf.data.table_files import read_table
from tfcnf.data.table_rows import rows_of, values_of
from tfcnf.files import replace_file
from tfcnf.labels.categorical import Categorical
from tfcnf.models.failures import named_failures
from tfcnf.runs.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame

QUESTIONS = ("log_prob", "labels", "sample")
DRAWS = 10  # of the noise of integers


@named_failures()
def answer_table(
    workdir: str,
    table: str,
    *,
    out: str,
    questions: Sequence[str] = QUESTIONS[:1],
    samples: int = 1,
    seed: int = 0,
    tol: float = 1e-5,
    batch_size: int = 500,
) -> int:
    """Writes a table's rows with the answers of a run on a table like it.

    Everything is in the units of the table that the run was trained on, which the run
    keeps; columns are found by their names.

    Args:
        workdir: run folder; needs no data.
        table: file, see `tfcnf.data.table_files.read_table`.
        out: new file that ends in .csv.
        questions: ``"log_prob"`` adds log p(x | label, context) in nats, of integers
            with the mean over ten draws of their noise; ``"labels"`` adds
            ``predicted_NAME`` of each label, and ``"sample"`` adds ``sample_NAME`` of
            each column of x, given the row's labels and context.
        samples: for each row, which is repeated so often.
        seed: the same seed gives the same samples.
        tol: solver tolerance.
        batch_size: rows solved at a time.

    Returns:
        The number of rows of the file.

    Raises:
        ValueError: for a bad argument, a run that is not on a table, or a table without
            the columns or values that an answer needs; then no file is written.
        ImportError: without pandas.
    """
    for question in questions:
        check_choice("questions", question, QUESTIONS)
    check_positive_integer("samples", samples)
    check_positive_integer("batch_size", batch_size)
    place = Path(out)
    if place.suffix != ".csv" or place.exists() or not place.absolute().parent.is_dir():
        raise ValueError(
            f"out must be a new .csv file in an existing folder. Received: out={out!r}"
        )
    run = Run(workdir)
    if not run.data.model_keywords().get("columns"):
        raise ValueError(
            "the run must be on a table; an export of images answers --saved_model. "
            f"Received: workdir={workdir!r}, data={run.data.name!r}"
        )
    with train_extra("answering about tables", "table"):
        frame = read_table(table)
    options = {"tol": tol, "seed": seed, "batch_size": batch_size}
    result = _answer(run.model, frame, questions, samples, options)
    with replace_file(place) as temporary:
        result.to_csv(temporary, index=False)
    return len(result)


def _answer(
    model: Any,
    frame: DataFrame,
    questions: Sequence[str],
    samples: int,
    options: dict[str, Any],
) -> DataFrame:
    given, result = {}, frame.copy()
    if model.condition:
        given["context"] = rows_of(frame, model.condition.units.columns)
    needs_labels = model.is_supervised and {"log_prob", "sample"} & set(questions)
    y = values_of(frame, model.labels) if needs_labels else None
    if {"log_prob", "labels"} & set(questions):
        x = rows_of(frame, model.columns)
    if "log_prob" in questions:
        result["log_prob"] = _log_prob(model, x, y, given | options)
    if "labels" in questions:
        found = model.predict_labels(x, **given, **options).numpy()
        for label, values in zip(model.labels, found.T, strict=True):
            if isinstance(label, Categorical):
                values = np.array(label.names)[values.astype(int)]
            result[f"predicted_{label.title}"] = values
    if "sample" in questions:
        result = result.loc[result.index.repeat(samples)]
        given = {name: np.repeat(part, samples, 0) for name, part in given.items()}
        what = len(result) if y is None else np.repeat(y, samples, 0)
        drawn = model.sample(what, **given, **options).numpy()
        for column, values in zip(model.columns, drawn.T, strict=True):
            result[f"sample_{column.name}"] = values
    return result


def _log_prob(model: Any, x: np.ndarray, y: Any, options: dict[str, Any]) -> np.ndarray:
    """Log-densities ``[n]`` in nats, with the exact trace."""
    noisy = any(column.kind == "integer" for column in model.columns)
    seeds = range(options["seed"], options["seed"] + (DRAWS if noisy else 1))
    drawn = [
        model.log_prob(x, y, exact=True, **(options | {"seed": seed})).numpy()
        for seed in seeds
    ]
    return np.mean(drawn, 0)
