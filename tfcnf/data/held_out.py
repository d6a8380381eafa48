"""A part of the training split that is held out for validation."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np

from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource

Source = TypeVar("Source", DataSource, SeriesSource)


def hold_out(source: Source, fraction: float, seed: int) -> Source:
    """The source with a part of its training split as validation split.

    Which examples are held out depends on the seed alone, and those of a smaller
    fraction are among those of a larger one. Both parts keep the order of the examples.

    Args:
        source: data; what has a validation split of its own is left as it is.
        fraction: of the training examples, at least 0 and less than 1; 0 holds none
            out.
        seed: chooses the examples.

    Raises:
        ValueError: for a fraction out of range, or one that leaves a split empty.

    Example:
        ```python
        data = hold_out(tfcnf.data.catalog.get("digits"), 0.1, seed=0)
        len(data.validation)  # 144 of 1,437
        ```
    """
    if not 0 <= fraction < 1:
        raise ValueError(
            "validation must be at least 0 and less than 1. "
            f"Received: validation={fraction!r}"
        )
    if source.validation is not None or not fraction:
        return source
    total = len(source.train)
    count = round(fraction * total)
    if not 0 < count < total:
        raise ValueError(
            f"validation must leave an example of {total} in each part. "
            f"Received: validation={fraction!r}"
        )
    order = np.random.default_rng([seed, 2]).permutation(total)
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    validation = dataclasses.replace(source.train.take(held), passes=1)
    return dataclasses.replace(
        source, train=source.train.take(kept), validation=validation
    )
