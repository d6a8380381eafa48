"""Kinds of a table's columns: found from their values, or said in words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.data.columns import Column

if TYPE_CHECKING:
    from pandas import Series

FEW = 20  # different whole numbers, at most, that are classes
GRADES = 12  # different whole numbers, at most, that have both their ends as bounds
LARGEST = 2**16  # of integers that are dequantized; the steps of larger ones are small
SKEWED = 2.0  # skewness above which the logarithm of a positive column is tried
MARGIN = 0.01  # deviations beyond a bound that values stand on
NUMBER = r"-?\d+(?:\.\d*)?(?:e-?\d+)?"
TEXT = re.compile(rf"(?:(real|integer):)?({NUMBER})?\.\.({NUMBER})?")


def numbers(series: Series) -> np.ndarray:
    """Values of a column of numbers, float64 ``[n]``, NaN where missing.

    Raises:
        ValueError: for a column that holds other things, naming the first.
    """
    import pandas as pd
    from pandas.api import types

    if types.is_numeric_dtype(series) and not types.is_complex_dtype(series):
        return series.to_numpy(np.float64, na_value=np.nan)
    values = pd.to_numeric(series.astype(object), errors="coerce")
    wrong = values.isna() & series.notna()
    if types.is_datetime64_any_dtype(series) or wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"column {series.name!r} must be numbers. "
            f"Received: {series.iloc[first]!s} in row {series.index[first]}"
        )
    return values.to_numpy(np.float64)


def is_text(series: Series) -> bool:
    """True for categories, truth values and text; False for numbers.

    Raises:
        ValueError: for text that is mostly numbers, naming the first that is not.
    """
    import pandas as pd
    from pandas.api import types

    if isinstance(series.dtype, pd.CategoricalDtype) or types.is_bool_dtype(series):
        return True
    if types.is_numeric_dtype(series) or types.is_datetime64_any_dtype(series):
        return False
    known = series.dropna().astype(object)
    parsed = pd.to_numeric(known, errors="coerce").notna()
    if parsed.mean() > 0.5:
        numbers(series)
        return False
    return True


def categories(series: Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """The number of each value's category, and the categories' names.

    Categories keep their order, numbers and text are sorted.
    """
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.cat.remove_unused_categories()
        values: list[Any] = series.cat.categories.tolist()
    else:
        values = _sorted(series)
    codes = pd.Categorical(series, categories=values).codes
    if len(values) > max(FEW, len(series) / 2):
        raise ValueError(
            f"column {series.name!r} has {len(values)} different values in "
            f"{len(series)} rows, too many for categories; leave it out. "
            f"Received: {values[0]!s}, {values[1]!s}, ..."
        )
    return codes.astype(np.int64), tuple(map(shown, values))


def _sorted(series: Series) -> list[Any]:
    values = series.dropna().unique().tolist()
    try:
        return sorted(values)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in values})
        raise ValueError(
            f"column {series.name!r} must be all text or all numbers to be of "
            f"categories. Received: values of {', '.join(kinds)}"
        ) from None


def codes_of(series: Series, names: Sequence[str]) -> np.ndarray:
    """The number of each value's category among names that are known.

    Raises:
        ValueError: for a value of no category, naming the first.
    """
    texts = series.map(shown).to_numpy()
    unknown = ~np.isin(texts, names)
    if unknown.any():
        first = int(np.argmax(unknown))
        raise ValueError(
            f"column {str(series.name)!r} must be one of {', '.join(names[:20])}. "
            f"Received: {texts[first]} in row {series.index[first]}"
        )
    numbered = {name: i for i, name in enumerate(names)}
    return np.array([numbered[text] for text in texts], np.float64)


def shown(value: Any) -> str:
    """The name of a category: whole numbers without a point."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


def is_class(series: Series) -> bool:
    """True where a label is one of several classes: text, or few whole numbers."""
    if is_text(series):
        return True
    values = numbers(series)
    whole = bool(np.all(values == np.floor(values)))
    return whole and len(np.unique(values)) <= FEW


def find_column(name: str, values: np.ndarray, given: Any = None) -> Column:
    """The kind of a column of numbers ``[n]``, without its units.

    Args:
        name: of the column.
        values: all of them, finite.
        given: a `Column`, or words as `parse_kind` takes them; found if None.

    Raises:
        ValueError: for a kind that is none, or values outside its bounds.
    """
    if given is None:
        column = _found(name, values)
    elif isinstance(given, Column):
        column = dataclasses.replace(given, name=name)
    else:
        column = parse_kind(name, given)
    if column.kind == "real" and not column.margin:
        on_bound = np.isin(
            values, [b for b in (column.low, column.high) if b is not None]
        )
        margin = MARGIN * float(values.std()) * bool(on_bound.any())
        column = dataclasses.replace(column, margin=margin)
    return column


def _found(name: str, values: np.ndarray) -> Column:
    low, high = float(values.min()), float(values.max())
    whole = bool(np.all(values == np.floor(values)))
    if whole and max(abs(low), abs(high)) <= LARGEST:
        if len(np.unique(values)) <= GRADES:
            return Column(name, "integer", int(low), int(high))
        near = low >= 0 and values.mean() < 3 * values.std()
        return Column(name, "integer", 0 if near else None)
    skewness = _skewness(values)
    if low > 0 and skewness > max(SKEWED, abs(_skewness(np.log(values)))):
        return Column(name, low=0.0)
    return Column(name)


def _skewness(values: np.ndarray) -> float:
    deviation = values - values.mean()
    scale = values.std()
    return float(np.mean(deviation**3) / scale**3) if scale > 0 else 0.0


def parse_kind(name: str, text: Any) -> Column:
    """A column from words: ``real``, ``integer``, ``positive``, or bounds.

    Bounds are ``0..1``, ``0..`` or ``..5``, of integers ``integer:0..``.

    Raises:
        ValueError: for other words.
    """
    if text in ("real", "integer"):
        return Column(name, text)
    match = TEXT.fullmatch("0.." if text == "positive" else str(text))
    if not match or match[2] is match[3]:
        raise ValueError(
            "the kind of a column must be real, integer, positive, category, or bounds "
            "like 0..1, 0.. and integer:0..; a Column in Python. "
            f"Received: {name}={text!r}"
        )
    low, high = (None if end is None else float(end) for end in match.groups()[1:])
    return Column(name, match[1] or "real", low, high)
