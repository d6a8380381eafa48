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
    """Affine maps with an activation after all but the last; theta is [W, b] each.

    With ``skip`` theta ends with a matrix; its product with z is added to the last map.
    """

    activation: str
    skip: bool = False

    def value(self, theta: Sequence[Tensor], t: Tensor, z: Tensor) -> Tensor:
        """dz/dt, of the shape of z ``[B, D]``; ``t`` is not looked at."""
        function = ACTIVATIONS[self.activation]
        layers = len(theta) // 2
        h = z
        for i in range(layers):
            h = tf.nn.bias_add(tf.matmul(h, theta[2 * i]), theta[2 * i + 1])
            if i < layers - 1:
                h = function(h)
        return h + tf.matmul(z, theta[-1]) if self.skip else h


@keras.saving.register_keras_serializable("tfcnf")
class AutonomousDynamics(Dynamics):
    """A multi-layer perceptron for dz/dt = f(z).

    With ``skip`` dz/dt = A z + f(z): beyond the states of training, where f may
    saturate, what turns or grows goes on. Weights and biases of f start from
    U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as the authors', linear fields from `Turning`.

    Args:
        hidden: widths of the hidden layers; none make f linear.
        activation: ``"elu"`` (the authors), ``"softplus"`` or ``"tanh"``.
        seed: integer seed of the initial weights.
        skip: add a linear map of z.

    Raises:
        ValueError: for an unknown activation or a width below 1.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (20,),
        activation: str = "elu",
        seed: int | None = None,
        *,
        skip: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("activation", activation, ACTIVATIONS)
        if not all(isinstance(n, int) and n > 0 for n in hidden):
            raise ValueError(
                f"hidden must be positive integers. Received: hidden={hidden!r}"
            )
        self.hidden, self.activation, self.seed = tuple(hidden), activation, seed
        self.skip = skip

    def build(self, shape: Sequence[int | None]) -> None:
        """Creates the weights for states of this shape, ``[B, D]``."""
        seeds, dims = keras.random.SeedGenerator(self.seed), int(shape[-1] or 0)
        widths = itertools.pairwise([dims, *self.hidden, dims])
        self.stack = []
        for i, (n_in, n_out) in enumerate(widths):
            for name, size in (("kernel", (n_in, n_out)), ("bias", (n_out,))):
                start = uniform(n_in, next_int(seeds))
                if name == "kernel" and not self.hidden:
                    start = Turning(start)
                self.stack.append(
                    self.add_weight(name=f"{name}_{i}", shape=size, initializer=start)
                )
        if self.skip:
            start = Turning(uniform(dims, next_int(seeds)))
            self.stack.append(
                self.add_weight(name="skip", shape=(dims, dims), initializer=start)
            )
        self.built = True

    def prepare(self, context: Tensor = None) -> tuple[AutonomousField, list[Tensor]]:
        """The field and its parameters for one solve; it takes no context."""
        self.check_context(context)
        field = AutonomousField(self.activation, self.skip)
        return field, [v.value for v in self.stack]

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
            "skip": self.skip,
        }


class Turning(keras.initializers.Initializer):
    """W - W^T of another start W: a linear field that neither grows nor decays.

    Its eigenvalues are frequencies. From U(-1/sqrt(D), 1/sqrt(D)) they spread between 0
    and 1.6 whatever the dimension D, so that some are near those of the data.
    """

    def __init__(self, start: keras.initializers.Initializer):
        self.start = start

    def __call__(self, shape: Sequence[int], dtype: Any = None, **_: Any) -> Tensor:
        """The matrix, ``[D, D]``."""
        kernel = tf.convert_to_tensor(self.start(shape, dtype))
        return kernel - tf.transpose(kernel)


def uniform(fan_in: int, seed: int) -> keras.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the reference's start of linear maps."""
    return keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=seed)
