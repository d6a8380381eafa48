"""Means over all the examples of a split, batch by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfcnf.types import Weighted


class Means:
    """Running sums of measures ``[B]``, in float64; iterates over (name, mean).

    The mean is NaN where all weights were 0.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.weights: dict[str, float] = defaultdict(float)

    def add(self, measures: Mapping[str, Any]) -> None:
        """Takes in a batch: values ``[B]``, or `Weighted` ones, by name."""
        for name, value in measures.items():
            weight = float(np.size(value))
            if isinstance(value, Weighted):
                weight = float(np.sum(value.weights, dtype=np.float64))
                value = value.values * value.weights
            self.sums[name] += float(np.sum(value, dtype=np.float64))
            self.weights[name] += weight

    def __iter__(self) -> Iterator[tuple[str, float]]:
        for name, value in self.sums.items():
            weight = self.weights[name]
            yield name, value / weight if weight else float("nan")
