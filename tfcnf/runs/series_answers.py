"""Answers of a run on series about the subjects of a table, in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice, check_positive_integer
from tfcnf.data.extras import train_extra
from tfcnf.data.series import Series, SeriesColumns
from tfcnf.data.series_frames import Subjects, read_subjects
from tfcnf.data.table_files import read_table
from tfcnf.files import replace_file
from tfcnf.models.failures import named_failures
from tfcnf.runs.run import Run
from tfcnf.runs.table_answers import check_out
from tfcnf.serving.row_answers import told_labels

if TYPE_CHECKING:
    from pandas import DataFrame

    from tfcnf.models.latent_ode import LatentODE

QUESTIONS = ("forecast", "labels")


@named_failures()
def answer_series(
    workdir: str,
    table: str,
    *,
    out: str,
    questions: Sequence[str] = QUESTIONS[:1],
    ahead: Sequence[float] = (),
    level: float = 0.9,
    seed: int = 0,
    tol: float | None = None,
    batch_size: int = 100,
) -> int:
    """Writes forecasts, or labels, of the subjects of a table of series.

    The table has the columns of subject, time and values that the run was trained on,
    which the run keeps, and everything is in their units.

    Args:
        workdir: run folder of a latent ODE of series in columns; needs no data.
        table: file, see `tfcnf.data.table_files.read_table`.
        out: new file that ends in .csv. A row has the subject; with ``"forecast"``
            there is one for each subject and time ahead.
        questions: ``"forecast"`` gives each value's expected curve as ``NAME`` and the
            ends of an interval of an observation there, ``NAME_low`` and ``NAME_high``;
            ``"labels"`` gives ``predicted_LABEL`` of each label, and of numbers the
            ends of an interval, ``predicted_LABEL_low`` and ``_high``.
        ahead: how long after a subject's last observed point, in units of the time (of
            dates in days); negative for before it.
        level: probability of the intervals.
        seed: the same seed gives the same intervals.
        tol: solver tolerance; the model's own if None.
        batch_size: subjects solved at a time.

    Returns:
        The number of rows of the file.

    Raises:
        ValueError: for a bad argument, a run that is not on series in columns, or a
            table as `tfcnf.data.series_frames.read_subjects`; then no file is written.
        ImportError: without pandas.
    """
    for question in questions:
        check_choice("questions", question, QUESTIONS)
    check_positive_integer("batch_size", batch_size)
    if ("forecast" in questions) != bool(len(ahead)) or not np.isfinite(ahead).all():
        raise ValueError(
            "a forecast needs finite times ahead, and labels none. "
            f"Received: questions={list(questions)}, ahead={list(ahead)}"
        )
    place = check_out(out)
    run = Run(workdir)
    if not run.data.table_columns:
        raise ValueError(
            "the run must be on series in the columns of a table. "
            f"Received: workdir={workdir!r}, data={run.data.name!r}"
        )
    subject, time, *x = run.data.table_columns
    columns = SeriesColumns(subject, time, tuple(x))
    with train_extra("answering about tables", "table"):
        subjects = read_subjects(read_table(table), columns)
    options: dict[str, Any] = {"level": level, "seed": seed, "tol": tol}
    result = _labelled(run.model, subjects, columns, "labels" in questions, level)
    if "forecast" in questions:
        found = _forecasts(run.model, subjects, columns, ahead, batch_size, options)
        result = found.merge(result, on=subject, how="left", sort=False)
    with replace_file(place) as temporary:
        result.to_csv(temporary, index=False)
    return len(result)


def _labelled(
    model: LatentODE,
    subjects: Subjects,
    columns: SeriesColumns,
    labels: bool,
    level: float,
) -> DataFrame:
    """A row for each subject, with its predicted labels if they are asked for."""
    import pandas as pd

    result = pd.DataFrame({columns.subject: subjects.names})
    if labels:
        found = model.predict_labels(subjects.x, level=level).numpy()
        for name, values in told_labels(model.labels, found):
            result[name] = values
    return result


def _forecasts(
    model: LatentODE,
    subjects: Subjects,
    columns: SeriesColumns,
    ahead: Sequence[float],
    batch_size: int,
    options: dict[str, Any],
) -> DataFrame:
    """A row for each subject and time ahead, subjects in the order of the table."""
    import pandas as pd

    last = subjects.x.times.max(1)
    parts = []
    for end in np.unique(last):  # subjects of equal length are solved together
        (rows,) = np.nonzero(last == end)
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            x = Series(*(part[chosen] for part in subjects.x))
            found = model.predict(x, (end + np.array(ahead)).tolist(), **options)
            parts.append((chosen, found))
    order = np.argsort(np.concatenate([chosen for chosen, _ in parts]), kind="stable")
    mean, low, high = (
        np.concatenate([np.asarray(found[k]) for _, found in parts])[order]
        for k in range(3)
    )
    count = len(ahead)
    elapsed = (last[:, None].astype(np.float64) + np.array(ahead)).T
    stamps = np.stack([subjects.stamps(each) for each in elapsed], 1)
    result: dict[str, Any] = {columns.subject: np.repeat(subjects.names, count)}
    result[columns.time] = stamps.ravel()
    for k, name in enumerate(columns.x):
        for ending, values in (("", mean), ("_low", low), ("_high", high)):
            result[f"{name}{ending}"] = values[:, :, k].ravel()
    return pd.DataFrame(result)
