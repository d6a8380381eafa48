"""Learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.types import Tensor

DECAYS = ("cosine", "piecewise")


@keras.saving.register_keras_serializable("tfcnf")
class WarmupPiecewise(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then piecewise constant (MC-FFJORD section 3).

    ``rate(step) = base * min((step + 1) / warmup_steps, 1) * 10^-(drops passed)``.

    Args:
        base: learning rate after the warm-up.
        warmup_steps: steps of the warm-up; 0 for none.
        drops: steps at which the rate is divided by 10.

    Raises:
        ValueError: for a rate that is not positive, or drops not increasing.
    """

    def __init__(self, base: float, warmup_steps: int = 0, drops: Sequence[int] = ()):
        _check_rate(base)
        if list(drops) != sorted(set(drops)):
            raise ValueError(f"drops must be increasing. Received: drops={drops!r}")
        self.base, self.warmup_steps, self.drops = base, warmup_steps, tuple(drops)

    def __call__(self, step: Tensor) -> Tensor:
        """The rate at a step, counted from 0."""
        step = tf.cast(step, tf.float32)
        warm = tf.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        passed = sum((tf.cast(step >= d, tf.float32) for d in self.drops), 0.0)
        return self.base * warm * 10.0**-passed

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return {
            "base": self.base,
            "warmup_steps": self.warmup_steps,
            "drops": self.drops,
        }


@keras.saving.register_keras_serializable("tfcnf")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule times a constant.

    Args:
        schedule: the schedule.
        factor: the constant, positive.
    """

    def __init__(self, schedule: Any, factor: float):
        self.schedule, self.factor = schedule, factor

    def __call__(self, step: Tensor) -> Tensor:
        """The rate at a step, counted from 0."""
        return self.factor * self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "factor": self.factor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Scaled:
        """Rebuilds the schedule from `get_config`."""
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["factor"])


def learning_rate(
    base: float,
    total_steps: int,
    *,
    warmup_steps: int = 0,
    decay: str = "piecewise",
    drops: Sequence[int] = (),
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A schedule by name.

    Args:
        base: learning rate after the warm-up.
        total_steps: steps of the training; the cosine ends there.
        warmup_steps: steps of the linear warm-up from 0.
        decay: ``"piecewise"`` for `WarmupPiecewise` or ``"cosine"`` to zero.
        drops: steps at which a piecewise rate is divided by 10.

    Raises:
        ValueError: for an unknown decay, or a rate that is not positive.
    """
    check_choice("decay", decay, DECAYS)
    _check_rate(base)
    if decay == "piecewise":
        return WarmupPiecewise(base, warmup_steps, drops)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else base,
        max(total_steps - warmup_steps, 1),
        warmup_target=base if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def _check_rate(base: float) -> None:
    if not base > 0:
        raise ValueError(f"base must be positive. Received: base={base!r}")
