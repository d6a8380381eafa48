"""Answers about the rows of a table, in a table, whoever gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfcnf.data.columns import Column
from tfcnf.data.table_rows import rows_of, values_of
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real

if TYPE_CHECKING:
    from pandas import DataFrame

QUESTIONS = ("log_prob", "labels", "sample")


class Rows(Protocol):
    """A model that is asked about many rows, as arrays.

    ``x`` is ``[n, D]``, ``y`` ``[n, L]`` or None without labels, ``context`` ``[n, C]``
    or None without one.
    """

    @property
    def columns(self) -> Sequence[Column]:
        """Columns of x."""

    @property
    def context(self) -> Sequence[Column]:
        """Columns of the context."""

    @property
    def labels(self) -> Sequence[Label]:
        """Kinds of the labels."""

    def log_prob(self, x: np.ndarray, y: Any, context: Any) -> np.ndarray:
        """log p(x | y, context), ``[n]`` nats."""

    def predict(self, x: np.ndarray, context: Any) -> np.ndarray:
        """Label values, where there are numbers with an interval's ends behind them.

        ``[n, L]`` values stand in ``[n, L, 1]`` or ``[n, L, 3]``.
        """

    def sample(self, count: int, y: Any, context: Any) -> np.ndarray:
        """One example for each of ``count`` rows, ``[count, D]``."""


def answer_rows(
    model: Rows, frame: DataFrame, questions: Sequence[str], samples: int
) -> DataFrame:
    """The frame with columns of answers behind its own.

    Args:
        model: is asked.
        frame: the table.
        questions: of `QUESTIONS`.
        samples: for each row, which is repeated so often.

    Raises:
        ValueError: for a table without the columns or values that an answer needs, or
            a question that the model does not answer.
    """
    result, context, y = frame.copy(), None, None
    _check_room(model, frame, questions)
    if "labels" in questions and not model.labels:
        raise ValueError(
            "a model without labels cannot predict them. "
            f"Received: questions={list(questions)}"
        )
    if model.context:
        context = rows_of(frame, model.context)
    if model.labels and {"log_prob", "sample"} & set(questions):
        y = values_of(frame, model.labels)
    if {"log_prob", "labels"} & set(questions):
        x = rows_of(frame, model.columns)
    if "log_prob" in questions:
        result["log_prob"] = model.log_prob(x, y, context)
    if "labels" in questions:
        for name, values in told_labels(model.labels, model.predict(x, context)):
            result[name] = values
    if "sample" in questions:
        result = result.loc[result.index.repeat(samples)]
        context, y = (
            None if part is None else np.repeat(part, samples, 0)
            for part in (context, y)
        )
        drawn = model.sample(len(result), y, context)
        for column, values in zip(model.columns, drawn.T, strict=True):
            result[f"sample_{column.name}"] = values
    return result


def told_labels(
    labels: Sequence[Label], found: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values of the columns of predicted labels.

    Args:
        labels: of one column each.
        found: see `Rows.predict`.
    """
    for i, label in enumerate(labels):
        for name, values in zip(_predicted(label), found[:, i].T, strict=False):
            if isinstance(label, Categorical):
                yield name, np.array(label.names)[values.astype(int)]
            else:
                yield name, values


def _predicted(label: Label) -> list[str]:
    """Names of the columns of a label's prediction."""
    name = f"predicted_{label.title}"
    ends = [f"{name}_low", f"{name}_high"] if isinstance(label, Real) else []
    return [name, *ends]


def _check_room(model: Rows, frame: DataFrame, questions: Sequence[str]) -> None:
    """Raises a ValueError for a table that has columns of answers."""
    answers = {
        "log_prob": ["log_prob"],
        "labels": [name for label in model.labels for name in _predicted(label)],
        "sample": [f"sample_{column.name}" for column in model.columns],
    }
    taken = {name for question in questions for name in answers[question]}
    taken &= set(map(str, frame.columns))
    if taken:
        raise ValueError(
            "the table has a column of an answer's name already; rename it. "
            f"Received: columns {', '.join(sorted(taken))}"
        )
