"""Means over an epoch that are the same on every replica, so that they can be saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfcnf.types import Tensor


class EpochMean(keras.metrics.Metric):
    """The weighted mean of what every replica is told alike.

    Keras' own ``Mean`` adds the replicas up when it is read, so that a checkpoint does
    not hold what each of them has. This one is given values of the whole batch (see
    `over_replicas`), and a training that resumes within an epoch goes on exactly.

    Args:
        name: of the metric.
    """

    def __init__(self, name: str):
        super().__init__(name=name)
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
        """The mean; 0 before the first value."""
        return tf.math.divide_no_nan(
            tf.convert_to_tensor(self.total), tf.convert_to_tensor(self.count)
        )


def over_replicas(values: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Means of a step's values over all replicas, with one collective operation.

    Args:
        values: ``[B]`` for B examples of this replica, or scalars, by name.

    Returns:
        Mean and number of values over the whole batch, scalars in float32.
    """
    sums = [tf.cast(tf.reduce_sum(v), tf.float32) for v in values.values()]
    counts = [tf.cast(tf.size(v), tf.float32) for v in values.values()]
    packed = tf.stack([*sums, *counts])
    context: Any = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        packed = context.all_reduce(tf.distribute.ReduceOp.SUM, packed)
    totals, numbers = tf.split(packed, 2)
    means = tf.math.divide_no_nan(totals, numbers)
    pairs = zip(tf.unstack(means), tf.unstack(numbers), strict=True)
    return dict(zip(values, pairs, strict=True))
