"""A dense vector field that does not depend on time, as a latent ODE needs it.

With time as an input a field would be asked, in extrapolation, for times that it was
never trained at.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.ode.dynamics import Dynamics
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

# as single operations: no derivative along a direction is asked for here
ACTIVATIONS = {"elu": tf.nn.elu, "softplus": tf.nn.softplus, "tanh": tf.tanh}


class AutonomousField(NamedTuple):
    """Affine maps with an activation after all but the last; theta is [W, b] each."""

    activation: str

    def value(self, theta: Sequence[Tensor], t: Tensor, z: Tensor) -> Tensor:
        """dz/dt, of the shape of z ``[B, D]``; ``t`` is not looked at."""
        function = ACTIVATIONS[self.activation]
        for i in range(0, len(theta), 2):
            z = tf.nn.bias_add(tf.matmul(z, theta[i]), theta[i + 1])
            if i < len(theta) - 2:
                z = function(z)
        return z


@keras.saving.register_keras_serializable("tfcnf")
class AutonomousDynamics(Dynamics):
    """A multi-layer perceptron for dz/dt = f(z).

    Weights and biases start from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as the authors'.

    Args:
        hidden: widths of the hidden layers.
        activation: ``"elu"`` (the authors), ``"softplus"`` or ``"tanh"``.
        seed: integer seed of the initial weights.

    Raises:
        ValueError: for an unknown activation or a width below 1.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (20,),
        activation: str = "elu",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("activation", activation, ACTIVATIONS)
        if not all(isinstance(n, int) and n > 0 for n in hidden):
            raise ValueError(
                f"hidden must be positive integers. Received: hidden={hidden!r}"
            )
        self.hidden, self.activation, self.seed = tuple(hidden), activation, seed

    def build(self, shape: Sequence[int | None]) -> None:
        """Creates the weights for states of this shape, ``[B, D]``."""
        seeds, dims = keras.random.SeedGenerator(self.seed), int(shape[-1] or 0)
        widths = itertools.pairwise([dims, *self.hidden, dims])
        self.stack = []
        for i, (n_in, n_out) in enumerate(widths):
            for name, size in (("kernel", (n_in, n_out)), ("bias", (n_out,))):
                start = uniform(n_in, next_int(seeds))
                self.stack.append(
                    self.add_weight(name=f"{name}_{i}", shape=size, initializer=start)
                )
        self.built = True

    def prepare(self, context: Tensor = None) -> tuple[AutonomousField, list[Tensor]]:
        """The field and its parameters for one solve; it takes no context."""
        self.check_context(context)
        return AutonomousField(self.activation), [v.value for v in self.stack]

    def call(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at the state ``z``."""
        field, theta = self.prepare()
        return field.value(theta, t, z)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "hidden": self.hidden,
            "activation": self.activation,
            "seed": self.seed,
        }


def uniform(fan_in: int, seed: int) -> keras.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the reference's start of linear maps."""
    return keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=seed)
