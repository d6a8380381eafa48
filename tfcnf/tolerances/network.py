"""The gating network: features of a batch to the parameters of its policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.checks import check_positive_integer
from tfcnf.precision import FullPrecision
from tfcnf.seeds import next_int
from tfcnf.types import Tensor


@keras.saving.register_keras_serializable("tfcnf")
class GateNetwork(FullPrecision):
    """Features ``[B, H, W, C]`` or ``[B, D]`` to numbers for the whole batch.

    A small CNN (for vectors, a dense network) describes each example by ``width``
    numbers. Their mean over the batch, and over the shards of all replicas, goes
    through a linear layer that starts at zero. So the output does not depend on how
    a batch is split, and a larger batch only makes it less noisy. The authors' code
    has batch normalisation in between; with it, the output would depend on the batch
    size and differ between training and test. What the linear layer sees is scaled to
    an absolute sum below 1, so that Adam moves the outputs by its learning rate and
    not by many times that; without this the policies were unstable.

    No gradient reaches the features: the flow is not trained through its gates.

    Args:
        outputs: numbers to give.
        width: filters, or units, of the two hidden layers.
        seed: integer seed of the initial weights.
    """

    def __init__(
        self, outputs: int = 2, width: int = 10, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check_positive_integer("width", width)
        self.outputs, self.width, self.seed = outputs, width, seed

    def build(self, shape: Sequence[int | None]) -> None:
        """Creates the weights for features of this shape."""
        seeds = keras.random.SeedGenerator(self.seed)
        common: dict[str, Any] = {"activation": "relu", "dtype": self.dtype_policy}

        def start() -> keras.initializers.Initializer:
            return keras.initializers.HeUniform(next_int(seeds))

        if len(shape) == 4:
            common |= {"kernel_size": 3, "padding": "same"}
            self.hidden = [
                keras.layers.MaxPool2D(padding="same", dtype=self.dtype_policy),
                keras.layers.Conv2D(self.width, kernel_initializer=start(), **common),
                keras.layers.Conv2D(
                    self.width, strides=2, kernel_initializer=start(), **common
                ),
                keras.layers.GlobalAveragePooling2D(dtype=self.dtype_policy),
            ]
        else:
            self.hidden = [
                keras.layers.Dense(self.width, kernel_initializer=start(), **common)
                for _ in range(2)
            ]
        self.head = keras.layers.Dense(
            self.outputs, kernel_initializer="zeros", dtype=self.dtype_policy
        )
        for layer in (*self.hidden, self.head):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def call(self, features: Tensor) -> Tensor:
        """``[outputs]`` for the whole batch."""
        x = tf.stop_gradient(features)
        for layer in self.hidden:
            x = layer(x)
        x = _mean_of_batch(x)[None]
        return self.head(x / (1.0 + tf.norm(x, 1)))[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "outputs": self.outputs,
            "width": self.width,
            "seed": self.seed,
        }


def _mean_of_batch(x: Tensor) -> Tensor:
    """The mean ``[D]`` of the rows of all replicas, which may have unequally many."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tf.reduce_mean(x, 0)
    counted = tf.concat([x, tf.ones_like(x[:, :1])], 1)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(counted, 0))
    return total[:-1] / total[-1]
