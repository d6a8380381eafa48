"""Conditions that are columns of a table, in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfcnf.data.columns import Column
from tfcnf.flows.columns import Columns
from tfcnf.precision import FullPrecision
from tfcnf.types import Tensor


class ConditionColumns(FullPrecision):
    """Numbers of unit size, then one-hot vectors of categories, ``[B, W]``.

    Numbers are stretched and standardised as `tfcnf.data.columns.Column` says.

    Args:
        columns: of the condition, real numbers or categories.

    Raises:
        ValueError: for a column of another kind.
    """

    def __init__(self, columns: Sequence[Column], **kwargs: Any):
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        if any(column.kind == "integer" for column in columns):
            raise ValueError(
                "conditions are real numbers or categories; integers are numbers too. "
                f"Received: context={[column.name for column in columns]}"
            )
        named = [column.kind == "category" for column in columns]
        self.named = [i for i, is_named in enumerate(named) if is_named]
        self.numbers = [i for i, is_named in enumerate(named) if not is_named]
        real = [columns[i] for i in self.numbers]
        self.units = Columns(real, dtype=self.dtype_policy) if real else None

    def call(self, condition: Tensor) -> Tensor:
        """``[B, C]`` in their own units to ``[B, W]``."""
        parts = []
        if self.units is not None:
            parts.append(self.units(tf.gather(condition, self.numbers, axis=1)).z)
        for i in self.named:
            number = tf.cast(condition[:, i], tf.int32)
            names = self.columns[i].names
            parts.append(tf.one_hot(number, len(names), dtype=self.compute_dtype))
        return tf.concat(parts, 1)

    def compute_output_shape(self, shape: Any) -> tuple[Any, int]:
        """Shape of the result."""
        return shape[0], sum(column.width for column in self.columns)

    def inside(self, condition: Tensor) -> Tensor:
        """Condition that all values lie within bounds and categories."""
        fits = tf.constant(True)
        if self.units is not None:
            numbers = tf.gather(condition, self.numbers, axis=1)
            fits &= tf.reduce_all(self.units.inside(numbers))
        for i in self.named:
            value = condition[:, i]
            known = (value >= 0) & (value < len(self.columns[i].names))
            fits &= tf.reduce_all(known & tf.equal(value, tf.floor(value)))
        return fits
