"""Derivatives that a solve does not have, refused where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import forwardprop_util

from tfcnf.types import Tensor

MESSAGE = (
    "ValueError: only the gradient `store` has second derivatives. "
    "Received: the derivative of a gradient of a solve"
)


def first_order_only(gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> Any:
    """The gradients of a solve, whose own derivative raises.

    They come from another solve, or from steps that are computed again; TensorFlow's
    derivative of that is wrong, or NaN.

    Args:
        gradients: of a solve.
        inputs: tensors that they depend on.

    Raises:
        tf.errors.InvalidArgumentError: ``ValueError: ...`` from the derivative, where
            it is not zero. Under XLA it is NaN.
    """

    @tf.custom_gradient
    def guard(link: Tensor, *values: Tensor) -> Any:
        def gradient(*tangents: Tensor) -> list[Any]:
            zeros = [tf.reduce_all(tf.equal(x, 0.0)) for x in tangents]
            unused = tf.reduce_all(tf.stack(zeros))
            check = tf.raw_ops.Assert(condition=unused, data=[MESSAGE])
            with tf.control_dependencies([] if check is None else [check]):
                nan = tf.constant(float("nan"), link.dtype)
                answer = tf.where(unused, tf.zeros_like(link), nan)
            return [answer, *(None for _ in tangents)]

        return [tf.identity(x) for x in values], gradient

    # what leads to the inputs, past the operations of the solve
    link = tf.add_n([tf.reduce_sum(x) for x in inputs])
    return guard(link, *(tf.stop_gradient(x) for x in gradients))


def check_forward_mode(inputs: Sequence[Tensor]) -> None:
    """Refuses a solve under ``tf.autodiff.ForwardAccumulator``.

    Raises:
        ValueError: where one watches what the solve depends on.
    """
    tensors = [tf.convert_to_tensor(x) for x in inputs]
    if forwardprop_util.pack_tangents(tensors).indices:
        raise ValueError(
            "a solve has no forward-mode derivative; use tf.GradientTape and its "
            "jacobian. Received: tf.autodiff.ForwardAccumulator"
        )


def check_captured(variables: Sequence[tf.Variable]) -> None:
    """Refuses a gradient of dynamics that use variables other than their weights.

    Raises:
        ValueError: where there are some.
    """
    if variables:
        raise ValueError(
            "dynamics are trained by their Keras weights alone: make them with "
            "add_weight, or by layers that are attributes. "
            f"Received: {', '.join(v.name for v in variables)}"
        )
