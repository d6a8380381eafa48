"""An encoder that attends to the points of a series."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tfcnf.models.affine import dense
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

HEADS = 4
RATES = [math.pi / 8 * 2**k for k in range(6)]  # periods from 16 down to 1/2


class AttentionEncoder(Encoder, key="attention"):
    """Attention of a learned query over the observed points, each (time, value).

    A point is its values, its time and sines and cosines of that, with periods between
    1/2 and 16: series of other lengths need units, see `tfcnf.SeriesUnits`. It has no
    loop over the points.
    """

    def make(self, inputs: int, units: int, seeds: keras.random.SeedGenerator) -> int:
        """Maps of the points, the attention and its query, and a hidden layer."""
        dtype = self.dtype_policy
        width = inputs + 1 + 2 * len(RATES)
        self.embedding = dense(
            units, width, seeds=seeds, dtype=dtype, activation="tanh"
        )
        self.query = self.add_weight(
            name="query",
            shape=(1, 1, units),
            initializer=keras.initializers.RandomNormal(seed=next_int(seeds)),
        )
        self.attention = keras.layers.MultiHeadAttention(
            HEADS,
            -(-units // HEADS),
            kernel_initializer=keras.initializers.GlorotUniform(next_int(seeds)),
            dtype=dtype,
        )
        self.attention.build((None, 1, units), (None, None, units))
        self.hidden = dense(units, units, seeds=seeds, dtype=dtype, activation="tanh")
        return units

    def read(self, inputs: Tensor, times: Tensor, seen: Tensor | None) -> Tensor:
        """The answer of the points to the query, ``[B, units]``."""
        angles = times[..., None] * tf.constant(RATES, times.dtype)
        parts = [inputs, times[..., None], tf.sin(angles), tf.cos(angles)]
        points = self.embedding(tf.concat(parts, -1))
        query = tf.tile(tf.cast(self.query, points.dtype), [tf.shape(points)[0], 1, 1])
        mask = None if seen is None else seen[:, None]
        found = self.attention(query, points, attention_mask=mask)
        return self.hidden(found[:, 0])
