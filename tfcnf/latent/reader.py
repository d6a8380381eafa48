"""q_theta: the labels read from the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.labels.base import Label, split_values
from tfcnf.latent.partition import Partition
from tfcnf.types import Tensor


class CodeReader(keras.layers.Layer):
    """Each label from its own code z_yi; from the whole z without supervised codes.

    Args:
        partition: sizes of the codes.
        labels: their kinds.
        identity: read the first dimensions of a code as they are, see
            `tfcnf.labels.linear.FirstDims`; from the whole z always linear.
        seed: integer seed of the initial weights of networks q_theta.
    """

    def __init__(
        self,
        partition: Partition,
        labels: Sequence[Label],
        identity: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.partition, self.labels = partition, list(labels)
        whole = (partition.unsupervised,) * len(self.labels)
        identity &= bool(partition.supervised)
        for label, dims in zip(self.labels, partition.supervised or whole, strict=True):
            label.build_predictor(dims, seed, identity)
        self.built = True

    def codes(self, z: Tensor) -> list[Tensor]:
        """The part of codes ``[B, D]`` that each label is read from."""
        return self.partition.split(z)[0] or [z] * len(self.labels)

    def losses(self, z: Tensor, y: Tensor) -> list[Tensor]:
        """-log q_theta(y_i | z) of each label, ``[B]`` nats.

        Args:
            z: codes ``[B, D]``.
            y: values of the labels ``[B, columns]``.
        """
        parts = zip(
            self.labels, self.codes(z), split_values(self.labels, y), strict=True
        )
        return [label.loss(code, value) for label, code, value in parts]

    def estimates(self, z: Tensor) -> Tensor:
        """Predicted values of all labels, ``[B, columns]``, see `Label.estimate`."""
        found = [
            tf.cast(label.estimate(code), self.compute_dtype)
            for label, code in zip(self.labels, self.codes(z), strict=True)
        ]
        return tf.concat(found, 1)
