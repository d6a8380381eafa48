"""Data of a table: examples, conditions and labels with their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.data.columns import Column
from tfcnf.data.moments import moments
from tfcnf.data.source import DataSource, Split
from tfcnf.data.table_rows import rows_of, values_of

if TYPE_CHECKING:
    from pandas import DataFrame


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

    def read(self, frame: DataFrame) -> Split:
        """The rows of another table with the same columns, as a model takes them.

        A part of which the table has no column is empty: without labels it can be
        asked for labels, without x for samples.

        ```python
        new = data.read(frame)
        model.log_prob(new.x, new.y, context=new.context)
        ```

        Raises:
            ValueError: as `tfcnf.data.table_rows.rows_of`, or for a table without any
                of the columns.
        """
        found, count = set(map(str, frame.columns)), len(frame)
        x: np.ndarray = np.zeros([count, 0], np.float32)
        y: np.ndarray = np.zeros([count, 0], np.int32)
        context: np.ndarray | None = None
        if found & {column.name for column in self.columns}:
            x = rows_of(frame, self.columns)
        if found & {label.title for label in self.labels}:
            y = values_of(frame, self.labels)
        if found & {column.name for column in self.conditions}:
            context = rows_of(frame, self.conditions)
        if not x.size and not y.size and context is None:
            names = [column.name for column in (*self.columns, *self.conditions)]
            raise ValueError(
                f"the table must have columns of {', '.join(names)}. "
                f"Received: {count} rows, columns {', '.join(found)}"
            )
        return Split(x, y, context=context)

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
