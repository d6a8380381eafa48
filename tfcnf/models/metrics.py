"""Means over an epoch that are the same on every replica, so that they can be saved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfcnf.types import Tensor, Weighted


class EpochMean(keras.metrics.Metric):
    """The weighted mean of what every replica is told alike.

    Keras' own ``Mean`` adds the replicas up when it is read, so that a checkpoint does
    not hold what each of them has. This one is given values of the whole batch (see
    `over_replicas`), and a training that resumes within an epoch goes on exactly.

    Args:
        name: of the metric.
        root: show the square root of the mean.
    """

    def __init__(self, name: str, root: bool = False):
        super().__init__(name=name)
        self.root = root
        self.total, self.count = (
            self.add_variable(
                shape=(),
                initializer="zeros",
                aggregation="only_first_replica",
                name=part,
            )
            for part in ("total", "count")
        )

    def update_state(self, value: Tensor, weight: Tensor) -> None:
        """Takes in a mean of ``weight`` examples."""
        self.total.assign_add(value * weight)
        self.count.assign_add(weight)

    def result(self) -> Tensor:
        """The mean; NaN where nothing was measured."""
        return self.mean_of(
            tf.convert_to_tensor(self.total), tf.convert_to_tensor(self.count)
        )

    def mean_of(self, total: Tensor, count: Tensor) -> Tensor:
        """The measure of values with this sum and this sum of weights."""
        return tf.sqrt(total / count) if self.root else total / count


class Newest(keras.metrics.Metric):
    """The newest value, which the start of an epoch does not forget.

    Args:
        name: of the metric.
    """

    def __init__(self, name: str):
        super().__init__(name=name)
        self.value = self.add_variable(
            shape=(),
            initializer=keras.initializers.Constant(math.nan),
            aggregation="only_first_replica",
            name="value",
        )

    def update_state(self, value: float) -> None:
        """Takes the value in."""
        self.value.assign(value)

    def result(self) -> Tensor:
        """The newest value; NaN before the first."""
        return tf.convert_to_tensor(self.value)

    def reset_state(self) -> None:
        """Keeps the value."""


def over_replicas(
    values: Mapping[str, Tensor | Weighted],
) -> dict[str, tuple[Tensor, Tensor]]:
    """Means of a step's values over all replicas, with one collective operation.

    Args:
        values: ``[B]`` for B examples of this replica, or scalars, by name.

    Returns:
        Mean and number of values over the whole batch, or the sum of their weights;
        scalars in float32.
    """
    pairs = [_sum_and_weight(value) for value in values.values()]
    packed = sum_over_replicas(
        tf.stack([*(s for s, _ in pairs), *(w for _, w in pairs)])
    )
    totals, weights = tf.split(packed, 2)
    means = tf.math.divide_no_nan(totals, weights)
    both = zip(tf.unstack(means), tf.unstack(weights), strict=True)
    return dict(zip(values, both, strict=True))


def weigh(values: Tensor | Weighted, weights: Tensor) -> Weighted:
    """Values with these weights ``[B]``, times their own if they have any."""
    if isinstance(values, Weighted):
        return Weighted(values.values, values.weights * weights)
    return Weighted(values, weights)


def _sum_and_weight(value: Tensor | Weighted) -> tuple[Tensor, Tensor]:
    if isinstance(value, Weighted):
        # what has no weight may be NaN, as the error of a hidden number
        parts = tf.where(value.weights > 0, value.values * value.weights, 0.0)
        pair = tf.reduce_sum(parts), tf.reduce_sum(value.weights)
    else:
        pair = tf.reduce_sum(value), tf.size(value)
    return tf.cast(pair[0], tf.float32), tf.cast(pair[1], tf.float32)


def sum_over_replicas(value: Tensor) -> Tensor:
    """The sum over all replicas."""
    context: Any = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
