"""One constant tolerance."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfcnf.tolerances.policy import TolerancePolicy, check_tolerance
from tfcnf.types import Tensor


@keras.saving.register_keras_serializable("tfcnf")
class FixedTolerance(TolerancePolicy, key="fixed"):
    """The same tolerance for every batch.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), tfcnf.FixedTolerance(1e-3))
    ```

    Args:
        tol: absolute and relative error tolerance of the solver, positive.

    Raises:
        ValueError: if the tolerance is not a positive finite number.
    """

    def __init__(self, tol: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.tol = check_tolerance("tol", tol)

    def call(
        self, features: Tensor, sample: bool = False, seed: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """The tolerance and log pi = 0; ``features`` are not looked at."""
        dtype = features.dtype
        return tf.constant(self.tol, dtype), tf.zeros([], dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {"tol": self.tol}
