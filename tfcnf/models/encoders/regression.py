"""An encoder that fits curves to the points of a series."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfcnf.models.affine import dense
from tfcnf.models.encoders.attention import RATES
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.types import Tensor


class RegressionEncoder(Encoder, key="regression"):
    """Coefficients of a ridge regression of the values on waves in time.

    The curves are a constant and sines and cosines with periods between 1/2 and 16, and
    each has a penalty that is learned: any times and any number of points give the same
    features. How much the points say about each curve is a feature too. Two hidden
    layers follow. It has no loop over the points. Series of other lengths need units,
    see `tfcnf.SeriesUnits`.
    """

    def make(self, inputs: int, units: int, seeds: keras.random.SeedGenerator) -> int:
        """Penalties of the coefficients and two hidden layers."""
        count = 1 + 2 * len(RATES)
        self.log_penalty = self.add_weight(
            name="log_penalty", shape=(count,), initializer="zeros"
        )
        features = count * (inputs + 1)
        self.hidden = [
            dense(units, width, seeds=seeds, dtype=self.dtype_policy, activation="tanh")
            for width in (features, units)
        ]
        return units

    def read(self, inputs: Tensor, times: Tensor, seen: Tensor | None) -> Tensor:
        """The second hidden layer, ``[B, units]``."""
        angles = times[..., None] * tf.constant(RATES, times.dtype)
        basis = tf.concat(
            [tf.ones_like(times)[..., None], tf.sin(angles), tf.cos(angles)], -1
        )
        if seen is not None:
            basis *= tf.cast(seen, basis.dtype)[..., None]
        penalty = tf.linalg.diag(tf.exp(self.log_penalty))
        gram = tf.matmul(basis, basis, transpose_a=True) + penalty
        factor = tf.linalg.cholesky(gram)
        moments = tf.matmul(basis, inputs, transpose_a=True)
        found = tf.linalg.cholesky_solve(factor, moments)
        spread = tf.math.log(tf.linalg.diag_part(gram))
        h = tf.reshape(found, [-1, found.shape[1] * found.shape[2]])
        h = tf.concat([h, spread], -1)
        for layer in self.hidden:
            h = layer(h)
        return h
