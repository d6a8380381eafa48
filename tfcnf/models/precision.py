"""A trained model in another floating-point type."""

from __future__ import annotations

import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.models.base import FlowModel

DTYPES = ("float32", "float64")


def copy_in(model: FlowModel, dtype: str) -> FlowModel:
    """The model rebuilt with another dtype and the same weights.

    Args:
        model: a built model whose constructor takes ``dtype``.
        dtype: ``"float32"`` or ``"float64"``.

    Raises:
        ValueError: for another dtype, or a model whose parts keep their own.
    """
    check_choice("dtype", dtype, DTYPES)
    twin = type(model).from_config(model.get_config() | {"dtype": dtype})
    # integers are counts, and the gates' optimizer computes in a type of its own
    aside = {id(weight) for weight in twin.reinforce.weights} if twin.reinforce else ()
    for weight in twin.weights:
        floating = weight.value.dtype.is_floating and id(weight) not in aside
        if floating and weight.dtype != dtype:
            raise ValueError(
                "only models made by their keywords can be rebuilt in another dtype, "
                "not those with a flow of your own. "
                f"Received: {weight.path}: {weight.dtype}"
            )
    for new, old in zip(twin.weights, model.weights, strict=True):
        new.assign(tf.cast(old.value, new.value.dtype))
    return twin
