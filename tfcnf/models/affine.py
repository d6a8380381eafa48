"""Affine layers that start as the reference's do."""

from __future__ import annotations

from typing import Any

import keras

from tfcnf.ode.autonomous import uniform
from tfcnf.seeds import next_int


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
