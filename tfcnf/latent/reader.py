"""q_theta: the labels read from the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.labels.base import Label, split_values
from tfcnf.labels.categorical import Categorical
from tfcnf.latent.partition import Partition
from tfcnf.precision import FullPrecision
from tfcnf.seeds import dropout, next_seed
from tfcnf.types import Tensor


class CodeReader(FullPrecision):
    """Each label from its own code z_yi; from the whole z without supervised codes.

    Args:
        partition: sizes of the codes.
        labels: their kinds.
        identity: read the first dimensions of a code as they are, see
            `tfcnf.labels.linear.FirstDims`; from the whole z always linear.
        dropout: rate of dropout on the codes, in training only (InfoCNF 4.1: 1/2).
        seed: integer seed of the dropout noise and of networks q_theta.

    Raises:
        ValueError: for a dropout rate outside [0, 1).
    """

    def __init__(
        self,
        partition: Partition,
        labels: Sequence[Label],
        *,
        identity: bool = False,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout must be in [0, 1). Received: dropout={dropout!r}"
            )
        self.dropout = dropout
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None
        self.partition, self.labels = partition, list(labels)
        whole = (partition.unsupervised,) * len(self.labels)
        identity &= bool(partition.supervised)
        for label, dims in zip(self.labels, partition.supervised or whole, strict=True):
            label.build_predictor(dims, seed, identity)
        self.built = True

    def codes(self, z: Tensor, training: bool = False) -> list[Tensor]:
        """The part of codes ``[B, D]`` that each label is read from."""
        codes = self.partition.split(z)[0] or [z] * len(self.labels)
        if not (training and self.dropout):
            return codes
        return [
            dropout(code, self.dropout, next_seed(self.seed_generator))
            for code in codes
        ]

    def losses(self, codes: Sequence[Tensor], y: Tensor) -> list[Tensor]:
        """-log q_theta(y_i | z) of each label, ``[B]`` nats.

        Args:
            codes: from `codes`.
            y: values of the labels ``[B, columns]``.
        """
        parts = zip(self.labels, codes, split_values(self.labels, y), strict=True)
        return [label.loss(code, value) for label, code, value in parts]

    @property
    def of_classes(self) -> bool:
        """True where all labels are classes."""
        return len(self.classes) == len(self.labels)

    @property
    def classes(self) -> list[Categorical]:
        """The labels that are classes."""
        return [label for label in self.labels if isinstance(label, Categorical)]

    def logits(self, z: Tensor) -> list[Tensor]:
        """Logits ``[B, K]`` of the labels that are classes, from codes ``[B, D]``."""
        pairs = zip(self.labels, self.codes(z), strict=True)
        return [
            label.predict(code).logits
            for label, code in pairs
            if isinstance(label, Categorical)
        ]

    @property
    def loss_name(self) -> str:
        """The mean of the labels' losses: cross-entropy where all are classes."""
        return "cross_entropy" if self.of_classes else "label_nll"

    @property
    def measure_names(self) -> dict[str, tuple[int, str]]:
        """Names of all measures, with the number of the label and its own name.

        A name that an earlier label has gets the label's title, or its number, behind
        it.
        """
        names: dict[str, tuple[int, str]] = {}
        for i, label in enumerate(self.labels):
            for name in label.measure_names:
                key = f"{name}/{label.title or i}" if name in names else name
                names[key] = i, name
        return names

    def measures(
        self, codes: Sequence[Tensor], y: Tensor
    ) -> dict[str, tuple[int, Tensor]]:
        """The label's number and its measure ``[B]``, by name; see `losses`."""
        values = split_values(self.labels, y)
        each = [
            label.measures(label.estimate(code), value)
            for label, code, value in zip(self.labels, codes, values, strict=True)
        ]
        return {
            key: (i, each[i][name]) for key, (i, name) in self.measure_names.items()
        }

    def estimates(self, z: Tensor) -> Tensor:
        """Predicted values of all labels, ``[B, columns]``, see `Label.estimate`."""
        found = [
            tf.cast(label.estimate(code), self.compute_dtype)
            for label, code in zip(self.labels, self.codes(z), strict=True)
        ]
        return tf.concat(found, 1)

    def intervals(self, z: Tensor, level: float) -> Tensor:
        """Estimates with both ends of their intervals, ``[B, columns, 3]``."""
        ends = [
            tf.stack(label.interval(code, level), 2)
            for label, code in zip(self.labels, self.codes(z), strict=True)
        ]
        ends = [tf.cast(pair, self.compute_dtype) for pair in ends]
        return tf.concat([self.estimates(z)[:, :, None], tf.concat(ends, 1)], 2)
