"""A recurrent encoder that reads both ways."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfcnf.models.encoders.encoder import Encoder
from tfcnf.models.encoders.gru import gru
from tfcnf.types import Tensor


class BidirectionalEncoder(Encoder, key="bidirectional"):
    """The last states of two GRUs, one that reads backwards and one forwards."""

    def make(self, inputs: int, units: int, seeds: keras.random.SeedGenerator) -> int:
        """The two GRUs; their states have ``2 * units`` numbers."""
        self.backward, self.forward = (
            gru(inputs, units, seeds=seeds, backwards=way, dtype=self.dtype)
            for way in (True, False)
        )
        return 2 * units

    def read(self, inputs: Tensor, times: Tensor, seen: Tensor | None) -> Tensor:
        """Both states, ``[B, 2 * units]``."""
        states = [rnn(inputs, mask=seen) for rnn in (self.backward, self.forward)]
        return tf.concat(states, -1)
