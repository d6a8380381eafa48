"""A dense vector field that does not depend on time, as a latent ODE needs it.

With time as an input a field would be asked, in extrapolation, for times that it was
never trained at.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tfcnf.checks import check_choice, check_flag, check_positive_integer
from tfcnf.ode.dynamics import Dynamics
from tfcnf.registry import Record
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

# as single operations: no derivative along a direction is asked for here
ACTIVATIONS = {"elu": tf.nn.elu, "softplus": tf.nn.softplus, "tanh": tf.tanh}
Start = tuple[str, tuple[int, ...], keras.initializers.Initializer]


@dataclass(frozen=True)
class AutonomousField(Record, kind="dynamics"):
    """A field f(z) of a latent ODE as a record; theta are the weights of `starts`.

    ```python
    @dataclass(frozen=True)
    class Diagonal(tfcnf.AutonomousField):
        def starts(self, dims, seeds):
            return [("rates", (dims,), keras.initializers.Zeros())]

        def value(self, theta, t, z):
            return theta[0] * z


    model = tfcnf.LatentODE(obs_dims=2, partition="none", dynamics="diagonal")
    ```
    """

    def starts(self, dims: int, seeds: keras.random.SeedGenerator) -> list[Start]:
        """Name, shape and initializer of each weight, for states ``[B, dims]``."""
        raise NotImplementedError

    def value(self, theta: Sequence[Tensor], t: Tensor, z: Tensor) -> Tensor:
        """dz/dt, of the shape of z ``[B, D]``; ``t`` is not looked at."""
        raise NotImplementedError


@dataclass(frozen=True)
class Perceptron(AutonomousField, key="mlp"):
    """Affine maps with an activation after all but the last: dz/dt = f(z).

    With ``skip`` dz/dt = A z + f(z): beyond the states of training, where f may
    saturate, what turns or grows goes on. Weights and biases of f start from
    U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as the authors', linear fields from `Turning`.

    ```python
    field = tfcnf.AutonomousField.get("mlp:units=(64,),activation=softplus,skip=True")
    ```

    Args:
        units: widths of the hidden layers; none make f linear.
        activation: ``"elu"`` (the authors), ``"softplus"`` or ``"tanh"``.
        skip: add a linear map of z.

    Raises:
        ValueError: for an unknown activation or a width below 1.
    """

    units: tuple[int, ...] = (20,)
    activation: str = "elu"
    skip: bool = False

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, ACTIVATIONS)
        check_flag("skip", self.skip)
        check_units(self.units)

    def starts(self, dims: int, seeds: keras.random.SeedGenerator) -> list[Start]:
        """Kernel and bias of each affine map, and A."""
        made = affine_starts((dims, *self.units, dims), seeds)
        if not self.units:
            name, shape, start = made[0]
            made[0] = name, shape, Turning(start)
        if self.skip:
            turning = Turning(uniform(dims, next_int(seeds)))
            made.append(("skip", (dims, dims), turning))
        return made

    def value(self, theta: Sequence[Tensor], t: Tensor, z: Tensor) -> Tensor:
        """dz/dt, of the shape of z ``[B, D]``; ``t`` is not looked at."""
        maps = theta[:-1] if self.skip else theta
        dz = affine_maps(maps, z, ACTIVATIONS[self.activation])
        return dz + tf.matmul(z, theta[-1]) if self.skip else dz


@keras.saving.register_keras_serializable("tfcnf")
class AutonomousDynamics(Dynamics):
    """The weights of an `AutonomousField`.

    Args:
        field: the field, or its text.
        seed: integer seed of the initial weights.

    Raises:
        ValueError: for an unknown field or an option out of range.
    """

    def __init__(
        self,
        field: str | AutonomousField = "mlp",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.field, self.seed = AutonomousField.get(field), seed

    def build(self, shape: Sequence[int | None]) -> None:
        """Creates the weights for states of this shape, ``[B, D]``."""
        seeds, dims = keras.random.SeedGenerator(self.seed), int(shape[-1] or 0)
        self.stack = [
            self.add_weight(name=name, shape=size, initializer=start)
            for name, size, start in self.field.starts(dims, seeds)
        ]
        self.built = True

    def prepare(self, context: Tensor = None) -> tuple[AutonomousField, list[Tensor]]:
        """The field and its parameters for one solve; it takes no context."""
        self.check_context(context)
        return self.field, [v.value for v in self.stack]

    def call(self, t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at the state ``z``."""
        field, theta = self.prepare()
        return field.value(theta, t, z)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        config = {"field": str(self.field), "seed": self.seed}
        return super().get_config() | config


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


def check_units(units: Any) -> None:
    """Raises a ValueError for what are not widths of hidden layers."""
    if not isinstance(units, tuple):
        raise ValueError(
            f"units must be a tuple of widths, as (64,). Received: units={units!r}"
        )
    for width in units:
        check_positive_integer("units", width)


def affine_starts(
    widths: Sequence[int], seeds: keras.random.SeedGenerator
) -> list[Start]:
    """Kernels ``kernel_i`` and biases ``bias_i`` of affine maps between widths."""
    made: list[Start] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        for name, shape in (("kernel", (n_in, n_out)), ("bias", (n_out,))):
            made.append((f"{name}_{i}", shape, uniform(n_in, next_int(seeds))))
    return made


def affine_maps(
    theta: Sequence[Tensor], h: Tensor, activation: Callable[[Tensor], Tensor]
) -> Tensor:
    """Affine maps one after the other, with an activation between them.

    Args:
        theta: kernel and bias of each.
        h: ``[B, width]``.
        activation: of all but the last.
    """
    for i in range(0, len(theta), 2):
        h = tf.nn.bias_add(tf.matmul(h, theta[i]), theta[i + 1])
        h = activation(h) if i < len(theta) - 2 else h
    return h


def uniform(fan_in: int, seed: int) -> keras.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the reference's start of linear maps."""
    return keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=seed)
