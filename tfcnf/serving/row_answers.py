"""Answers about the rows of a table, in a table, whoever gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfcnf.data.columns import Column
from tfcnf.data.table_rows import rows_of, values_of
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical

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
        """Label values, ``[n, L]``."""

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
        found = model.predict(x, context)
        for label, values in zip(model.labels, found.T, strict=True):
            if isinstance(label, Categorical):
                values = np.array(label.names)[values.astype(int)]
            result[f"predicted_{label.title}"] = values
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


def _check_room(model: Rows, frame: DataFrame, questions: Sequence[str]) -> None:
    """Raises a ValueError for a table that has columns of answers."""
    answers = {
        "log_prob": ["log_prob"],
        "labels": [f"predicted_{label.title}" for label in model.labels],
        "sample": [f"sample_{column.name}" for column in model.columns],
    }
    taken = {name for question in questions for name in answers[question]}
    taken &= set(map(str, frame.columns))
    if taken:
        raise ValueError(
            "the table has a column of an answer's name already; rename it. "
            f"Received: columns {', '.join(sorted(taken))}"
        )
