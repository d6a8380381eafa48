"""Checks of the series that are handed to a latent ODE."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.data.series_units import SeriesUnits
from tfcnf.models.inputs import require
from tfcnf.types import Tensor


def read_series(x: Any, obs_dims: int, dtype: str, regular: bool = False) -> Series:
    """Series as tensors, with times from the first observed point of each on.

    So the encoder, which sees gaps between points, and the path from z(0) agree about
    where time 0 is, also for a `Series` that `make_series` has not made.

    Args:
        x: values ``[B, T, C]``, times ``[B, T]``, mask ``[B, T]`` or ``[B, T, C]``.
        obs_dims: dimensions C of an observation.
        dtype: of the result.
        regular: all series must have the same times and no missing point.

    Raises:
        ValueError: for a wrong shape, and, in eager mode, for series that are not
            regular but must be (an InvalidArgumentError in a graph).
    """
    parts = tuple(x) if isinstance(x, (tuple, list)) else ()
    if len(parts) == 3 and tf.is_tensor(parts[2]) and parts[2].shape.rank is None:
        parts = _with_rank(*parts)
    shapes = [tuple(getattr(part, "shape", ())) for part in parts]
    if (
        [len(shape) for shape in shapes] not in ([3, 2, 2], [3, 2, 3])
        or shapes[0][2] != obs_dims
        or not shapes[0][:2] == shapes[1]
        or shapes[2] not in (shapes[0], shapes[1])
    ):
        raise ValueError(
            f"x must be a Series of values [batch, times, {obs_dims}]; make it with "
            f"`make_series`. Received: {type(x).__name__} of shapes {shapes}"
        )
    values, times, mask = (tf.convert_to_tensor(part) for part in parts)
    mask = tf.cast(mask, dtype)  # of booleans too
    seen = seen_points(Series(values, times, mask))
    first = tf.reduce_min(tf.where(seen, times, times.dtype.max), 1, keepdims=True)
    times = tf.where(seen, times - first, tf.zeros_like(times))
    known = mask > 0 if len(mask.shape) == 3 else seen[..., None]
    values = tf.where(known, values, tf.zeros_like(values))
    if regular:
        same = tf.reduce_all(mask > 0) & tf.reduce_all(times == times[:1])
        message = "regular=True is for series that share their times and miss no point"
        times = require(same, f"{message}. Received: times=", times)
    return Series(*(tf.cast(part, dtype) for part in (values, times, mask)))


def _with_rank(values: Tensor, times: Tensor, mask: Tensor) -> Series:
    """Series with a mask of values, in a graph that was given one of points too."""
    mask = tf.reshape(mask, [*tf.unstack(tf.shape(times)), -1])
    mask = tf.ensure_shape(tf.broadcast_to(mask, tf.shape(values)), values.shape)
    return Series(values, times, mask)


def in_units(x: Series, units: SeriesUnits) -> Series:
    """Series in units of size one; what was not observed stays 0."""
    known = x.mask > 0
    known = known if len(known.shape) == 3 else known[..., None]
    values = (x.values - tf.constant(units.mean, x.values.dtype)) / units.scale
    return Series(tf.where(known, values, 0.0), x.times / units.duration, x.mask)


def seen_points(x: Series) -> Tensor:
    """Booleans ``[B, T]``, true where any value of a point was observed."""
    seen = x.mask > 0
    return tf.reduce_any(seen, -1) if len(seen.shape) == 3 else seen
