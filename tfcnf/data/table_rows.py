"""Rows of a table for a model that was trained on one like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.data.columns import Column
from tfcnf.data.table_columns import check_complete, finite_numbers, rounded
from tfcnf.data.table_kinds import codes_of
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical

if TYPE_CHECKING:
    from pandas import DataFrame


def rows_of(frame: DataFrame, columns: Sequence[Column]) -> np.ndarray:
    """Values of columns, ``[n, D]`` float32; categories become their numbers.

    Raises:
        ValueError: for a column that is absent, or a value that is missing, not finite,
            outside its bounds or of an unknown category, naming column and row.
    """
    parts = [_column(frame, column) for column in columns]
    return np.stack(parts, 1).astype(np.float32)


def values_of(frame: DataFrame, labels: Sequence[Label]) -> np.ndarray:
    """Values of labels by their titles, ``[n, L]``; integers if all are classes.

    Raises:
        ValueError: as `rows_of`.
    """
    kinds = {True: "category", False: "real"}
    columns = []
    for label in labels:
        named = isinstance(label, Categorical)
        names = getattr(label, "names", ()) if named else ()
        columns.append(Column(label.title, kinds[named], names=names))
    values = rows_of(frame, columns)
    whole = all(label.integer for label in labels)
    return values.astype(np.int32) if whole else values


def _column(frame: DataFrame, column: Column) -> np.ndarray:
    by_text: Mapping[str, Any] = {str(name): name for name in frame.columns}
    if column.name not in by_text:
        raise ValueError(
            f"the table must have the column {column.name!r}. "
            f"Received: columns {', '.join(by_text)}"
        )
    series = frame[by_text[column.name]]
    check_complete(frame, by_text[column.name])
    if column.kind != "category":
        values = rounded(finite_numbers(frame, by_text[column.name]))
        column.check(values, frame.index)
        return values
    return codes_of(series, column.names)
