"""Checks of what users hand to a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.types import Tensor


def check_examples(
    x: Any,
    event_shape: Sequence[int],
    num_levels: int,
    inside: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """A batch of examples as a tensor.

    Args:
        x: integers ``0..num_levels-1`` or finite floats, ``[B, *event_shape]``.
        event_shape: shape of one example.
        num_levels: grey levels of images; 1 for data that is not an image.
        inside: whether each example lies in the model's support, where all have to.

    Raises:
        ValueError: for a wrong shape or dtype, and, in eager mode, for values that
            are not finite or outside the range (an InvalidArgumentError in a graph).
    """
    x = tf.convert_to_tensor(x)
    shape = tuple(event_shape)
    if x.shape.rank != len(shape) + 1 or not x.shape[1:].is_compatible_with(shape):
        raise ValueError(
            f"examples must have shape [batch, {', '.join(map(str, shape))}]. "
            f"Received: x.shape={x.shape}"
        )
    if not (x.dtype.is_integer or x.dtype.is_floating):
        raise ValueError(
            f"examples must be integers or floats. Received: x.dtype={x.dtype.name}"
        )
    if x.dtype.is_integer and num_levels == 1:
        raise ValueError(
            f"vectors must be floating-point. Received: x.dtype={x.dtype.name}"
        )
    if x.dtype.is_integer:
        valid = _between(x, 0, [num_levels - 1])
        message = f"integer images must be grey levels 0..{num_levels - 1}"
    elif num_levels > 1 and inside:
        valid = tf.reduce_all(inside(x))
        message = (
            "floating-point images must lie in [0, 1], or less than alpha / "
            "(1 - 2 alpha) beyond it, and be finite"
        )
    else:
        valid = tf.reduce_all(tf.math.is_finite(x))
        message = "examples must be finite"
    x = require(valid, f"{message}. Received: x=", x)
    if num_levels == 1 and inside:
        message = "examples must lie within the bounds of the model's columns"
        x = require(tf.reduce_all(inside(x)), f"{message}. Received: x=", x)
    return x


def check_codes(z: Any, num_dims: int) -> Tensor:
    """A batch of codes ``[B, D]`` as a tensor.

    Raises:
        ValueError: for a wrong shape or dtype.
    """
    z = tf.convert_to_tensor(z)
    if z.shape.rank != 2 or z.shape[1] != num_dims:
        raise ValueError(
            f"codes must have shape [batch, {num_dims}]. Received: z.shape={z.shape}"
        )
    if not (z.dtype.is_floating or z.dtype.is_integer):
        raise ValueError(f"codes must be numbers. Received: z.dtype={z.dtype.name}")
    return z


def check_real(name: str, x: Tensor, shape: Sequence[int]) -> None:
    """Raises a ValueError unless x are floats, of any batch of this shape."""
    known = x.shape.rank is not None and x.shape.rank >= len(shape)
    if not known or not x.shape[-len(shape) :].is_compatible_with(shape):
        raise ValueError(
            f"{name} must have the event shape {list(shape)}. Received: shape={x.shape}"
        )
    if not x.dtype.is_floating:
        raise ValueError(
            f"{name} must be floats, not grey levels. Received: dtype={x.dtype.name}"
        )


def _between(values: Tensor, low: int, high: Sequence[int]) -> Tensor:
    """The condition that all are within bounds, compared in their own type."""
    kind = values.dtype
    highest = tf.constant([min(bound, kind.max) for bound in high], kind)
    return tf.reduce_all((values >= max(low, kind.min)) & (values <= highest))


def check_weights(weights: Any, dtype: Any) -> Tensor:
    """Weights of examples as floats ``[B]``.

    Args:
        weights: finite numbers of at least 0, ``[B]`` or ``[B, 1]``.
        dtype: of the result.

    Raises:
        ValueError: for a wrong shape, and, in eager mode, for weights that are negative
            or not finite (an InvalidArgumentError in a graph).
    """
    weights = tf.cast(weights, dtype)
    if weights.shape.rank is None:
        weights = in_columns("sample_weight", weights, 1)
    if weights.shape.rank == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    if weights.shape.rank != 1:
        raise ValueError(
            "sample_weight must be one number for each example. "
            f"Received: sample_weight.shape={weights.shape}"
        )
    valid = tf.reduce_all((weights >= 0) & tf.math.is_finite(weights))
    message = "sample_weight must be finite and not negative"
    return require(valid, f"{message}. Received: sample_weight=", weights)


def in_columns(name: str, value: Tensor, columns: int) -> Tensor:
    """Numbers ``[B, columns]`` of a tensor whose rank a graph does not know.

    A graph that has been given both ``[B]`` and ``[B, 1]`` is traced for any rank.
    """
    shape = tf.shape(value)
    fits = tf.equal(tf.reduce_prod(shape[1:]), columns)
    message = f"{name} must have shape [batch, {columns}]"
    shape = require(fits, f"{message}. Received: {name}.shape=", shape)
    return tf.reshape(value, [shape[0], columns])


def require(condition: Tensor, message: str, value: Tensor) -> Tensor:
    """The value, once the condition is known to hold."""
    if tf.executing_eagerly():
        if not bool(condition):
            raise ValueError(f"{message}{value.numpy()!s:.200}")
        return value
    check = tf.debugging.Assert(condition, [f"ValueError: {message}", value])
    with tf.control_dependencies([check]):
        return tf.identity(value)
