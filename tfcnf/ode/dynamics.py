"""Vector fields f(t, z): convolutional and dense stacks, or any Keras layer.

A `Dynamics` layer owns the weights; for a solve it hands out a field (see
`tfcnf.ode.fields`) and the field's parameters theta.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.checks import check_choice, is_integer
from tfcnf.ode.fields import (
    ACTIVATIONS,
    LayerField,
    StackField,
    float_variables,
    linear,
)
from tfcnf.precision import checked_policy, is_mixed
from tfcnf.seeds import next_int
from tfcnf.types import Tensor

INITS = ("uniform", "zero_output")
TIMES = ("concat", "concatsquash")
CONTEXT = 2_000_003  # added to the seed


class Dynamics(keras.layers.Layer):
    """A time-dependent vector field with weights.

    Subclass it and define ``call(self, t, z)``, returning a tensor of the shape of
    ``z``, finite at every ``t`` in [0, 1], to solve with your own network. Layers that
    it calls are built for the shape of ``z``; a ``build(self, shape)`` of your own
    builds them itself, or calls this one's after it. Weights may be frozen.

    ```python
    class Spin(tfcnf.Dynamics):
        def call(self, t, z):
            return tf.stack([-z[:, 1], z[:, 0]], 1)

    layer = tfcnf.CNFLayer(Spin())
    ```

    A field that depends on a condition defines ``call(self, t, z, context)``, with
    ``context`` of shape ``[B, context_dims]``; its gradient is had for each example.

    Args:
        context_dims: numbers of the context of one example, E; 0 for none.

    Attributes:
        reach: for states ``[B, H, W, C]``, how many pixels apart, along height or
            width, a value may be that dz/dt depends on; None for any. It makes the
            exact trace cheaper.
    """

    reach: int | None = None

    def __init__(self, *, context_dims: int = 0, dtype: Any = None, **kwargs: Any):
        super().__init__(dtype=checked_policy(dtype), **kwargs)
        self.context_dims = _check_context_dims(context_dims, self.call)

    def __call__(self, t: Tensor, z: Tensor, **options: Any) -> Tensor:
        """dz/dt; builds the weights for the shape of ``z`` first."""
        if not self.built:
            self.build((None, *z.shape[1:]))
        return super().__call__(t, z, **options)

    def build(self, shape: Sequence[Any]) -> None:
        """Builds the layers that `call` uses, by calling it on a symbolic state.

        Raises:
            ValueError: where `call` does not return a tensor of the state's kind.
        """
        dtype = self.compute_dtype
        z = keras.KerasTensor((None, *shape[1:]), dtype)
        given = {}
        if self.context_dims:
            given["context"] = keras.KerasTensor((None, self.context_dims), dtype)
        dz = self.compute_output_spec(keras.KerasTensor((), dtype), z, **given)
        found = getattr(dz, "shape", None), getattr(dz, "dtype", None)
        if found != (z.shape, dtype):
            raise ValueError(
                "call(t, z) must return a tensor of the shape and dtype of z, "
                f"{z.shape} and {dtype}. Received: {found[0]} and {found[1]}"
            )
        self.built = True

    def prepare(self, context: Tensor = None) -> tuple[Any, list[Tensor]]:
        """The field and its parameters theta for one solve.

        Theta is computed from the weights and the context by ordinary differentiable
        operations, so a gradient with respect to theta reaches both.

        Args:
            context: ``[B, context_dims]``, for dynamics that have one.

        Raises:
            ValueError: where the layer has others that were not built, or for a
                context that is missing, of another width or not asked for.
        """
        own = self.check_context(context)
        unbuilt = [x.name for x in self._flatten_layers() if not x.built]
        if unbuilt:
            raise ValueError(
                "build(shape) must build the layers that call(t, z) uses, for "
                "instance by super().build(shape). "
                f"Received: {type(self).__name__} with {', '.join(unbuilt)} not built"
            )
        theta = [v.value for v in float_variables(self)]
        return LayerField(self, len(own)), [*theta, *own]

    def check_context(self, context: Tensor = None) -> list[Tensor]:
        """A list of the context, empty for dynamics without one.

        Raises:
            ValueError: see `prepare`.
        """
        shape = None if context is None else context.shape
        if shape is None and self.context_dims:
            raise ValueError(
                f"{type(self).__name__} needs a context, [batch, {self.context_dims}]. "
                "Received: context=None"
            )
        if shape is not None and not self.context_dims:
            raise ValueError(
                f"{type(self).__name__} takes no context: define call(t, z, context) "
                "and give context_dims, the numbers of one example's. "
                f"Received: context.shape={shape}"
            )
        if shape is not None and (len(shape) != 2 or shape[1] != self.context_dims):
            raise ValueError(
                f"context must have shape [batch, {self.context_dims}]. "
                f"Received: context.shape={shape}"
            )
        return [] if context is None else [tf.cast(context, self.variable_dtype)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        context = {"context_dims": self.context_dims} if self.context_dims else {}
        return super().get_config() | context


def _check_context_dims(context_dims: int, call: Any) -> int:
    if not is_integer(context_dims) or context_dims < 0:
        raise ValueError(
            "context_dims must be an integer of at least 0. "
            f"Received: context_dims={context_dims!r}"
        )
    context = inspect.signature(call).parameters.get("context")
    if context_dims and context is None:
        raise ValueError(
            "dynamics with a context define call(t, z, context). "
            f"Received: context_dims={context_dims} and call(t, z)"
        )
    if not context_dims and context is not None and context.default is context.empty:
        raise ValueError(
            "dynamics with call(t, z, context) need context_dims, the numbers of one "
            "example's context. Received: context_dims=0"
        )
    return context_dims


class StackDynamics(Dynamics):
    """Base of `ConvDynamics` and `DenseDynamics`.

    Args:
        hidden: widths of the hidden layers.
        activation: ``"softplus"`` (the papers), ``"tanh"`` or ``"elu"``.
        time: how time enters, ``"concat"`` (the papers) or ``"concatsquash"``.
        init: ``"uniform"``, the reference's U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for
            kernels and biases, or ``"zero_output"``, the same with the output
            layer at zero, so that the flow starts as the identity.
        seed: integer seed of the initial weights.
        context_dims: numbers of the context of one example, E; 0 for none. Each layer
            adds a linear map of the context to its result, as if the context were
            part of its input, and multiplies by one plus another (FiLM, which starts
            at one); the other weights start as they do without.

    Raises:
        ValueError: for an unknown choice or a width below 1.
    """

    window: tuple[int, ...] = ()

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64, 64),
        activation: str = "softplus",
        *,
        time: str = "concat",
        init: str = "uniform",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value, known in [
            ("activation", activation, ACTIVATIONS),
            ("time", time, TIMES),
            ("init", init, INITS),
        ]:
            check_choice(name, value, known)
        if not all(is_integer(n) and n > 0 for n in hidden):
            raise ValueError(
                f"hidden must be positive integers. Received: hidden={hidden!r}"
            )
        self.hidden, self.activation, self.time = tuple(hidden), activation, time
        self.init, self.seed = init, seed
        if is_mixed(self.dtype_policy):
            self.autocast = False  # the first and the last map are in full precision
        if self.window:
            self.reach = (len(hidden) + 1) * (self.window[0] // 2)
        self.stack: list[dict[str, keras.Variable]] = []

    def build(self, shape: Sequence[Any]) -> None:
        """Creates the weights for states of this shape, ``[B, ..., C]``."""
        self.state_shape = tuple(shape)
        widths = [shape[-1], *self.hidden, shape[-1]]
        seeds = keras.random.SeedGenerator(self.seed)
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            output = i == len(widths) - 2
            self.stack.append(
                self._build_layer(i, n_in, n_out=n_out, output=output, seeds=seeds)
            )
        self.built = True

    def _build_layer(
        self, i: int, n_in: int, *, n_out: int, output: bool, seeds: Any
    ) -> dict[str, keras.Variable]:
        squash = self.time == "concatsquash"
        n_in = n_in if squash else n_in + 1  # "concat": time is channel 0
        fan_in = n_in
        for size in self.window:
            fan_in *= size

        def weight(name: str, shape: tuple[int, ...], bound: float) -> keras.Variable:
            initializer = keras.initializers.RandomUniform(
                -bound, bound, seed=next_int(seeds)
            )
            return self.add_weight(
                name=f"{name}_{i}", shape=shape, initializer=initializer
            )

        zero = output and self.init == "zero_output"
        bound = 0.0 if zero else fan_in**-0.5
        layer = {
            "kernel": weight("kernel", (*self.window, n_in, n_out), bound),
            "bias": weight("bias", (n_out,), bound),
        }
        if squash:
            layer["time_kernel"] = weight("time_kernel", (n_out,), bound)
            layer["gate_kernel"] = weight("gate_kernel", (n_out,), 1.0)
            layer["gate_bias"] = weight("gate_bias", (n_out,), 1.0)
        if self.context_dims:
            bound = 0.0 if zero else (n_in + self.context_dims) ** -0.5
            own = None if self.seed is None else self.seed + CONTEXT + i
            layer["context_kernel"] = self.add_weight(
                name=f"context_kernel_{i}",
                shape=(self.context_dims, n_out),
                initializer=keras.initializers.RandomUniform(-bound, bound, seed=own),
            )
            layer["context_gate"] = self.add_weight(
                name=f"context_gate_{i}",
                shape=(self.context_dims, n_out),
                initializer="zeros",
            )
        return layer

    def prepare(self, context: Tensor = None) -> tuple[StackField, list[Tensor]]:
        """The field and, layer by layer, kernel, bias, time map (and gate).

        The factor and the shift by the context follow for each layer, both ``[B, n]``
        or ``[B, 1, 1, n]``.
        """
        theta: list[Tensor] = []
        for layer in self.stack:
            kernel, bias = layer["kernel"].value, layer["bias"].value
            if self.time == "concatsquash":
                names = ("time_kernel", "gate_kernel", "gate_bias")
                theta += [kernel, bias, *(layer[n].value for n in names)]
            else:
                sizes = [1, kernel.shape[-2] - 1]
                time_kernel, kernel = tf.split(kernel, sizes, -2)
                theta += [kernel, bias, self._time_map(time_kernel)]
        own = [
            term
            for given in self.check_context(context)
            for layer in self.stack
            for term in (
                1.0 + self._map(given, layer["context_gate"]),
                self._map(given, layer["context_kernel"]),
            )
        ]
        half = self.compute_dtype if is_mixed(self.dtype_policy) else ""
        convolves = bool(self.window)
        field = StackField(self.activation, self.time, len(own), convolves, half)
        return field, theta + own

    def _map(self, context: Tensor, kernel: keras.Variable) -> Tensor:
        """A linear map of the context, the same at every place of the state."""
        mapped = tf.matmul(context, kernel.value)
        return tf.reshape(mapped, [-1, *(1 for _ in self.window), kernel.shape[1]])

    def _time_map(self, time_kernel: Tensor) -> Tensor:
        raise NotImplementedError

    def call(self, t: Tensor, z: Tensor, context: Tensor = None) -> Tensor:
        """dz/dt at time ``t`` (scalar), state ``z`` and context ``[B, E]``, if any."""
        field, theta = self.prepare(context)
        return field.value(theta, tf.cast(t, z.dtype), z)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "hidden": self.hidden,
            "activation": self.activation,
            "time": self.time,
            "init": self.init,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("tfcnf")
class ConvDynamics(StackDynamics):
    """3x3 convolutions of stride 1 with zero padding, for images ``[B, H, W, C]``.

    The default is the papers' network: three hidden layers of 64 filters with
    softplus and an output convolution (InfoCNF App. B), time as an extra channel.

    ```python
    dynamics = tfcnf.ConvDynamics((16, 16), time="concatsquash")
    dz = dynamics(tf.constant(0.5), tf.zeros([1, 8, 8, 1]))
    ```
    """

    window = (3, 3)

    def _time_map(self, time_kernel: Tensor) -> Tensor:
        height, width = self.state_shape[1:3]
        return linear(tf.ones([1, height, width, 1], time_kernel.dtype), time_kernel)


@keras.saving.register_keras_serializable("tfcnf")
class DenseDynamics(StackDynamics):
    """A multi-layer perceptron, for vectors ``[B, D]``.

    ```python
    dynamics = tfcnf.DenseDynamics((16,), init="zero_output")
    dz = dynamics(tf.constant(0.5), tf.zeros([4, 2]))
    ```
    """

    def _time_map(self, time_kernel: Tensor) -> Tensor:
        return time_kernel[0]
