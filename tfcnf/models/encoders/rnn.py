"""The papers' recurrent encoder."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.models.encoders.recurrence import read_backwards
from tfcnf.ode.autonomous import uniform
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

STARTS = ("uniform", "orthogonal")


class RNNEncoder(Encoder, key="rnn"):
    """The state of a tanh RNN that reads the series backwards (InfoCNF App. E).

    Points that were not observed leave the state of the RNN as it is. Option ``start``
    of the recurrent weights: ``"uniform"`` as the authors', which forgets within a few
    points, or ``"orthogonal"``, which remembers all.
    """

    def make(
        self,
        inputs: int,
        units: int,
        seeds: keras.random.SeedGenerator,
        *,
        start: str = "uniform",
    ) -> int:
        """The RNN; its state has ``units`` numbers.

        Raises:
            ValueError: for an unknown start.
        """
        check_choice("start", start, STARTS)

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
        return units

    def read(self, inputs: Tensor, times: Tensor, seen: Tensor | None) -> Tensor:
        """The state of the RNN at the first point, ``[B, units]``."""
        if inputs.shape[1] is None:
            return self.rnn(inputs, mask=seen)
        cell = self.rnn.cell
        each = tf.matmul(tf.transpose(inputs, [1, 0, 2]), cell.kernel.value)
        if seen is not None:
            seen = tf.transpose(seen)[..., None]
        return read_backwards(each + cell.bias.value, cell.recurrent_kernel.value, seen)
