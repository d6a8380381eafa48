"""The recurrent encoder of a latent ODE."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.data.series import Series
from tfcnf.models.recurrence import read_backwards
from tfcnf.ode.autonomous import uniform
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

NEVER = 1e30
STARTS = ("uniform", "orthogonal")


class Recognition(keras.layers.Layer):
    """Parameters of q(z(0) | x) from a tanh RNN that reads the series backwards.

    Points that were not observed leave the state of the RNN as it is.

    Args:
        obs_dims: dimensions of an observation.
        latent_dims: dimensions of z.
        units: of the RNN.
        encode_gaps: read the time to the next observed point too.
        seed: integer seed of the initial weights.
        start: of the recurrent weights: ``"uniform"`` as the authors', which forgets
            within a few points, or ``"orthogonal"``, which remembers all.

    Raises:
        ValueError: for an unknown start.
    """

    def __init__(
        self,
        obs_dims: int,
        latent_dims: int,
        *,
        units: int = 25,
        encode_gaps: bool = False,
        seed: int | None = None,
        start: str = "uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("encoder_start", start, STARTS)
        self.encode_gaps = encode_gaps
        seeds = keras.random.SeedGenerator(seed)
        inputs = obs_dims + int(encode_gaps)

        def plain() -> keras.initializers.Initializer:
            return uniform(inputs + units, next_int(seeds))

        recurrent = plain()
        if start == "orthogonal":
            recurrent = keras.initializers.Orthogonal(seed=next_int(seeds))

        self.rnn = keras.layers.SimpleRNN(
            units,
            kernel_initializer=plain(),
            recurrent_initializer=recurrent,
            bias_initializer=plain(),
            go_backwards=True,
            dtype=self.dtype_policy,
        )
        self.rnn.build((None, None, inputs))
        self.output_map = dense(
            2 * latent_dims, units, seeds=seeds, dtype=self.dtype_policy
        )
        self.built = True

    def call(self, x: Series, complete: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z(0) | x), ``[B, D]`` each.

        Args:
            x: series ``[B, T, C]``.
            complete: no point is missing, so that the masks need not be looked at.
        """
        inputs = x.values
        if self.encode_gaps:
            inputs = tf.concat([inputs, _gaps(x)[..., None]], -1)
        seen = None if complete else tf.cast(x.mask, tf.bool)
        h = self._read(inputs, seen)
        mean, log_variance = tf.split(self.output_map(h), 2, -1)
        return mean, log_variance

    def _read(self, inputs: Tensor, seen: Tensor | None) -> Tensor:
        """The state of the RNN at the first point, ``[B, units]``."""
        if inputs.shape[1] is None:
            return self.rnn(inputs, mask=seen)
        cell = self.rnn.cell
        each = tf.matmul(tf.transpose(inputs, [1, 0, 2]), cell.kernel.value)
        if seen is not None:
            seen = tf.transpose(seen)[..., None]
        return read_backwards(each + cell.bias.value, cell.recurrent_kernel.value, seen)


def dense(
    units: int,
    fan_in: int,
    *,
    seeds: keras.random.SeedGenerator,
    dtype: Any,
    activation: str | None = None,
) -> keras.layers.Dense:
    """A built affine layer that starts as the reference's do, from seeds of its own."""
    layer = keras.layers.Dense(
        units,
        activation,
        kernel_initializer=uniform(fan_in, next_int(seeds)),
        bias_initializer=uniform(fan_in, next_int(seeds)),
        dtype=dtype,
    )
    layer.build((None, fan_in))
    return layer


def _gaps(x: Series) -> Tensor:
    """From each observed point the time to the next one, 0 at the last, ``[B, T]``."""
    seen = tf.where(x.mask > 0, x.times, NEVER)
    never = tf.fill(tf.shape(seen[:, :1]), tf.cast(NEVER, seen.dtype))
    later = tf.concat([seen[:, 1:], never], 1)
    following = tf.reverse(tf.scan(tf.minimum, tf.transpose(later)[::-1]), [0])
    gaps = tf.transpose(following) - x.times
    return tf.where((x.mask > 0) & (gaps < 0.5 * NEVER), gaps, 0.0)
