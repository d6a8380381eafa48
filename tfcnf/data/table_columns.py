"""Columns of a DataFrame as examples, conditions and labels of a model."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.data.columns import Column
from tfcnf.data.table_kinds import (
    categories,
    codes_of,
    find_column,
    is_class,
    is_text,
    numbers,
    parse_kind,
)
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real

if TYPE_CHECKING:
    from pandas import DataFrame

TRUTH = ("bool", "boolean")  # types of truth values, which are numbers too
LABELS = ("category", "real", "normal", "empirical")  # kinds; numbers' distributions


def pick(names: Sequence[Any], column: Any) -> Any:
    """The name of a column from its name or its place.

    Raises:
        ValueError: for a column that is not among the names.
    """
    by_text = {str(name): name for name in names}
    if str(column) in by_text:
        return by_text[str(column)]
    place = str(column)
    if place.isdecimal() and int(place) < len(names):
        return names[int(place)]
    near = difflib.get_close_matches(place, by_text, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(list(by_text)[:20]) + ", ..." * (len(by_text) > 20)
    raise ValueError(
        f"columns must be of the table, which has {shown}.{hint} "
        f"Received: column={column!r}"
    )


def pick_roles(frame: DataFrame, **roles: Any) -> dict[str, list[Any]]:
    """Names of the columns of each role; of ``x``, if empty, all others.

    Args:
        frame: the table.
        **roles: a name or place of a column, or several, or none.

    Raises:
        ValueError: for a frame without rows, or unknown or repeated columns.
    """
    names = list(frame.columns)
    if not len(frame) or len(set(map(str, names))) < len(names):
        raise ValueError(
            "a table must have rows, and columns of different names. "
            f"Received: {len(frame)} rows, columns {names}"
        )
    one = (str, int)
    several = {k: [v] if isinstance(v, one) else v for k, v in roles.items()}
    picked = {k: [pick(names, c) for c in v if c != ""] for k, v in several.items()}
    if not picked["x"]:
        others = {name for part in picked.values() for name in part}
        picked["x"] = [name for name in names if name not in others]
    used = [name for part in picked.values() for name in part]
    if len(set(used)) < len(used) or not picked["x"]:
        raise ValueError(
            "a column is for one thing alone, and there must be one of x. "
            f"Received: {picked}"
        )
    return picked


def check_complete(frame: DataFrame, name: Any) -> None:
    """Raises a ValueError that names the first row without a value in a column."""
    missing = frame[name].isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"column {str(name)!r} must have a value in every row. "
            f"Received: none in row {frame.index[int(np.argmax(missing))]}"
        )


def finite_numbers(frame: DataFrame, name: Any, missing: bool = False) -> np.ndarray:
    """Numbers of a column that are finite in float32, as float64.

    Args:
        frame: the table.
        name: of the column.
        missing: let NaN stand for a missing value.
    """
    values = numbers(frame[name])
    bad = ~np.isfinite(rounded(values)) & ~(missing & np.isnan(values))
    if bad.any():
        first = int(np.argmax(bad))
        within = " in float32" * bool(np.isfinite(values[first]))
        raise ValueError(
            f"column {str(name)!r} must be finite{within}. "
            f"Received: {values[first]} in row {frame.index[first]}"
        )
    return values


def rounded(values: np.ndarray) -> np.ndarray:
    """Numbers as a model gets them, rounded to float32, as float64."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def numbers_of(frame: DataFrame, name: Any) -> np.ndarray:
    """Finite numbers of a column that float32 can tell apart."""
    values = finite_numbers(frame, name)
    with np.errstate(over="ignore"):
        step = np.spacing(np.float32(np.abs(values).max()))
    if not np.isfinite(step) or (np.ptp(values) > 0 and step > values.std() / 100):
        raise ValueError(
            f"column {str(name)!r} must be numbers that float32 can tell apart; "
            "subtract their mean and divide by their spread. "
            f"Received: values from {values.min()} to {values.max()}"
        )
    return values


def read_x(
    frame: DataFrame, kinds: Mapping[str, Any]
) -> tuple[tuple[Column, ...], np.ndarray]:
    """Columns of the examples, and their values ``[n, D]``."""
    columns, parts = [], []
    for name in frame.columns:
        if is_text(frame[name]) and frame[name].dtype not in TRUTH:
            raise ValueError(
                f"column {str(name)!r} must be numbers to have a density; give it as "
                f"label or context. Received: {frame[name].iloc[0]!s} in row "
                f"{frame.index[0]}"
            )
        values = numbers_of(frame, name)
        kept = rounded(values)
        column = find_column(str(name), kept, kinds.get(str(name)))
        column.check(kept, frame.index)
        columns.append(column)
        parts.append(values)
    return tuple(columns), np.stack(parts, 1)


def read_context(
    frame: DataFrame, kinds: Mapping[str, Any]
) -> tuple[tuple[Column, ...], np.ndarray]:
    """Columns of the condition, and their values ``[n, C]``."""
    columns, parts = [], []
    for name in frame.columns:
        kind = kinds.get(str(name))
        if kind == "category" or (kind is None and is_text(frame[name])):
            codes, names = categories(frame[name])
            column, values = Column(str(name), "category", names=names), codes
        elif isinstance(kind, Column) and kind.kind == "category":
            column = dataclasses.replace(kind, name=str(name))
            values = codes_of(frame[name], column.names)
        else:
            values = numbers_of(frame, name)
            kept = rounded(values)
            column = find_column(str(name), kept, _as_real(str(name), kind))
            column.check(kept, frame.index)
        columns.append(column)
        parts.append(np.asarray(values, np.float64))
    return tuple(columns), np.stack(parts, 1) if parts else np.zeros([len(frame), 0])


def _as_real(name: str, kind: Any) -> Column:
    """The kind of a number that conditions, where integers are numbers too."""
    column = kind if isinstance(kind, Column) else parse_kind(name, kind or "real")
    return dataclasses.replace(column, kind="real")


def read_labels(
    frame: DataFrame, kinds: Mapping[str, Any]
) -> tuple[list[Label], np.ndarray]:
    """Kinds of the labels, and their values ``[n, L]``, integers if all are classes."""
    labels: list[Label] = []
    parts: list[np.ndarray] = []
    for name in frame.columns:
        kind = kinds.get(str(name), "category" if is_class(frame[name]) else "real")
        check_choice(f"kind of label {name}", kind, LABELS)
        if kind == "category":
            values, names = categories(frame[name])
            labels.append(Categorical(len(names), names, title=str(name)))
        else:
            values = numbers_of(frame, name)
            stated = None if kind == "real" else kind
            labels.append(Real(1, title=str(name), distribution=stated))
        parts.append(values)
    y = np.stack(parts, 1) if parts else np.zeros([len(frame), 0])
    whole = all(label.integer for label in labels)
    return labels, y.astype(np.int32 if whole else np.float32)
