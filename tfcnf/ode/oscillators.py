"""A field of pairs of numbers that turn and grow, for curves that go round.

A network of the whole state has to learn a rotation once for each phase, and knows
nothing of a phase at a radius where it has not been. Here a rotation is one number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from tfcnf.checks import check_positive_integer
from tfcnf.ode.autonomous import (
    AutonomousField,
    Start,
    affine_maps,
    affine_starts,
    check_units,
    uniform,
)
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

EPSILON = 1e-6  # of a squared radius, whose root has no slope at 0


@dataclass(frozen=True)
class Oscillators(AutonomousField):
    """Pairs of numbers that turn and grow at rates that series differ in.

    A state is z = (w, x, y): K pairs (x_k, y_k) and D - 2K numbers w that do not
    change, among them the codes of labels. With p_k = x_k + i y_k and radii r = |p|

    ``dp_k/dt = (growth_k(w, r) + i frequency_k(w)) p_k``

    where the growths are a network with one output a pair, softplus and a linear map
    besides, and the frequencies linear in w. Both are bounded by ``limit`` through a
    tanh, so that no state grows faster than exponentially. Lusch, Kutz & Brunton
    (Nature Communications 9, 2018) read both from the radii; frequencies that do not
    change with the radius let a turn that was seen tell of all further ones.

    ```python
    model = tfcnf.LatentODE(
        obs_dims=2, partition="none", latent_dims=6, dynamics="oscillators:pairs=2"
    )
    ```

    Args:
        pairs: K.
        units: widths of the hidden layers of the network of growths.
        limit: bound of growths and frequencies, per unit of time.

    Raises:
        ValueError: for an option out of range; from `starts`, for states that have no
            room for w.
    """

    pairs: int = 1
    units: tuple[int, ...] = (32,)
    limit: float = 2.0

    def __post_init__(self) -> None:
        check_positive_integer("pairs", self.pairs)
        check_units(self.units)
        if not isinstance(self.limit, (int, float)) or not 0 < self.limit < math.inf:
            raise ValueError(
                f"limit must be a positive number. Received: limit={self.limit!r}"
            )

    def starts(self, dims: int, seeds: keras.random.SeedGenerator) -> list[Start]:
        """The network of growths, its linear map, and the frequencies."""
        constants = dims - 2 * self.pairs
        if constants < 1:
            raise ValueError(
                "oscillators need two dimensions a pair, and one at least that does "
                f"not change. Received: latent_dims={dims}, pairs={self.pairs}"
            )
        inputs = dims - self.pairs
        made = affine_starts((inputs, *self.units, self.pairs), seeds)
        made.append(("skip", (inputs, self.pairs), keras.initializers.Zeros()))
        start = uniform(1, next_int(seeds))
        return [*made, ("frequency", (constants, self.pairs), start)]

    def value(self, theta: Sequence[Tensor], t: Tensor, z: Tensor) -> Tensor:
        """dz/dt, of the shape of z ``[B, D]``; ``t`` is not looked at."""
        *maps, skip, frequency = theta
        constants = z.shape[-1] - 2 * self.pairs
        w, x, y = tf.split(z, [constants, self.pairs, self.pairs], -1)
        seen = tf.concat([w, tf.sqrt(tf.square(x) + tf.square(y) + EPSILON)], -1)
        growths = affine_maps(maps, seen, tf.nn.softplus) + tf.matmul(seen, skip)
        a, b = (
            self.limit * tf.tanh(rates / self.limit)
            for rates in (growths, tf.matmul(w, frequency))
        )
        return tf.concat([tf.zeros_like(w), a * x - b * y, a * y + b * x], -1)
