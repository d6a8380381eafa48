"""Batches: shuffled and flipped by (seed, epoch) for training, complete for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource, Split
from tfcnf.types import Tensor


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Full batches in an epoch over a split.

    Raises:
        ValueError: if the batch is not positive or larger than the split.
    """
    if not 0 < batch_size <= len(split):
        raise ValueError(
            f"batch_size must be between 1 and the {len(split)} training examples. "
            f"Received: batch_size={batch_size}"
        )
    return split.passes * (len(split) // batch_size)


def training_batches(
    source: DataSource | SeriesSource, batch_size: int, seed: int, epoch: int
) -> tf.data.Dataset:
    """One epoch of full batches ``(x, y)``; the incomplete last one is dropped.

    Order and flips depend on (seed, epoch) alone, so a resumed run sees what an
    uninterrupted one would have seen.
    """
    split = source.train
    used = steps_per_epoch(split, batch_size) * batch_size // split.passes
    rng = np.random.default_rng([seed, epoch])
    passes = [rng.permutation(len(split))[:used] for _ in range(split.passes)]
    order = np.concatenate(passes).reshape(-1, batch_size)
    flips = rng.random(order.shape) < 0.5
    examples = tf.nest.map_structure(tf.constant, split.x)
    labels = tf.constant(split.y)

    def batch(chosen: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
        x = tf.nest.map_structure(lambda part: tf.gather(part, chosen), examples)
        y = tf.gather(labels, chosen)
        if source.flip:
            x = tf.where(flip[:, None, None, None], tf.reverse(x, [2]), x)
        return x, y

    # not from_generator, which makes the whole process return memory eagerly
    return tf.data.Dataset.from_tensor_slices((order, flips)).map(batch).prefetch(2)


def evaluation_batches(
    split: Split, batch_size: int
) -> Iterator[tuple[Any, np.ndarray]]:
    """Every example once, in order; the last batch may be smaller."""
    for start in range(0, len(split), batch_size):
        part = slice(start, start + batch_size)
        yield tf.nest.map_structure(lambda x: x[part], split.x), split.y[part]  # noqa: B023
