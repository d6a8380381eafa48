"""Random points of a series at which its code stands in training.

The code of a series stands at its first observed point. A model that is trained with
codes there alone has never solved backward, nor asked what its codes become: where a
path leaves the codes that the encoder gives, nothing says how it goes on. Here the
code stands at a random point, is read from the points after it, and has to explain the
points before it too; and the path from one such code has to meet the others.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.models.latent_inputs import seen_points
from tfcnf.seeds import uniform
from tfcnf.types import Tensor


def draw_starts(x: Series, part: float, seed: Tensor) -> Tensor:
    """The index of an observed point of each series, ``[B]``.

    Half of them are the first observed points; the others are each as probable among
    the first observed ones.

    Args:
        x: series ``[B, T, C]``.
        part: of a series' observed points, from the first on, that are taken.
        seed: ``[2]`` integers.
    """
    seen = tf.cast(seen_points(x), tf.int32)
    counts = tf.cast(tf.reduce_sum(seen, 1), tf.float32)
    drawn = tf.nn.relu(2.0 * uniform(tf.shape(counts), seed) - 1.0)
    rank = tf.cast(drawn * tf.maximum(part * counts, 1.0), tf.int32)
    is_there = (tf.cumsum(seen, 1) - 1 == rank[:, None]) & (seen > 0)
    return tf.argmax(is_there, 1, tf.int32)


def from_start(x: Series, start: Tensor) -> Series:
    """The series from a point of each on; what was before is not observed.

    Args:
        x: series ``[B, T, C]``.
        start: index of an observed point of each, ``[B]``.
    """
    later = tf.range(tf.shape(x.times)[1]) >= start[:, None]
    wide = later[..., None]
    mask = tf.where(later if len(x.mask.shape) == 2 else wide, x.mask, 0.0)
    times = tf.where(later, times_from(x, start), 0.0)
    return Series(tf.where(wide, x.values, 0.0), times, mask)


def times_from(x: Series, start: Tensor) -> Tensor:
    """Times since a point of each series, ``[B, T]``; 0 where not observed."""
    first = tf.gather(x.times, start[:, None], batch_dims=1)
    return tf.where(seen_points(x), x.times - first, 0.0)


def at_start(path: Tensor, start: Tensor) -> Tensor:
    """The state of a path ``[B, T, D]`` at a point of each series, ``[B, D]``."""
    return tf.gather(path, start, batch_dims=1)


def both_ways(times: Tensor, solve: Callable[[Tensor, int], Tensor]) -> Tensor:
    """The states at times before and after 0, ``[B, T, D]``.

    Args:
        times: ``[B, T]``.
        solve: gives the states at times that are all on one side of 0, which is its
            second argument, 1 or -1.
    """
    forward = solve(tf.maximum(times, 0.0), 1)
    backward = solve(tf.minimum(times, 0.0), -1)
    return tf.where((times < 0)[..., None], backward, forward)
