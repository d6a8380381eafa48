"""Labels that are one of K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.checks import is_integer
from tfcnf.labels.base import Label, whole_between
from tfcnf.seeds import uniform
from tfcnf.types import Tensor

tfd = tfp.distributions
HIDDEN = -1


@keras.saving.register_keras_serializable("tfcnf")
class Categorical(Label):
    """A class 0..K-1; -1 where it is hidden. All classes are equally probable.

    ```python
    model = tfcnf.InfoCNF((2,), labels=[tfcnf.Categorical(3)])
    ```

    Args:
        num_classes: K.
        names: of the classes; their numbers if None.
        **options: see `Label`.

    Raises:
        ValueError: for a number of classes that is not a positive integer, or as many
            names as there are not classes.
    """

    def __init__(
        self, num_classes: int, names: Sequence[str] | None = None, **options: Any
    ):
        super().__init__(**options)
        if not is_integer(num_classes) or num_classes < 1:
            raise ValueError(
                "the number of classes must be a positive integer. "
                f"Received: num_classes={num_classes!r}"
            )
        self.num_classes = int(num_classes)
        self.names = tuple(map(str, range(num_classes) if names is None else names))
        if len(self.names) != num_classes:
            raise ValueError(
                f"there must be a name for each of {num_classes} classes. "
                f"Received: names={names}"
            )

    @property
    def num_features(self) -> int:
        """K, the classes as one-hot vectors."""
        return self.num_classes

    @property
    def num_outputs(self) -> int:
        """K logits."""
        return self.num_classes

    @property
    def num_means(self) -> int:
        """The logits, K."""
        return self.num_classes

    def check(self, y: Tensor, hidden: bool) -> tuple[Tensor, str]:
        """Condition 0 <= y < K, or -1 <= y < K where values may be hidden."""
        lowest = HIDDEN if hidden else 0
        highest = self.num_classes - 1
        return whole_between(y, lowest, highest), f"in {lowest}..{highest}"

    def features(self, y: Tensor) -> Tensor:
        """One-hot vectors ``[B, K]``, zero for hidden values."""
        return tf.one_hot(y[:, 0], self.num_classes, dtype=self.compute_dtype)

    def is_hidden(self, y: Tensor) -> Tensor:
        """Mask of values -1, ``[B]``."""
        return y[:, 0] < 0  # -1 is no unsigned number

    def predict(self, z: Tensor) -> tfp.distributions.Categorical:
        """The class probabilities of q_theta, batch ``[B]``."""
        return tfd.Categorical(logits=self.q_theta(z))

    def estimate(self, z: Tensor) -> Tensor:
        """The most probable class, ``[B, 1]``."""
        return tf.argmax(self.q_theta(z), -1)[:, None]

    def loss(self, z: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy, ``[B]`` nats; 0 where hidden."""
        logits = self.q_theta(z)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.maximum(y[:, 0], 0), logits
        ) * tf.cast(~self.is_hidden(y), logits.dtype)

    def measures(self, estimate: Tensor, y: Tensor) -> dict[str, Tensor]:
        """``error``: 100 where the most probable class is wrong, else 0."""
        wrong = tf.not_equal(
            tf.cast(estimate[:, 0], tf.int32), tf.cast(y[:, 0], tf.int32)
        )
        return {"error": 100.0 * tf.cast(wrong, self.compute_dtype)}

    def support(self) -> tuple[Tensor, Tensor]:
        """Every class, equally probable."""
        return (
            tf.range(self.num_classes)[:, None],
            tf.zeros([self.num_classes], self.compute_dtype),
        )

    def sample(self, count: Tensor, seed: Tensor) -> Tensor:
        """Classes ``[count, 1]``."""
        return tf.cast(uniform([count, 1], seed) * float(self.num_classes), tf.int32)

    def examples(self, count: int) -> np.ndarray:
        """The first classes, ``[n, 1]``."""
        return np.arange(min(count, self.num_classes), dtype=np.int32)[:, None]

    def describe(self) -> str:
        """The number of classes."""
        return f"{self.num_classes} classes"

    def caption(self, value: Sequence[Any]) -> str:
        """The name of the class."""
        return self.names[int(value[0])]

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "num_classes": self.num_classes,
            "names": self.names,
        }
