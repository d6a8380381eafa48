"""A metric that outlives the epochs."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfcnf.types import Tensor


class RunningMean(keras.metrics.Metric):
    """An exponential mean over all steps, which no epoch resets.

    The authors print their ELBO so, with momentum 0.99 and from the first value on.

    Args:
        name: of the metric.
        mean: a variable of the model, so that checkpoints have it.
        begun: another, 0 before the first value.
        momentum: weight of the mean so far.
    """

    def __init__(
        self,
        name: str,
        mean: keras.Variable,
        begun: keras.Variable,
        momentum: float = 0.99,
    ):
        super().__init__(name=name)
        self.mean, self.begun, self.momentum = mean, begun, momentum

    def update_state(self, values: Tensor, weight: Tensor = 1.0) -> None:
        """Takes in the mean of one step's values, whatever its weight if above 0."""
        value = tf.cast(tf.reduce_mean(values), self.mean.dtype)
        kept = self.momentum * self.begun.value
        new = kept * self.mean.value + (1.0 - kept) * value
        self.mean.assign(tf.where(weight > 0, new, self.mean.value))
        begun = self.begun.value
        self.begun.assign(tf.where(weight > 0, tf.ones_like(begun), begun))

    def result(self) -> Tensor:
        """The running mean."""
        return tf.convert_to_tensor(self.mean)

    def reset_state(self) -> None:
        """Keeps the mean."""
