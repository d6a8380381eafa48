"""The decoder of a latent ODE, p(x(t) | z(t))."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.models.affine import dense
from tfcnf.precision import FullPrecision
from tfcnf.types import Tensor


class Decoder(FullPrecision):
    """N(x; mean(z), sigma^2 I) at each time, the mean by one hidden layer with ReLU.

    A linear mean, without a hidden layer, goes on beyond the values of training.

    Args:
        obs_dims: dimensions of an observation.
        latent_dims: dimensions of z.
        units: of the hidden layer; 0 for none.
        sigma: standard deviation.
        seed: integer seed of the initial weights.
    """

    def __init__(
        self,
        obs_dims: int,
        latent_dims: int,
        *,
        units: int = 20,
        sigma: float = 0.3,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.sigma = sigma
        seeds, dtype = keras.random.SeedGenerator(seed), self.dtype_policy
        self.hidden = None
        if units:
            self.hidden = dense(
                units, latent_dims, seeds=seeds, dtype=dtype, activation="relu"
            )
        width = units or latent_dims
        self.output_map = dense(obs_dims, width, seeds=seeds, dtype=dtype)
        self.built = True

    def call(self, z: Tensor) -> Tensor:
        """Mean observations ``[B, T, C]`` of codes ``[B, T, D]``."""
        return self.output_map(z if self.hidden is None else self.hidden(z))

    def log_prob(self, x: Series, mean: Tensor) -> Tensor:
        """log p(x | z) over the observed values, ``[B]`` nats.

        Args:
            x: observations.
            mean: what `call` gives at their times, ``[B, T, C]``.
        """
        each = tf.square((x.values - mean) / self.sigma)
        constant = math.log(2 * math.pi * self.sigma**2)
        if len(x.mask.shape) == 3:
            return -0.5 * tf.reduce_sum(x.mask * (each + constant), [1, 2])
        square = tf.reduce_sum(each, -1)
        return -0.5 * tf.reduce_sum(x.mask * (square + mean.shape[-1] * constant), 1)
