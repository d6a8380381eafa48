"""Data of a table: examples, conditions and labels with their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcnf.data.columns import Column
from tfcnf.data.moments import moments
from tfcnf.data.source import DataSource


@dataclass(frozen=True)
class TableSource(DataSource):
    """Rows of a table, see `tfcnf.data.tables.from_frame`.

    ```python
    x, y = np.random.rand(8, 2).astype("float32"), np.zeros([8, 0], "int32")
    columns = (tfcnf.Column("u"), tfcnf.Column("g"))
    rows = tfcnf.Split(x, y)
    data = tfcnf.TableSource("mine", rows, rows, (), 1, columns=columns)
    model = tfcnf.CNF(**data.model_keywords(), hidden_layers=1, filters=8)
    ```

    Attributes:
        columns: of the examples, in their order; without units, which the training
            split gives.
        conditions: columns of the context.
        notes: what a user should know of the table.
        whiten: whether models get the covariance of the columns, see `moments`.
    """

    columns: tuple[Column, ...] = ()
    conditions: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    whiten: bool = True

    @property
    def task(self) -> str:
        """Name of the kind of data, see `tfcnf.tasks`."""
        return "tables"

    def model_keywords(self) -> dict[str, Any]:
        """Keywords of a model's constructor: labels and columns with their units."""
        keywords = super().model_keywords()
        columns = _fitted(self.columns, self.train.x)
        conditions = _fitted(self.conditions, self.train.context)
        if self.whiten:
            keywords["whitening"] = moments(
                columns, self.train.x, conditions, self.train.context
            )
        keywords["columns"] = [column.record() for column in columns]
        if self.conditions:
            keywords["context"] = [column.record() for column in conditions]
        return keywords

    def describe(self) -> str:
        """Summary of the data, and a line for each column."""
        lines = [super().describe()]
        for title, records in (
            ("x", self.model_keywords()["columns"]),
            ("context", self.model_keywords().get("context", ())),
        ):
            lines += [f"  {title} {Column(**record).describe()}" for record in records]
        lines += [f"  label {label.title}: {label.describe()}" for label in self.labels]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _fitted(columns: Sequence[Column], values: Any) -> list[Column]:
    if not columns:
        return []
    pairs = zip(columns, np.asarray(values, np.float64).T, strict=True)
    return [column.fitted(part) for column, part in pairs]
