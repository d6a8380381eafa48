"""Labels that are yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.labels.base import Label, whole_between
from tfcnf.labels.categorical import HIDDEN
from tfcnf.seeds import uniform
from tfcnf.types import Tensor

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfcnf")
class Binary(Label):
    """0 or 1, equally probable; -1 where it is hidden. q_phi reads the number itself.

    ```python
    model = tfcnf.InfoCNF((2,), labels=[tfcnf.Binary(title="clockwise")])
    ```
    """

    num_features = 1
    num_outputs = 1
    num_means = 1

    def check(self, y: Tensor, hidden: bool) -> tuple[Tensor, str]:
        """Condition y in {0, 1}, or {-1, 0, 1} where values may be hidden."""
        lowest = HIDDEN if hidden else 0
        return whole_between(y, lowest, 1), "0 or 1" + ", or -1 where hidden" * hidden

    def features(self, y: Tensor) -> Tensor:
        """The values themselves, ``[B, 1]``."""
        return tf.cast(y, self.compute_dtype)

    def is_hidden(self, y: Tensor) -> Tensor:
        """Mask of values -1, ``[B]``."""
        return tf.equal(y[:, 0], tf.cast(HIDDEN, y.dtype))

    def predict(self, z: Tensor) -> tfp.distributions.Bernoulli:
        """The probability of 1 by q_theta, batch ``[B]``."""
        logits = self.q_theta(z)[:, 0]
        return tfd.Bernoulli(logits=logits, dtype=logits.dtype)

    def estimate(self, z: Tensor) -> Tensor:
        """The probability of 1, ``[B, 1]``."""
        return tf.sigmoid(self.q_theta(z))

    def loss(self, z: Tensor, y: Tensor) -> Tensor:
        """-log q_theta(y | z_y), ``[B]`` nats; 0 where hidden."""
        known = tf.cast(~self.is_hidden(y), self.compute_dtype)
        value = tf.maximum(tf.cast(y[:, 0], self.compute_dtype), 0.0)
        return -self.predict(z).log_prob(value) * known

    def measures(self, estimate: Tensor, y: Tensor) -> dict[str, Tensor]:
        """``error``: 100 where the more probable value is wrong, else 0."""
        wrong = tf.not_equal(estimate[:, 0] > 0.5, y[:, 0] > 0)
        return {"error": 100.0 * tf.cast(wrong, self.compute_dtype)}

    def support(self) -> tuple[Tensor, Tensor]:
        """0 and 1, equally probable."""
        return tf.constant([[0], [1]]), tf.zeros([2], self.compute_dtype)

    def sample(self, count: Tensor, seed: Tensor) -> Tensor:
        """0 and 1, ``[count, 1]``."""
        return tf.cast(uniform([count, 1], seed) * 2.0, tf.int32)

    def examples(self, count: int) -> np.ndarray:
        """0 and 1, ``[2, 1]``."""
        return np.array([[0], [1]], np.int32)[:count]

    def describe(self) -> str:
        """The two values."""
        return "0 or 1"

    def caption(self, value: Sequence[Any]) -> str:
        """The title, negated for 0."""
        title = self.title or "yes"
        return title if value[0] else f"not {title}"
