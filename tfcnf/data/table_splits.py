"""The rows of each split of a table: by a seed, or as a column says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import Series

NAMES = ("train", "validation", "test")


def random_rows(
    count: int, test: float, validation: float, seed: int
) -> dict[str, np.ndarray]:
    """Places of the rows of each split, in the order of the table.

    Raises:
        ValueError: for parts out of range, or that leave a split without rows.
    """
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise ValueError(
            "test and validation must be parts of the rows, test above 0, and leave "
            f"some for training. Received: test={test!r}, validation={validation!r}"
        )
    sizes = {"test": round(test * count), "validation": round(validation * count)}
    if not validation:
        sizes.pop("validation")
    train = count - sum(sizes.values())
    if min(train, *sizes.values()) < 1:
        raise ValueError(
            f"every split must have a row. Received: {count} rows, train {train}, "
            + ", ".join(f"{name} {size}" for name, size in sizes.items())
        )
    order = np.random.default_rng([seed, 3]).permutation(count)
    rows = {}
    for name, size in sizes.items():
        rows[name], order = np.sort(order[:size]), order[size:]
    return {"train": np.sort(order)} | rows


def assigned_rows(column: Series) -> dict[str, np.ndarray]:
    """Places of the rows of each split, from a column of its names.

    Raises:
        ValueError: for other words, or a split without rows.
    """
    words = column.astype(str).to_numpy()
    unknown = ~np.isin(words, NAMES)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(
            f"the column of the split must say {', '.join(NAMES)}. "
            f"Received: {words[row]!r} in row {column.index[row]}"
        )
    rows = {name: np.flatnonzero(words == name) for name in NAMES}
    if not len(rows["validation"]):
        rows.pop("validation")
    empty = [name for name, part in rows.items() if not len(part)]
    if empty:
        raise ValueError(
            f"every split must have a row. Received: column {column.name!r} without "
            f"{empty[0]}"
        )
    return rows
