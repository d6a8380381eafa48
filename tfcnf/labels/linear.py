"""The maps that q_phi and q_theta are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.precision import FullPrecision
from tfcnf.types import Tensor


@keras.saving.register_keras_serializable("tfcnf")
class ZeroLinear(FullPrecision):
    """``(x W + b) * exp(3 s)``, with W, b and s zero at the start (Glow).

    The papers' networks q_phi and q_theta; s is a learned log-scale an output.

    Args:
        units: outputs.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape: Sequence[int | None]) -> None:
        """Creates W ``[n, units]``, b and s ``[units]``."""
        self.kernel = self.add_weight(
            name="kernel", shape=(shape[-1], self.units), initializer="zeros"
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros"
        )
        self.log_scale = self.add_weight(
            name="log_scale", shape=(self.units,), initializer="zeros"
        )
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """``[B, n]`` to ``[B, units]``."""
        return (tf.matmul(x, self.kernel.value) + self.bias.value) * tf.exp(
            3.0 * self.log_scale.value
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {"units": self.units}


class FirstDims(FullPrecision):
    """The first dimensions of a code as they are, zeros behind them.

    A linear q_theta can lose its code: where reconstruction makes something else of it
    first, the best weight is 0, and then the label's term no longer reaches the code.
    The identity cannot. It compares the first dimension of a code with the value of
    unit size directly, N(y; z_y, 1) or a Bernoulli with that logit, as the authors'
    code for spirals does.

    Args:
        taken: dimensions to take.
        outputs: dimensions in all.
    """

    def __init__(self, taken: int, outputs: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.taken, self.outputs = taken, outputs
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """``[B, n]`` to ``[B, outputs]``."""
        return tf.pad(x[:, : self.taken], [[0, 0], [0, self.outputs - self.taken]])


def make_map(
    inputs: int,
    outputs: int,
    hidden: Sequence[int] = (),
    seed: int | None = None,
    *,
    name: str,
    dtype: Any,
) -> keras.layers.Layer:
    """A built map from ``[B, inputs]`` to ``[B, outputs]`` that starts at zero.

    Args:
        inputs: numbers in.
        outputs: numbers out.
        hidden: units of hidden layers with tanh; `ZeroLinear` alone if empty.
        seed: integer seed of the hidden layers' initial weights.
        name: of the layer.
        dtype: dtype or dtype policy.
    """
    if not hidden:
        layer: keras.layers.Layer = ZeroLinear(outputs, name=name, dtype=dtype)
    else:
        starts = [
            keras.initializers.GlorotUniform(None if seed is None else seed + i)
            for i in range(len(hidden))
        ]
        layer = keras.Sequential(
            [
                keras.layers.Dense(units, "tanh", kernel_initializer=start, dtype=dtype)
                for units, start in zip(hidden, starts, strict=True)
            ]
            + [ZeroLinear(outputs, dtype=dtype)],
            name=name,
        )
    layer.build((None, inputs))
    return layer
