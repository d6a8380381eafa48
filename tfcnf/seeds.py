"""Random seeds that resume exactly, and the one place where noise is drawn from them.

Every draw is made of Philox's integers. TensorFlow makes numbers of them in another
way under XLA than in its own kernels, so that is done here, in operations that agree
to the bit: a seed gives the same noise eagerly, in a graph and compiled. Without XLA
uniform noise and signs are, to the bit, what ``tf.random.stateless_uniform`` draws;
normal noise is within a rounding what ``tf.random.stateless_normal`` draws in float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops.random_ops_util import get_key_counter_alg

PHILOX = "philox"
GROUP = 4  # integers that Philox makes at a time
Tensor = Any


def next_seed(generator: keras.random.SeedGenerator) -> Tensor:
    """A fresh stateless seed ``[2]``, different on every replica."""
    seed = tf.convert_to_tensor(generator.next())
    replica = tf.distribute.get_replica_context()
    return seed if replica is None else fold_in(seed, replica.replica_id_in_sync_group)


def replica_seed(seed: Tensor) -> Tensor:
    """A seed ``[2]`` for each of several replicas; the seed itself for one alone."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return seed
    return fold_in(seed, replica.replica_id_in_sync_group)


def shared_seed(generator: keras.random.SeedGenerator) -> Tensor:
    """A fresh stateless seed ``[2]``, the same on every replica."""
    return tf.convert_to_tensor(generator.next())


def next_int(generator: keras.random.SeedGenerator) -> int:
    """The next integer seed for something that is built.

    Raises:
        ValueError: in a graph, where there is no number yet.
    """
    if not tf.executing_eagerly():
        raise ValueError(
            "models and flows are built outside of tf.function and of graphs of "
            "TensorFlow 1. Received: tf.executing_eagerly()=False"
        )
    return int(keras.random.randint((), 0, 2**31 - 1, seed=generator))


def fold_in(seed: Tensor, number: Tensor) -> Tensor:
    """The seed ``[2]`` of the part of something that has this number."""
    return _fold_in(seed, tf.convert_to_tensor(number))


# graph functions, so that what draws in many places is traced and prepared once
@tf.function(autograph=False, experimental_attributes={"_noinline": True})
def _fold_in(seed: Tensor, number: Tensor) -> Tensor:
    return tf.random.experimental.stateless_fold_in(seed, number, alg=PHILOX)


def uniform(
    shape: Any, seed: Tensor, dtype: Any = tf.float32, first: Tensor = None
) -> Tensor:
    """Uniform noise in [0, 1), multiples of 2^-23 in every dtype.

    Args:
        shape: of the noise, ``[rows, ...]``.
        seed: ``[2]`` integers.
        dtype: of the noise.
        first: the row of a larger draw at which this one begins; 0 if None.
    """
    return tf.cast(_draw(_unit_interval, shape, seed, first), dtype)


def normal(
    shape: Any, seed: Tensor, dtype: Any = tf.float32, first: Tensor = None
) -> Tensor:
    """Standard normal noise, of float32's precision in every dtype; see `uniform`."""
    return tf.cast(_draw(_box_muller, shape, seed, first), dtype)


def signs(
    shape: Any, seed: Tensor, dtype: Any = tf.float32, first: Tensor = None
) -> Tensor:
    """Rademacher noise, 1 or -1; see `uniform`."""
    return tf.cast(_draw(_signs, shape, seed, first), dtype)


def dropout(x: Tensor, rate: float, seed: Tensor) -> Tensor:
    """x with a share ``rate`` of its entries 0 and the others scaled up."""
    kept = uniform(tf.shape(x), seed, x.dtype) >= rate
    return tf.where(kept, x * (1 / (1 - rate)), 0)


def kernel_normal(seed: Tensor, dtype: Any) -> Tensor:
    """One standard normal number, rounded as TensorFlow's own kernel does.

    For what decides how a training goes on: a rounding more or less in a sampled
    tolerance, and two trainings part. XLA draws other numbers.
    """
    return tf.random.stateless_normal([], seed, dtype=dtype, alg=PHILOX)


def _draw(
    convert: Callable[[Tensor], Tensor], shape: Any, seed: Tensor, first: Tensor
) -> Tensor:
    """Random bits, int32, converted; a part of a larger draw costs only itself."""
    shape = tf.convert_to_tensor(shape, tf.int32)
    return tf.reshape(_flat_draw(convert)(shape, seed, first), shape)


@functools.cache
def _flat_draw(convert: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    draw = functools.partial(_draw_flat, convert)
    attributes = {"_noinline": True}
    return tf.function(draw, autograph=False, experimental_attributes=attributes)


def _draw_flat(
    convert: Callable[[Tensor], Tensor], shape: Tensor, seed: Tensor, first: Tensor
) -> Tensor:
    """The entries of `_draw` in a row."""
    key, counter, alg = get_key_counter_alg(seed, PHILOX)
    count, start = tf.reduce_prod(shape), tf.constant(0, tf.int64)
    size = -(-count // GROUP) * GROUP
    if first is not None:
        row = tf.reduce_prod(tf.cast(shape[1:], tf.int64))
        start, size = tf.cast(first, tf.int64) * row, size + GROUP
        counter += tf.stack([tf.cast(start // GROUP, tf.uint64), 0])
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[size], key=key, counter=counter, alg=alg, dtype=tf.int32
    )
    begin = tf.cast(start % GROUP, tf.int32)
    return tf.slice(convert(bits), [begin], [count])


def _signs(bits: Tensor) -> Tensor:
    return 2 * (bits & 1) - 1


def _unit_interval(bits: Tensor) -> Tensor:
    return tf.cast(bits & 0x7FFFFF, tf.float32) * 2.0**-23


def _box_muller(bits: Tensor) -> Tensor:
    """Normal numbers of pairs of integers.

    The functions whose last digit is each compiler's own are taken in float64: rounded
    to float32 they agree.
    """
    u = _unit_interval(tf.reshape(bits, [-1, 2]))
    wide = tf.cast(tf.maximum(u[:, 0], 1e-7), tf.float64)
    radius = tf.sqrt(-2.0 * tf.cast(tf.math.log(wide), tf.float32))
    angle = tf.cast(2 * math.pi * tf.cast(u[:, 1], tf.float64), tf.float32)
    angle = tf.cast(angle, tf.float64)
    parts = tf.stack([tf.sin(angle), tf.cos(angle)], 1)
    return tf.reshape(radius[:, None] * tf.cast(parts, tf.float32), [-1])


def is_seed(variable: keras.Variable) -> bool:
    """Tells the state ``[2]`` of a seed generator from other variables."""
    return variable.path.endswith("seed_generator_state")


def new_seed(state: np.ndarray, number: int) -> np.ndarray:
    """The state of a seed generator that draws other noise, from state and number."""
    entropy = [int(part) % 2**64 for part in state]
    words = np.random.SeedSequence([*entropy, number]).generate_state(2)
    return (words >> 1).astype(state.dtype)
