"""Answers of a run or an export about the rows of a table, in a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.checks import check_choice, check_positive_integer
from tfcnf.data.extras import train_extra
from tfcnf.data.table_files import read_table
from tfcnf.files import replace_file
from tfcnf.models.failures import named_failures
from tfcnf.models.passes import STEPS
from tfcnf.runs.run import Run
from tfcnf.serving.answers import INTERVAL
from tfcnf.serving.exported_rows import ExportedRows
from tfcnf.serving.row_answers import QUESTIONS, Rows, answer_rows

DRAWS = 10  # of the noise of integers
TOL = 1e-5  # of a run


class RunRows:
    """Answers of a run on a table, see `tfcnf.serving.row_answers.Rows`.

    Args:
        workdir: run folder; needs no data.
        tol: solver tolerance, `TOL` if None.
        seed: of noise and samples.
        batch_size: rows solved at a time.
        steps: see `InfoCNF.log_prob`; shared if None.

    Raises:
        ValueError: for a run that is not on a table.
    """

    def __init__(
        self,
        workdir: str,
        *,
        tol: float | None = None,
        seed: int = 0,
        batch_size: int = 500,
        steps: str | None = None,
    ):
        run = Run(workdir)
        if not run.data.model_keywords().get("columns"):
            raise ValueError(
                "the run must be on a table; an export of images answers "
                "--saved_model. "
                f"Received: workdir={workdir!r}, data={run.data.name!r}"
            )
        self.model = model = run.model
        self.columns, self.labels = model.columns, model.labels
        self.context = model.condition.units.columns if model.condition else ()
        tol = TOL if tol is None else tol
        self.options = {
            "tol": tol,
            "batch_size": batch_size,
            "steps": steps or STEPS[0],
        }
        self.seed = seed

    def log_prob(self, x: np.ndarray, y: Any, context: Any) -> np.ndarray:
        """log p(x | y, context), ``[n]`` nats, with the exact trace.

        With integers it is the mean over `DRAWS` draws of their noise.
        """
        noisy = any(column.kind == "integer" for column in self.columns)
        options = self.options | {"context": context, "exact": True}
        drawn = [
            self.model.log_prob(x, y, seed=self.seed + i, **options).numpy()
            for i in range(DRAWS if noisy else 1)
        ]
        return np.mean(drawn, 0)

    def predict(self, x: np.ndarray, context: Any) -> np.ndarray:
        """Label values, see `Rows.predict`."""
        options: Any = self.options | {"context": context, "seed": self.seed}
        found: np.ndarray = self.model.predict_labels(
            x, level=INTERVAL, **options
        ).numpy()
        return found

    def sample(self, count: int, y: Any, context: Any) -> np.ndarray:
        """One example for each of ``count`` rows, ``[count, D]``."""
        options: Any = self.options | {"context": context, "seed": self.seed}
        what = y if self.labels else count
        drawn: np.ndarray = self.model.sample(what, **options).numpy()
        return drawn


@named_failures()
def answer_table(
    workdir: str | None,
    table: str,
    *,
    out: str,
    saved_model: str | None = None,
    questions: Sequence[str] = QUESTIONS[:1],
    samples: int = 1,
    seed: int = 0,
    tol: float | None = None,
    batch_size: int = 500,
    steps: str | None = None,
) -> int:
    """Writes a table's rows with the answers of a run, or its export, on a table.

    Everything is in the units of the table that the run was trained on, which the run
    and its export keep; columns are found by their names.

    Args:
        workdir: run folder; needs no data.
        table: file, see `tfcnf.data.table_files.read_table`.
        out: new file that ends in .csv.
        saved_model: folder that `launch/export.py` made, in place of ``workdir``.
        questions: ``"log_prob"`` adds log p(x | label, context) in nats, of integers
            with the mean over draws of their noise (ten, or those of the export);
            ``"labels"`` adds ``predicted_NAME`` of each label, of numbers with
            ``predicted_NAME_low`` and ``_high``, the ends of an interval of 90 %, and
            ``"sample"`` adds ``sample_NAME`` of each column of x, given the row's
            labels and context.
        samples: for each row, which is repeated so often.
        seed: the same seed gives the same samples.
        tol: solver tolerance; 1e-5, or that of the export, if None.
        batch_size: rows solved at a time.
        steps: ``"shared"``, the default of a run, or ``"each"``: answers that do not
            depend on their batch; the export's default if None.

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
    place = check_out(out)
    options: Any = {"tol": tol, "seed": seed, "batch_size": batch_size}
    options["steps"] = steps
    model: Rows
    if saved_model is None:
        model = RunRows(str(workdir), **options)
    else:
        model = ExportedRows(saved_model, **options)
    with train_extra("answering about tables", "table"):
        frame = read_table(table)
    result = answer_rows(model, frame, questions, samples)
    with replace_file(place) as temporary:
        result.to_csv(temporary, index=False)
    return len(result)


def check_out(out: str) -> Path:
    """The place of a new table.

    Raises:
        ValueError: for another ending, a file that is there, or no folder.
    """
    place = Path(out)
    if place.suffix != ".csv" or place.exists() or not place.absolute().parent.is_dir():
        raise ValueError(
            f"out must be a new .csv file in an existing folder. Received: out={out!r}"
        )
    return place
