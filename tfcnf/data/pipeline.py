"""Batches: shuffled and flipped by (seed, epoch) for training, complete for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

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


class Share(NamedTuple):
    """Which parts of every batch a worker takes.

    Attributes:
        parts: equal parts that a batch is cut into, one for each replica.
        first: the first part that the worker takes.
        taken: how many it takes.
    """

    parts: int = 1
    first: int = 0
    taken: int = 1


def training_batches(
    source: DataSource | SeriesSource,
    batch_size: int,
    seed: int,
    epoch: int,
    first_step: int = 0,
    share: Share = Share(),  # noqa: B008
) -> tf.data.Dataset:
    """One epoch of full batches ``(x, y)``; the incomplete last one is dropped.

    Order and flips depend on (seed, epoch) alone, so a resumed run sees what an
    uninterrupted one would have seen, and so do any number of replicas.

    Args:
        source: the data.
        batch_size: examples of a step over all replicas.
        seed: see above.
        epoch: see above.
        first_step: steps of the epoch that are left out.
        share: parts to give; the parts of a step follow one another.
    """
    split = source.train
    used = steps_per_epoch(split, batch_size) * batch_size // split.passes
    rng = np.random.default_rng([seed, epoch])
    passes = [rng.permutation(len(split))[:used] for _ in range(split.passes)]
    order = np.concatenate(passes)
    flips = rng.random(order.shape) < 0.5
    order, flips = (
        _take(values, batch_size, first_step, share) for values in (order, flips)
    )
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


def _take(
    values: np.ndarray, batch_size: int, first_step: int, share: Share
) -> np.ndarray:
    """The worker's parts of the batches from a step on, ``[parts, B / replicas]``."""
    parts = values.reshape(-1, share.parts, batch_size // share.parts)
    mine = parts[first_step:, share.first : share.first + share.taken]
    return mine.reshape(-1, mine.shape[-1])


def evaluation_batches(
    split: Split, batch_size: int
) -> Iterator[tuple[Any, np.ndarray]]:
    """Every example once, in order; the last batch may be smaller."""
    for start in range(0, len(split), batch_size):
        part = slice(start, start + batch_size)
        yield tf.nest.map_structure(lambda x: x[part], split.x), split.y[part]  # noqa: B023
