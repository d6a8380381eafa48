"""Random seeds that resume exactly and differ between replicas."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfcnf.types import Tensor


def next_seed(generator: keras.random.SeedGenerator) -> Tensor:
    """A fresh stateless seed ``[2]``, different on every replica."""
    seed = tf.convert_to_tensor(generator.next())
    replica = tf.distribute.get_replica_context()
    if replica is None:
        return seed
    return tf.random.experimental.stateless_fold_in(
        seed, replica.replica_id_in_sync_group
    )


def shared_seed(generator: keras.random.SeedGenerator) -> Tensor:
    """A fresh stateless seed ``[2]``, the same on every replica."""
    return tf.convert_to_tensor(generator.next())


def next_int(generator: keras.random.SeedGenerator) -> int:
    """The next integer seed for something that is built; outside graphs."""
    return int(keras.random.randint((), 0, 2**31 - 1, seed=generator))
