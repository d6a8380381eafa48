"""Batches: shuffled and flipped by (seed, epoch) for training, complete for tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfcnf.data.source import DataSource, Split


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
    flips = rng.random(len(order)) < 0.5 if source.flip else np.zeros(len(order), bool)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            x, y = source.train.x[chosen], source.train.y[chosen]
            if source.flip:
                flip = flips[start : start + batch_size]
                x[flip] = x[flip, :, ::-1]
            yield x, y

    return tf.data.Dataset.from_generator(
        batches, output_signature=_signature(source.train, batch_size)
    ).prefetch(2)


def evaluation_batches(
    split: Split, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every example once, in order; the last batch may be smaller."""
    for start in range(0, len(split), batch_size):
        yield split.x[start : start + batch_size], split.y[start : start + batch_size]


def _signature(split: Split, batch_size: int) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    def spec(array: np.ndarray) -> tf.TensorSpec:
        return tf.TensorSpec((batch_size, *array.shape[1:]), array.dtype)

    return spec(split.x), spec(split.y)
