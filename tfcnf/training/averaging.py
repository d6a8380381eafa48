"""The moving average of the weights that Keras' optimizers keep with ``use_ema``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from tfcnf.checks import check_choice
from tfcnf.precision import inner_optimizer

KEPT = ("average", "last")


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Gives the model its averaged weights until the block ends; a no-op without any.

    Keras' ``SwapEMAWeights`` swaps by sums and differences, which rounds; here the
    last weights come back as they were, so that looking does not change a training.
    """
    if not _has_average(model):
        yield
        return
    kept = [weight.numpy() for weight in model.trainable_variables]
    use_weights(model, "average")
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, kept, strict=True):
            weight.assign(value)


def use_weights(model: Any, which: str | None) -> None:
    """Sets the weights for good to the average, or leaves the last.

    Args:
        model: compiled, and restored.
        which: ``"average"`` or ``"last"``; the average where there is one if None.

    Raises:
        ValueError: for another choice, or an average of a model that has none.
    """
    if which is not None:
        check_choice("weights", which, KEPT)
    if which == "average" and not _has_average(model):
        raise ValueError(
            "the run keeps no average (optimizer.ema_momentum is 0). "
            f"Received: weights={which!r}"
        )
    if which != "last" and int(model.optimizer.iterations.numpy()):
        model.optimizer.finalize_variable_values(model.trainable_variables)


def _has_average(model: keras.Model) -> bool:
    return bool(inner_optimizer(model.optimizer).use_ema)
