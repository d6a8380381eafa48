"""The recurrent encoder of a latent ODE."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.ode.autonomous import uniform
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

NEVER = 1e30


class Recognition(keras.layers.Layer):
    """Parameters of q(z(0) | x) from a tanh RNN that reads the series backwards.

    Points that were not observed leave the state of the RNN as it is.

    Args:
        obs_dims: dimensions of an observation.
        latent_dims: dimensions of z.
        units: of the RNN.
        encode_gaps: read the time to the next observed point too.
        regular: no point is missing, so that the masks need not be looked at.
        seed: integer seed of the initial weights.
    """

    def __init__(
        self,
        obs_dims: int,
        latent_dims: int,
        units: int = 25,
        encode_gaps: bool = False,
        regular: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.encode_gaps, self.regular = encode_gaps, regular
        seeds = keras.random.SeedGenerator(seed)
        inputs = obs_dims + int(encode_gaps)

        def start(fan_in: int) -> keras.initializers.Initializer:
            return uniform(fan_in, next_int(seeds))

        self.rnn = keras.layers.SimpleRNN(
            units,
            kernel_initializer=start(inputs + units),
            recurrent_initializer=start(inputs + units),
            bias_initializer=start(inputs + units),
            go_backwards=True,
            dtype=self.dtype_policy,
        )
        self.rnn.build((None, None, inputs))
        self.output_map = keras.layers.Dense(
            2 * latent_dims,
            kernel_initializer=start(units),
            bias_initializer=start(units),
            dtype=self.dtype_policy,
        )
        self.output_map.build((None, units))
        self.built = True

    def call(self, x: Series) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z(0) | x), ``[B, D]`` each."""
        inputs = x.values
        if self.encode_gaps:
            inputs = tf.concat([inputs, _gaps(x)[..., None]], -1)
        h = self.rnn(inputs, mask=None if self.regular else tf.cast(x.mask, tf.bool))
        mean, log_variance = tf.split(self.output_map(h), 2, -1)
        return mean, log_variance


def _gaps(x: Series) -> Tensor:
    """From each observed point the time to the next one, 0 at the last, ``[B, T]``."""
    seen = tf.where(x.mask > 0, x.times, NEVER)
    never = tf.fill(tf.shape(seen[:, :1]), tf.cast(NEVER, seen.dtype))
    later = tf.concat([seen[:, 1:], never], 1)
    following = tf.reverse(tf.scan(tf.minimum, tf.transpose(later)[::-1]), [0])
    gaps = tf.transpose(following) - x.times
    return tf.where((x.mask > 0) & (gaps < 0.5 * NEVER), gaps, 0.0)
