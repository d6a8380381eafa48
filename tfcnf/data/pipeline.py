"""Batches: shuffled and flipped by (seed, epoch) for training, complete for tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfcnf.data.source import DataSource, Split
from tfcnf.types import Tensor


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Full batches in a split.

    Raises:
        ValueError: if the batch is not positive or larger than the split.
    """
    if not 0 < batch_size <= len(split):
        raise ValueError(
            f"batch_size must be between 1 and the {len(split)} training examples. "
            f"Received: batch_size={batch_size}"
        )
    return len(split) // batch_size


def training_batches(
    source: DataSource, batch_size: int, seed: int, epoch: int
) -> tf.data.Dataset:
    """One epoch of full batches ``(x, y)``; the incomplete last one is dropped.

    Order and flips depend on (seed, epoch) alone, so a resumed run sees what an
    uninterrupted one would have seen.
    """
    steps = steps_per_epoch(source.train, batch_size)
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(source.train))[: steps * batch_size]
    order = order.reshape(steps, batch_size)
    flips = rng.random(order.shape) < 0.5
    examples, labels = tf.constant(source.train.x), tf.constant(source.train.y)

    def batch(chosen: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
        x, y = tf.gather(examples, chosen), tf.gather(labels, chosen)
        if source.flip:
            x = tf.where(flip[:, None, None, None], tf.reverse(x, [2]), x)
        return x, y

    # not from_generator, which makes the whole process return memory eagerly
    return tf.data.Dataset.from_tensor_slices((order, flips)).map(batch).prefetch(2)


def evaluation_batches(
    split: Split, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every example once, in order; the last batch may be smaller."""
    for start in range(0, len(split), batch_size):
        yield split.x[start : start + batch_size], split.y[start : start + batch_size]
