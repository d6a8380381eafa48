"""Batches: shuffled and flipped by (seed, epoch) for training, complete for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcnf.data.record import SplitRecord
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.kinds import hidden_rows
from tfcnf.types import Tensor, join_context


def steps_per_epoch(split: Split | SplitRecord, batch_size: int) -> int:
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
    """Parts of every batch that a worker takes.

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
    *,
    seed: int,
    epoch: int,
    first_step: int = 0,
    share: Share = Share(),  # noqa: B008
) -> tf.data.Dataset:
    """One epoch of full batches ``(x, y)``; see `training_order`."""
    order = training_order(
        source, batch_size, seed=seed, epoch=epoch, first_step=first_step, share=share
    )
    # not from_generator, which makes the whole process return memory eagerly
    return order.map(make_gather(source)).prefetch(2)


def training_order(
    source: DataSource | SeriesSource,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    first_step: int = 0,
    share: Share = Share(),  # noqa: B008
) -> tf.data.Dataset:
    """Examples of the full batches of an epoch; an incomplete batch is dropped.

    Order and flips depend on (seed, epoch) alone, so a resumed run sees what an
    uninterrupted one would have seen, and so do any number of replicas. Where labels
    are hidden, every batch has as many labelled examples as every other; the fewer of
    either kind there are, the more often they come.

    Args:
        source: the data.
        batch_size: examples of a step over all replicas.
        seed: see above.
        epoch: see above.
        first_step: steps of the epoch that are left out.
        share: parts to give; the parts of a step follow one another.

    Returns:
        Elements for `make_gather`.
    """
    split = source.train
    rng = np.random.default_rng([seed, epoch])
    steps = steps_per_epoch(split, batch_size)
    hidden = hidden_rows(source.labels, split.y)
    if split.labelled_part is not None and hidden.any():
        order = _mix(split, ~hidden, steps, batch_size, rng)
    else:
        order = _permute(split, steps, batch_size, rng)
    flips = rng.random(order.shape) < 0.5
    order, flips = (
        _take(values, batch_size, first_step, share) for values in (order, flips)
    )
    return tf.data.Dataset.from_tensor_slices((order, flips))


def make_gather(
    source: DataSource | SeriesSource,
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Makes ``(x, y)`` of an element of `training_order`; one serves all epochs.

    Of data with a context x is ``{"x": x, "context": context}``; a flip leaves the
    context as it is.
    """
    examples = tf.nest.map_structure(tf.constant, source.train.x)
    context = getattr(source.train, "context", None)
    conditions = None if context is None else tf.constant(context)
    labels = tf.constant(source.train.y)

    def gather(chosen: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
        x = tf.nest.map_structure(lambda part: tf.gather(part, chosen), examples)
        y = tf.gather(labels, chosen)
        if source.flip:
            x = tf.where(flip[:, None, None, None], tf.reverse(x, [2]), x)
        if conditions is not None:
            x = join_context(x, tf.gather(conditions, chosen))
        return x, y

    return gather


def _take(
    values: np.ndarray, batch_size: int, first_step: int, share: Share
) -> np.ndarray:
    """The worker's parts of the batches from a step on, ``[parts, B / replicas]``."""
    parts = values.reshape(-1, share.parts, batch_size // share.parts)
    mine = parts[first_step:, share.first : share.first + share.taken]
    return mine.reshape(-1, mine.shape[-1])


def _permute(
    split: Split, steps: int, batch_size: int, rng: np.random.Generator
) -> np.ndarray:
    """Indices ``[steps, batch_size]``: in each pass every example at most once."""
    used = steps * batch_size // split.passes
    passes = [rng.permutation(len(split))[:used] for _ in range(split.passes)]
    return np.concatenate(passes).reshape(steps, batch_size)


def _mix(
    split: Split,
    known: np.ndarray,
    steps: int,
    batch_size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Indices ``[steps, batch_size]``: as many labelled examples in every row."""
    labelled = round((split.labelled_part or 0) * batch_size)
    if not labelled:
        raise ValueError(
            f"labelled_part leaves none of the batch of {batch_size} to labelled "
            f"examples. Received: labelled_part={split.labelled_part}"
        )
    columns = [
        _cycle(np.flatnonzero(known), (steps, labelled), rng),
        _cycle(np.flatnonzero(~known), (steps, batch_size - labelled), rng),
    ]
    return rng.permuted(np.concatenate(columns, 1), axis=1)


def _cycle(
    members: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """The members in random order, in a new one each time they have all been there."""
    rounds = -(-shape[0] * shape[1] // len(members))
    order = rng.permuted(np.tile(members, (rounds, 1)), axis=1)
    return order.ravel()[: shape[0] * shape[1]].reshape(shape)


def batch_specs(split: Split) -> tuple[Any, tf.TensorSpec]:
    """Specifications of the x and y of a split's batches, of any size."""
    inputs = split.inputs, split.y
    return tf.nest.map_structure(
        lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), inputs
    )


def evaluation_batches(
    split: Split, batch_size: int
) -> Iterator[tuple[Any, np.ndarray]]:
    """Every example once, in order; the last batch may be smaller.

    Of data with a context x is ``{"x": x, "context": context}``.
    """
    inputs = split.inputs
    for start in range(0, len(split), batch_size):
        part = slice(start, start + batch_size)
        yield tf.nest.map_structure(lambda x: x[part], inputs), split.y[part]  # noqa: B023
