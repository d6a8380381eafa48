"""Encoders of a latent ODE: from a series to q(z(0) | x).

A new encoder is one file with a subclass of `Encoder`, which a model finds by its
name: ``LatentODE(..., encoder="gru:units=64")``.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.checks import check_flag, check_positive_integer
from tfcnf.data.series import Series
from tfcnf.models.affine import dense
from tfcnf.models.latent_inputs import seen_points
from tfcnf.precision import FullPrecision
from tfcnf.registry import Registered
from tfcnf.types import Tensor

NEVER = 1e30
COMMON = ("encode_mask", "seed", "dtype")  # keywords that the model decides


class Encoder(Registered, FullPrecision, kind="encoder"):
    """Parameters of q(z(0) | x) of series with missing points and values.

    A subclass defines `make` and `read`. Points that were not observed must not change
    what it reads. Keywords of `make` that have a default are options, as ``units``, the
    width, and ``gaps``, read the time to the next observed point too:
    ``"rnn:units=25,gaps=True,start=orthogonal"``. With ``correlated=True`` the numbers
    of z are correlated in q, as they are where only a sum of two is told by a series.

    ```python
    class MeanEncoder(tfcnf.Encoder, key="mean"):
        def make(self, inputs, units, seeds):
            return inputs

        def read(self, inputs, times, seen):
            if seen is None:
                return tf.reduce_mean(inputs, 1)
            weights = tf.cast(seen, inputs.dtype)[..., None]
            return tf.reduce_sum(weights * inputs, 1) / tf.reduce_sum(weights, 1)


    model = tfcnf.LatentODE(obs_dims=2, partition="none", encoder="mean")
    ```

    Args:
        obs_dims: dimensions of an observation.
        latent_dims: dimensions of z.
        units: width of the encoder.
        gaps: see above.
        correlated: see above.
        encode_mask: read of each value too whether it was observed.
        seed: integer seed of the initial weights.
        dtype: of the layer.
        **options: of `make`.

    Raises:
        ValueError: for a width that is not a positive integer, or an option out of
            range.
    """

    def __init__(
        self,
        obs_dims: int,
        latent_dims: int,
        *,
        units: int = 25,
        gaps: bool = False,
        correlated: bool = False,
        encode_mask: bool = False,
        seed: int | None = None,
        dtype: Any = None,
        **options: Any,
    ):
        super().__init__(dtype=dtype)
        check_positive_integer("units", units)
        check_flag("gaps", gaps)
        check_flag("correlated", correlated)
        self.gaps, self.encode_mask = gaps, encode_mask
        below = latent_dims * (latent_dims - 1) // 2 if correlated else 0
        self.sizes = [latent_dims, latent_dims, below]
        seeds = keras.random.SeedGenerator(seed)
        inputs = obs_dims * (1 + int(encode_mask)) + int(gaps)
        features = self.make(inputs, units, seeds, **options)
        self.output_map = dense(
            sum(self.sizes), features, seeds=seeds, dtype=self.dtype_policy
        )
        self.built = True

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The options, with their defaults."""
        functions: list[Any] = [Encoder.__init__, cls.make]
        return {
            p.name: p.default
            for function in functions
            for p in inspect.signature(function).parameters.values()
            if p.default is not p.empty and p.name not in COMMON
        }

    def make(self, inputs: int, units: int, seeds: keras.random.SeedGenerator) -> int:
        """Makes the layers and returns the number F of features that `read` gives.

        Args:
            inputs: numbers I of each point.
            units: width of the encoder.
            seeds: of the layers, see `tfcnf.seeds.next_int`.
        """
        raise NotImplementedError

    def read(self, inputs: Tensor, times: Tensor, seen: Tensor | None) -> Tensor:
        """Features of each series, ``[B, F]``.

        Args:
            inputs: ``[B, T, I]``; 0 where not observed.
            times: ``[B, T]``, from the first observed point on.
            seen: where a point was observed, ``[B, T]`` booleans; all were if None.
        """
        raise NotImplementedError

    def call(self, x: Series, complete: bool = False) -> tuple[Tensor, Tensor]:
        """Mean ``[B, D]`` and scale of q(z(0) | x).

        The scale are deviations ``[B, D]`` or, if correlated, a lower triangle
        ``[B, D, D]``.

        Args:
            x: series ``[B, T, C]``.
            complete: no point is missing, so that the masks need not be looked at.
        """
        seen = None if complete else seen_points(x)
        parts = [x.values]
        if self.encode_mask:
            mask = x.mask if len(x.mask.shape) == 3 else x.mask[..., None]
            parts.append(tf.broadcast_to(mask, tf.shape(x.values)))
        if self.gaps:
            parts.append(_gaps(x)[..., None])
        inputs = tf.concat(parts, -1) if len(parts) > 1 else x.values
        features = self.read(inputs, x.times, seen)
        mean, log_variance, below = tf.split(self.output_map(features), self.sizes, -1)
        stddev = tf.exp(0.5 * log_variance)
        if not self.sizes[-1]:
            return mean, stddev
        shifted = tf.pad(tfp.math.fill_triangular(below), [[0, 0], [1, 0], [0, 1]])
        unit = tf.linalg.set_diag(shifted, tf.ones_like(stddev))
        return mean, stddev[..., None] * unit


def _gaps(x: Series) -> Tensor:
    """From each observed point the time to the next one, 0 at the last, ``[B, T]``."""
    observed = seen_points(x)
    seen = tf.where(observed, x.times, NEVER)
    never = tf.fill(tf.shape(seen[:, :1]), tf.cast(NEVER, seen.dtype))
    later = tf.concat([seen[:, 1:], never], 1)
    following = tf.reverse(tf.scan(tf.minimum, tf.transpose(later)[::-1]), [0])
    gaps = tf.transpose(following) - x.times
    return tf.where(observed & (gaps < 0.5 * NEVER), gaps, 0.0)
