"""Fields: pure functions f(theta, t, z) with their directional derivatives.

A field is named by a hashable record, so that all layers with the same field and the
same shapes share one traced graph. The weights are in the layers of
`tfcnf.ode.dynamics`, which hand out a field and its parameters theta for a solve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfcnf.precision import is_mixed
from tfcnf.types import Tensor


class Activation(NamedTuple):
    """An activation with its derivatives, from one transcendental function.

    * ``value_and_slope(x)``: the activation and its first derivative.
    * ``curvature(value, slope)``: second derivative divided by the first.
    """

    value_and_slope: Callable[[Tensor], tuple[Tensor, Tensor]]
    curvature: Callable[[Tensor, Tensor], Tensor]

    def value(self, x: Tensor) -> Tensor:
        """The activation alone."""
        return self.value_and_slope(x)[0]

    def jvp(self, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """The activation of ``x [B, ...]`` and its derivative along ``[P, B, ...]``.

        Its own gradient reuses the slope of the forward pass.
        """

        @tf.custom_gradient
        def run(x: Tensor, tangents: Tensor) -> Any:
            value, slope = self.value_and_slope(x)

            def gradient(dvalue: Tensor, dtangents: Tensor) -> tuple[Tensor, Tensor]:
                bend = tf.reduce_sum(dtangents * tangents, axis=0)
                dx = slope * (dvalue + self.curvature(value, slope) * bend)
                return dx, slope * dtangents

            return (value, slope * tangents), gradient

        return run(x, tangents)


def _softplus(x: Tensor) -> tuple[Tensor, Tensor]:
    # beyond the limit softplus is the identity to rounding; exp would overflow later
    exp = tf.exp(tf.minimum(x, 40.0))
    return tf.maximum(x, tf.math.log(1.0 + exp)), exp / (1.0 + exp)


def _tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    value = tf.tanh(x)
    return value, 1.0 - value * value


def _elu(x: Tensor) -> tuple[Tensor, Tensor]:
    exp = tf.exp(tf.minimum(x, 0.0))
    return tf.maximum(x, 0.0) + (exp - 1.0), exp


ACTIVATIONS = {
    "softplus": Activation(_softplus, lambda value, slope: 1.0 - slope),
    "tanh": Activation(_tanh, lambda value, slope: -2.0 * value),
    "elu": Activation(_elu, lambda value, slope: tf.cast(slope < 1.0, slope.dtype)),
}


class StackField(NamedTuple):
    """Affine maps modulated by time, with an activation after all but the last.

    Layer i computes ``linear_i(h) * gate_i(t) + shift_i(t)``:

    * time ``"concat"``: gate 1, shift ``bias + t * time_map``; the same as an
      affine layer on the concatenation ``[t, h]``, without concatenating.
    * time ``"concatsquash"`` (FFJORD): gate ``sigmoid(t * g + c)``, shift
      ``bias * gate + t * time_map``.

    Where the solve has a context, each layer has a further factor of its gate and a
    further term of its shift (FiLM, Perez et al. 2018), both with one row for each
    example; they are the last entries of theta.

    Attributes:
        activation: its name.
        time: how time enters.
        per_example: see `parameter_specs`; 0, or two for each layer.
        any_shape: solves of states of any sizes share one graph.
        half: dtype in which the maps between hidden layers are computed; theirs if
            empty.
    """

    activation: str
    time: str
    per_example: int = 0
    any_shape: bool = False
    half: str = ""

    def value(self, theta: Sequence[Tensor], t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at time t (see `jvp`), of the shape of z."""
        activation, layers = ACTIVATIONS[self.activation], self._layers(theta)
        for i, layer in enumerate(layers):
            gate, shift = self._modulation(layer, t)
            z = linear(z, layer[0], self._half(i, len(layers)))
            z = (z if gate is None else z * gate) + shift
            if i < len(layers) - 1:
                z = activation.value(z)
        return z

    def jvp(
        self, theta: Sequence[Tensor], t: Tensor, z: Tensor, probes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Value and directional derivatives in one forward pass.

        Args:
            theta: what `Dynamics.prepare` returned.
            t: time, scalar or one for each example, ``[B, 1, ...]`` of z's rank.
            z: state ``[B, ...]``.
            probes: directions ``[P, B, ...]``.

        Returns:
            ``f(t, z)`` of shape ``[B, ...]`` and ``(df/dz) probes`` of shape
            ``[P, B, ...]``.
        """
        activation, single = ACTIVATIONS[self.activation], probes.shape[0] == 1
        num_probes, batch, *_ = keras.ops.shape(probes)

        def split(x: Tensor) -> Tensor:
            if single:
                return tf.expand_dims(x, 0)
            return tf.reshape(x, [num_probes, batch, *keras.ops.shape(x)[1:]])

        def merge(x: Tensor) -> Tensor:
            if single:
                return tf.squeeze(x, 0)
            return tf.reshape(x, [num_probes * batch, *keras.ops.shape(x)[2:]])

        tangent, layers = merge(probes), self._layers(theta)
        for i, layer in enumerate(layers):
            gate, shift = self._modulation(layer, t)
            half = self._half(i, len(layers))
            z, tangent = (linear(x, layer[0], half) for x in (z, tangent))
            if gate is not None:
                z = z * gate
                if self.per_example or len(t.shape):
                    tangent = merge(split(tangent) * gate)
                else:
                    tangent = tangent * gate
            z = z + shift
            if i < len(layers) - 1:
                z, tangents = activation.jvp(z, split(tangent))
                tangent = merge(tangents)
        return z, split(tangent)

    def _half(self, i: int, count: int) -> str:
        """The dtype of map i: the first and the last one see the state."""
        return self.half if 0 < i < count - 1 else ""

    def _layers(self, theta: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        size = 3 if self.time == "concat" else 5
        theta, own = divide(theta, self.per_example)
        starts = range(0, len(theta), size)
        return [
            [*theta[start : start + size], *own[2 * i : 2 * i + 2]]
            for i, start in enumerate(starts)
        ]

    def _modulation(self, layer: Sequence[Tensor], t: Tensor) -> tuple[Any, Tensor]:
        layer, own = divide(layer, 2 if self.per_example else 0)
        if self.time == "concat":
            _, bias, time_map = layer
            gate, shift = None, bias + t * time_map
        else:
            _, bias, time_map, gate_kernel, gate_bias = layer
            gate = tf.sigmoid(t * gate_kernel + gate_bias)
            shift = bias * gate + t * time_map
        if not own:
            return gate, shift
        factor, term = own
        return factor if gate is None else gate * factor, shift + term


def divide(
    theta: Sequence[Tensor], per_example: int
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The parameters that all examples share, and those with a row for each."""
    shared = len(theta) - per_example
    return theta[:shared], theta[shared:]


def parameter_specs(
    field: Any, theta: Sequence[Tensor], any_shape: bool = False
) -> list[tf.TensorSpec]:
    """Specifications of a field's parameters, for any batch size.

    Args:
        field: its ``per_example``, where it has one, is the number of the last
            parameters that have one row for each example, ``[B, ...]``.
        theta: the parameters.
        any_shape: leave all sizes open.
    """
    shared, own = divide(theta, getattr(field, "per_example", 0))
    shapes = [list(x.shape) for x in shared] + [[None, *x.shape[1:]] for x in own]
    if any_shape:
        shapes = [[None] * len(shape) for shape in shapes]
    return [
        tf.TensorSpec(shape, x.dtype) for shape, x in zip(shapes, theta, strict=True)
    ]


def linear(x: Tensor, kernel: Tensor, half: str = "") -> Tensor:
    """A matrix product for a rank-2 kernel, a same-padded convolution for rank 4.

    Args:
        x: rows, or images.
        kernel: the map.
        half: dtype to compute in; that of x if empty, which the result has anyway.
    """
    if half:
        return tf.cast(linear(tf.cast(x, half), tf.cast(kernel, half)), x.dtype)
    if len(kernel.shape) == 2:
        return tf.matmul(x, kernel)
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def float_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The floating-point variables of a layer, frozen ones too, in a fixed order.

    Those that are frozen are parameters as well: a traced solve then does not depend
    on which are.
    """
    return [v for v in layer.variables if tf.as_dtype(v.dtype).is_floating]


class LayerField(NamedTuple):
    """The field of any `Dynamics` subclass that only defines ``call``.

    Its parameters are those of `float_variables` and, where ``per_example`` is 1, the
    context ``[B, E]``.
    """

    layer: Any
    per_example: int = 0

    def value(self, theta: Sequence[Tensor], t: Tensor, z: Tensor) -> Tensor:
        """dz/dt at time t, of the shape of z."""
        theta, own = divide(theta, self.per_example)
        context = {"context": own[0]} if own else {}
        given = zip(float_variables(self.layer), theta, strict=True)
        mixed = is_mixed(self.layer.dtype_policy)
        call = self.layer if mixed else self.layer.call  # Keras casts what it gives
        with keras.StatelessScope(state_mapping=given):
            dz = call(t, z, **context)
        return tf.cast(dz, z.dtype) if mixed else dz

    def jvp(
        self, theta: Sequence[Tensor], t: Tensor, z: Tensor, probes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `StackField.jvp`, by differentiating the vector-Jacobian product."""

        def along(probe: Tensor) -> Tensor:
            with tf.GradientTape() as outer:
                cotangent = tf.zeros_like(z)
                outer.watch(cotangent)
                with tf.GradientTape() as inner:
                    inner.watch(z)
                    dz = self.value(theta, t, z)
                vjp = inner.gradient(dz, z, cotangent, none)
            return outer.gradient(vjp, cotangent, probe, none)

        none = tf.UnconnectedGradients.ZERO  # dz need not depend on z

        if probes.shape[0] is None:
            raise ValueError(
                "the number of probes must be known when the graph is traced. "
                f"Received: probes.shape={probes.shape}"
            )
        tangents = tf.stack([along(probes[i]) for i in range(probes.shape[0])])
        return self.value(theta, t, z), tangents
