"""Tolerances set by hand for each part of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.tolerances.policy import Pair, TolerancePolicy, check_tolerance, defaults
from tfcnf.types import Tensor


@keras.saving.register_keras_serializable("tfcnf")
class ScheduledTolerance(TolerancePolicy, key="scheduled"):
    """A tolerance chosen by hand for each part of the training.

    It is ``tol * factors[k]`` from epoch ``epochs[k]`` on, counted from 0.

    ```python
    policy = tfcnf.ScheduledTolerance(1e-3, epochs=(0, 10), factors=(1.0, 0.1))
    policy.begin_epoch(10)  # from here on 1e-4
    ```

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
        self, features: Tensor, sample: bool = False, seed: Tensor = None
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

    def begin_epoch(self, epoch: int) -> None:
        """Sets the epoch, counted from 0."""
        self.epoch.assign(epoch)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The options of `for_layer`."""
        return defaults(cls.for_layer)

    @classmethod
    def for_layer(
        cls,
        first: bool,
        tol: float,
        adjoint_tol: float | None,
        seed: int | None,
        dtype: Any,
        *,
        first_factor: float = 0.1,
        adjoint_first_factor: float = 0.1,
        epochs: Sequence[int] = (0,),
        factors: Sequence[float] = (1.0,),
        adjoint_factors: Sequence[float] = (1.0,),
        **options: Any,
    ) -> Pair:
        """Strict tolerances for the first CNF of each stack, loose ones for the others.

        Args:
            first: whether the layer is the first of its stack (scale).
            tol: forward tolerance of the layers that are not.
            adjoint_tol: their backward tolerance; ``tol`` if None.
            seed: not used.
            dtype: dtype or dtype policy of the layers.
            first_factor: factor on the forward tolerance of the first.
            adjoint_first_factor: factor on its backward tolerance.
            epochs: see `ScheduledTolerance`; for both tolerances.
            factors: of the forward tolerances, from each of ``epochs`` on.
            adjoint_factors: of the backward tolerances, from each of ``epochs`` on; one
                alone holds for all of them.
            **options: there are no others.
        """
        backward = tol if adjoint_tol is None else adjoint_tol
        tol, backward = (
            value * (factor if first else 1.0)
            for value, factor in [(tol, first_factor), (backward, adjoint_first_factor)]
        )
        backward_factors = tuple(adjoint_factors)
        if len(backward_factors) == 1:
            backward_factors *= len(epochs)
        if len(backward_factors) != len(epochs):
            raise ValueError(
                "adjoint_factors must be one or as many as epochs. Received: "
                f"adjoint_factors={backward_factors}, epochs={tuple(epochs)}"
            )
        return (
            cls(tol, epochs, factors, dtype=dtype),
            cls(backward, epochs, backward_factors, dtype=dtype),
        )
