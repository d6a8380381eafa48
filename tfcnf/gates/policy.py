"""Tolerance policies: which error tolerance a CNF's solver works to.

The contract of every policy is ``policy(features, training) -> (tol, log_pi)``:
a scalar tolerance and the log-density with which it was sampled, 0 if it was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.types import Tensor


@keras.saving.register_keras_serializable("tfcnf")
class FixedTolerance(keras.layers.Layer):
    """The same tolerance for every batch.

    Args:
        tol: absolute and relative error tolerance of the solver, positive.

    Raises:
        ValueError: if the tolerance is not a positive finite number.
    """

    def __init__(self, tol: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.tol = check_tolerance("tol", tol)

    def call(self, features: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """The tolerance and log pi = 0; ``features`` are not looked at."""
        dtype = features.dtype
        return tf.constant(self.tol, dtype), tf.zeros([], dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {"tol": self.tol}


def check_tolerance(name: str, value: float) -> float:
    """Returns a positive finite float or raises a ValueError that says so."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number. Received: {name}={value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(
            f"{name} must be positive and finite. Received: {name}={value!r}"
        )
    return float(value)


def parse_tolerances(texts: Sequence[str]) -> list[float]:
    """Tolerances from text, each checked.

    Raises:
        ValueError: for text that is not a positive number.
    """
    tols = []
    for text in texts:
        try:
            tols.append(check_tolerance("tol", float(text)))
        except ValueError:
            raise ValueError(
                f"tol must be positive numbers. Received: tol={text!r}"
            ) from None
    if not tols:
        raise ValueError("tol must have at least one entry. Received: tol=[]")
    return tols
