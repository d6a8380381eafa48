"""Checks of the series and labels that are handed to a latent ODE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.models.inputs import require
from tfcnf.types import Tensor


def read_series(x: Any, obs_dims: int, dtype: str, regular: bool = False) -> Series:
    """Series as tensors, with times from the first observed point of each on.

    So the encoder, which sees gaps between points, and the path from z(0) agree about
    where time 0 is, also for a `Series` that `make_series` has not made.

    Args:
        x: values ``[B, T, C]``, times ``[B, T]`` and mask ``[B, T]``.
        obs_dims: dimensions C of an observation.
        dtype: of the result.
        regular: all series must have the same times and no missing point.

    Raises:
        ValueError: for a wrong shape, and, in eager mode, for series that are not
            regular but must be (an InvalidArgumentError in a graph).
    """
    parts = tuple(x) if isinstance(x, (tuple, list)) else ()
    shapes = [tuple(getattr(part, "shape", ())) for part in parts]
    if (
        [len(shape) for shape in shapes] != [3, 2, 2]
        or shapes[0][2] != obs_dims
        or not shapes[0][:2] == shapes[1] == shapes[2]
    ):
        raise ValueError(
            f"x must be a Series of values [batch, times, {obs_dims}]; make it with "
            f"`make_series`. Received: {type(x).__name__} of shapes {shapes}"
        )
    values, times, mask = (tf.convert_to_tensor(part) for part in parts)
    seen = mask > 0
    first = tf.reduce_min(tf.where(seen, times, times.dtype.max), 1, keepdims=True)
    times = tf.where(seen, times - first, tf.zeros_like(times))
    values = tf.where(seen[..., None], values, tf.zeros_like(values))
    if regular:
        same = tf.reduce_all(seen) & tf.reduce_all(times == times[:1])
        message = "regular=True is for series that share their times and miss no point"
        times = require(same, f"{message}. Received: times=", times)
    return Series(*(tf.cast(part, dtype) for part in (values, times, mask)))


def read_labels(y: Any, kinds: Sequence[str], dtype: str) -> Tensor:
    """Labels as floats ``[B, L]``.

    Args:
        y: numbers ``[B, L]``, or ``[B]`` for a single label.
        kinds: ``"gaussian"`` or ``"bernoulli"`` for each label.
        dtype: of the result.

    Raises:
        ValueError: for a wrong shape, and, in eager mode, for labels that are not
            finite, or not 0 or 1 for a Bernoulli (an InvalidArgumentError in a graph).
    """
    if y is None:
        raise ValueError(
            f"each series must have {len(kinds)} labels; partition='none' takes series "
            "alone. Received: y=None"
        )
    y = tf.cast(y, dtype)
    if y.shape.rank == 1 and len(kinds) == 1:
        y = y[:, None]
    if y.shape.rank != 2 or y.shape[1] != len(kinds):
        raise ValueError(
            f"labels must have shape [batch, {len(kinds)}]. Received: y.shape={y.shape}"
        )
    finite = tf.reduce_all(tf.math.is_finite(y))
    y = require(finite, "labels must be finite. Received: y=", y)
    binary = tf.constant([kind == "bernoulli" for kind in kinds])
    fits = tf.reduce_all((y == 0) | (y == 1) | ~binary)
    return require(fits, "bernoulli labels must be 0 or 1. Received: y=", y)
