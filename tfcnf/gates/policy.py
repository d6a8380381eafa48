"""Tolerance policies: which error tolerance a CNF's solver works to.

The contract of every policy is ``policy(features, training) -> (tol, log_pi)``:
a scalar tolerance and the log-density with which it was sampled, 0 if it was not.
With ``training`` a policy that has a distribution samples it; otherwise it gives the
mean. Policies that sample are in `tfcnf.gates.sampled`.
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

    def call(
        self, features: Tensor, training: bool = False, seed: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """The tolerance and log pi = 0; ``features`` are not looked at."""
        dtype = features.dtype
        return tf.constant(self.tol, dtype), tf.zeros([], dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {"tol": self.tol}


@keras.saving.register_keras_serializable("tfcnf")
class ScheduledTolerance(keras.layers.Layer):
    """A tolerance chosen by hand for each part of the training.

    It is ``tol * factors[k]`` from epoch ``epochs[k]`` on, counted from 0.

    Args:
        tol: tolerance where the factor is 1.
        epochs: epochs from which each factor holds; increasing, the first 0.
        factors: positive factors, one for each of ``epochs``.

    Raises:
        ValueError: for a tolerance or factor that is not positive, or bad epochs.
    """

    def __init__(
        self,
        tol: float = 1e-5,
        epochs: Sequence[int] = (0,),
        factors: Sequence[float] = (1.0,),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.tol = check_tolerance("tol", tol)
        self.epochs, self.factors = tuple(epochs), tuple(factors)
        increasing = list(self.epochs) == sorted(set(self.epochs))
        if not increasing or self.epochs[:1] != (0,):
            raise ValueError(
                f"epochs must increase from 0. Received: epochs={self.epochs}"
            )
        if len(self.factors) != len(self.epochs):
            raise ValueError(
                "factors must be as many as epochs. "
                f"Received: factors={self.factors}, epochs={self.epochs}"
            )
        for factor in self.factors:
            check_tolerance("factors", factor)
        self.epoch = self.add_weight(
            name="epoch", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.built = True

    def call(
        self, features: Tensor, training: bool = False, seed: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """The tolerance of the epoch and log pi = 0."""
        tols = tf.constant([self.tol * factor for factor in self.factors])
        begun = tf.cast(self.epoch.value >= tf.constant(self.epochs), tf.int32)
        tol = tf.gather(tols, tf.reduce_sum(begun) - 1)
        return tf.cast(tol, features.dtype), tf.zeros([], features.dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "tol": self.tol,
            "epochs": self.epochs,
            "factors": self.factors,
        }


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
