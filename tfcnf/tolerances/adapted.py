"""A tolerance that follows the honesty of the model (Ott et al. 2021, Algorithm 3)."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfcnf.tolerances.policy import TolerancePolicy, check_tolerance
from tfcnf.types import Tensor


@keras.saving.register_keras_serializable("tfcnf")
class AdaptedTolerance(TolerancePolicy, key="adapted"):
    """A tolerance that grows while the model is honest, and is halved where it is not.

    After each measure of `tfcnf.training.honesty.Honesty` the tolerance is multiplied
    by ``up`` where |bits(tol) - bits(tighter)| is at most ``limit``, and by ``down``
    where it is more, or not known. Ott et al. (arXiv:2007.15386, Algorithm 3) compare
    the accuracy of a classifier in place of bits/dim, and take a larger tolerance back
    at once where it fails; here the next measure does.

    ```python
    policy = tfcnf.AdaptedTolerance(1e-3, limit=1e-3)
    policy.hear(0.02)  # bits/dim; from here on 5e-4
    ```

    Args:
        tol: tolerance to start with.
        limit: largest honesty that lets the tolerance grow, bits/dim.
        up: factor where the model is honest, at least 1.
        down: factor where it is not, at most 1.
        low: smallest tolerance.
        high: largest tolerance.

    Raises:
        ValueError: unless ``low <= tol <= high`` and ``down <= 1 <= up``, or for a
            number that is not positive.
    """

    steps: ClassVar[int] = 50

    def __init__(
        self,
        tol: float = 1e-3,
        limit: float = 1e-3,
        *,
        up: float = 1.1,
        down: float = 0.5,
        low: float = 1e-6,
        high: float = 1e-1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        given = {
            "tol": tol,
            "limit": limit,
            "up": up,
            "down": down,
            "low": low,
            "high": high,
        }
        self.given = {name: check_tolerance(name, v) for name, v in given.items()}
        if not low <= tol <= high:
            raise ValueError(
                "the tolerance must be between the bounds. "
                f"Received: low={low}, tol={tol}, high={high}"
            )
        if not down <= 1 <= up:
            raise ValueError(
                "the factors must be on either side of 1. "
                f"Received: down={down}, up={up}"
            )
        self.now = self.add_weight(
            name="now",
            shape=(),
            initializer=keras.initializers.Constant(tol),
            trainable=False,
        )
        self.built = True

    def call(
        self, features: Tensor, sample: bool = False, seed: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """The tolerance of now and log pi = 0."""
        now = tf.convert_to_tensor(self.now.value)
        return tf.cast(now, features.dtype), tf.zeros([], features.dtype)

    def hear(self, honesty: float) -> None:
        """Adapts the tolerance to |bits(tol) - bits(tighter)|."""
        is_honest = honesty <= self.given["limit"]
        factor = self.given["up" if is_honest else "down"]
        now = float(self.now.numpy()) * factor
        self.now.assign(min(max(now, self.given["low"]), self.given["high"]))

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | self.given
