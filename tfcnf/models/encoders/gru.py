"""A gated recurrent encoder."""

from __future__ import annotations

import keras

from tfcnf.models.encoders.encoder import Encoder
from tfcnf.seeds import next_int
from tfcnf.types import Tensor


class GRUEncoder(Encoder, key="gru"):
    """The state of a GRU that reads the series backwards (Cho et al. 2014)."""

    def make(self, inputs: int, units: int, seeds: keras.random.SeedGenerator) -> int:
        """The GRU; its state has ``units`` numbers."""
        self.rnn = gru(inputs, units, seeds=seeds, backwards=True, dtype=self.dtype)
        return units

    def read(self, inputs: Tensor, times: Tensor, seen: Tensor | None) -> Tensor:
        """The state of the GRU at the first point, ``[B, units]``."""
        return self.rnn(inputs, mask=seen)


def gru(
    inputs: int,
    units: int,
    *,
    seeds: keras.random.SeedGenerator,
    backwards: bool,
    dtype: str,
) -> keras.layers.GRU:
    """A built GRU from seeds of its own.

    Args:
        inputs: numbers of each point.
        units: of its state.
        seeds: of the initial weights.
        backwards: whether it reads from the last point to the first.
        dtype: of its weights.
    """
    layer = keras.layers.GRU(
        units,
        kernel_initializer=keras.initializers.GlorotUniform(next_int(seeds)),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next_int(seeds)),
        go_backwards=backwards,
        dtype=dtype,
    )
    layer.build((None, None, inputs))
    return layer
