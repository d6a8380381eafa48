"""q_theta(z_y): the linear classifier on the supervised code."""

from __future__ import annotations

from typing import Any

import keras

from tfcnf.labels.linear import ZeroLinear
from tfcnf.latent.partition import Partition
from tfcnf.seeds import dropout, next_seed
from tfcnf.types import Tensor


class Classifier(keras.layers.Layer):
    """Logits of each label factor from its own code, linear, zero at the start.

    Args:
        partition: sizes of the codes.
        num_classes: classes K_i of each label factor.
        dropout: rate of dropout on the code, in training only (InfoCNF 4.1: 1/2).
        seed: integer seed of the dropout noise.

    Raises:
        ValueError: for a dropout rate outside [0, 1).
    """

    def __init__(
        self,
        partition: Partition,
        num_classes: tuple[int, ...],
        dropout: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout must be in [0, 1). Received: dropout={dropout!r}"
            )
        self.partition, self.dropout = partition, dropout
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.q_theta = []
        for i, size in enumerate(partition.supervised):
            layer = ZeroLinear(num_classes[i], name=f"q_theta_{i}", dtype=self.dtype)
            layer.build((None, size))
            self.q_theta.append(layer)
        self.built = True

    def call(self, z: Tensor, training: bool = False) -> list[Tensor]:
        """Codes ``[B, D]`` to one ``[B, K_i]`` of logits a factor."""
        codes, _ = self.partition.split(z)
        logits = []
        for q_theta, code in zip(self.q_theta, codes, strict=True):
            if training and self.dropout:
                code = dropout(code, self.dropout, next_seed(self.seed_generator))
            logits.append(q_theta(code))
        return logits
