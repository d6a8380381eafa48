"""Checks of the series that are handed to a latent ODE."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.models.inputs import require


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
