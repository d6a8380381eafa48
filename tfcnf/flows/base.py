"""Base class of flow layers, and chains of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.precision import FullPrecision
from tfcnf.tolerances.policy import TolerancePolicy
from tfcnf.types import Control, FlowOutput, Tensor

Policies = tuple[TolerancePolicy | None, TolerancePolicy | None]


class FlowLayer(FullPrecision):
    """A bijection: ``call(x, inverse=False, control=None) -> FlowOutput``.

    ```python
    class Double(tfcnf.FlowLayer):
        def call(self, x, inverse=False, control=None):
            sign = -1.0 if inverse else 1.0
            log_det = tf.fill(tf.shape(x)[:1], sign * x.shape[1] * np.log(2.0))
            none = tf.zeros([0])
            return tfcnf.FlowOutput(x * 2**sign, log_det, none, none, none)
    ```

    Attributes:
        num_solves: ODE solves in one pass, N.
    """

    num_solves = 0

    @property
    def policies(self) -> list[Policies]:
        """Tolerance policies of the forward and backward way of each of its solves."""
        return [(None, None)] * self.num_solves

    def __init__(self, **kwargs: Any):
        # layers that only move values keep the dtype they are given
        super().__init__(**({"autocast": False} | kwargs))

    def inside(self, x: Tensor) -> Tensor:
        """Mask of the examples ``[B, ...]`` that lie in the support, ``[B]``."""
        return finite(x)

    @property
    def interior(self) -> Tensor:
        """An example in the support, or a number for all of its entries."""
        return 0.5


def finite(x: Tensor) -> Tensor:
    """Mask of the rows of floats ``[B, ...]`` that are finite, ``[B]``."""
    return tf.reduce_all(tf.math.is_finite(x), range(1, len(x.shape)))


def guarded(flow: FlowLayer, x: Tensor, inverse: bool = False, **options: Any) -> Any:
    """One pass in which no example spoils those that are solved with it.

    An example outside the flow's support, or a code that is not finite, does not reach
    the solver. Its log-determinant is -inf, so that its density is 0, or NaN where it
    has NaN or is a code; see `tfcnf.types.FlowOutput.code`.

    Args:
        flow: from examples to codes.
        x: examples, or codes.
        inverse: whether x are codes.
        options: more arguments of the flow.

    Returns:
        `FlowOutput`.
    """
    if not x.dtype.is_floating:
        return flow(x, inverse=inverse, **options)
    good = finite(x) if inverse else flow.inside(x)
    column = tf.reshape(good, [-1] + [1] * (len(x.shape) - 1))
    within = 0.5 if inverse else tf.cast(flow.interior, x.dtype)
    out = flow(tf.where(column, x, within), inverse=inverse, **options)
    nan = tf.constant(float("nan"), out.log_det.dtype)
    unknown = tf.reduce_any(tf.math.is_nan(x), range(1, len(x.shape))) | inverse
    log_det = tf.where(good, out.log_det, tf.where(unknown, nan, -float("inf")))
    out = out._replace(log_det=log_det)
    return out._replace(z=out.code) if inverse else out


def unsolved(z: Tensor, log_det: Tensor | None = None) -> FlowOutput:
    """The output of a layer without an ODE; log-determinant 0 unless given."""
    if log_det is None:
        log_det = tf.zeros(tf.shape(z)[:1], z.dtype)
    none = tf.zeros([0], z.dtype)
    return FlowOutput(z, log_det, none, none, none)


@keras.saving.register_keras_serializable("tfcnf")
class Chain(FlowLayer):
    """Flow layers one after the other; the inverse runs them backwards.

    The per-solve fields of the output stand in the order of the layers in both
    directions.

    ```python
    layers = [tfcnf.CNFLayer(tfcnf.DenseDynamics((8,))) for _ in range(2)]
    flow = tfcnf.Chain(layers)
    flow.build((None, 3))
    ```

    Args:
        layers: the layers, in the order from x to z.
    """

    def __init__(self, layers: Sequence[FlowLayer], **kwargs: Any):
        super().__init__(**kwargs)
        self.layers = list(layers)
        self.num_solves = sum(layer.num_solves for layer in self.layers)

    def build(self, shape: Sequence[int | None]) -> None:
        """Builds every layer for the shape that reaches it."""
        for layer in self.layers:
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    @property
    def policies(self) -> list[Policies]:
        """Policies of the layers."""
        return [policy for layer in self.layers for policy in layer.policies]

    def compute_output_shape(self, shape: Any) -> Any:
        """Shape of z for a shape of x."""
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def inside(self, x: Tensor) -> Tensor:
        """Mask of the first layer."""
        return self.layers[0].inside(x) if self.layers else super().inside(x)

    @property
    def interior(self) -> Tensor:
        """The interior of the first layer."""
        return self.layers[0].interior if self.layers else super().interior

    def call(
        self, x: Tensor, inverse: bool = False, control: Control | None = None
    ) -> FlowOutput:
        """Transforms ``[B, ...]`` through every layer."""
        steps = list(zip(self.layers, split_control(control, self.layers), strict=True))
        outputs = []
        for layer, part in reversed(steps) if inverse else steps:
            outputs.append(layer(x, inverse=inverse, control=part))
            x = outputs[-1].z
        if inverse:
            outputs.reverse()
        return merge_outputs(x, outputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        layers = [keras.saving.serialize_keras_object(item) for item in self.layers]
        return super().get_config() | {"layers": layers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Chain:
        """Rebuilds the chain from `get_config`."""
        layers = [
            keras.saving.deserialize_keras_object(item) for item in config["layers"]
        ]
        return cls(**(config | {"layers": layers}))


def split_control(
    control: Control | None, layers: Sequence[FlowLayer]
) -> list[Control]:
    """The part of a control that is each layer's, in the order of the layers."""
    control, parts, start = control or Control(), [], 0
    for layer in layers:
        parts.append(control.part(start, layer.num_solves))
        start += layer.num_solves
    return parts


def merge_outputs(z: Tensor, outputs: Sequence[FlowOutput]) -> FlowOutput:
    """One record for several: sums of log-determinants and costs, lists of the rest."""
    nfe, tolerance, log_pi = (
        _line_up([getattr(out, field) for out in outputs])
        for field in ("nfe", "tolerance", "log_pi")
    )
    log_det = sum(out.log_det for out in outputs)
    costs = _add_costs([out.costs for out in outputs])
    return FlowOutput(z, log_det, nfe, tolerance, log_pi, costs)


def _add_costs(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of each cost over the solves that have it."""
    names = {name: None for part in parts for name in part}
    return {
        name: tf.add_n([part[name] for part in parts if name in part]) for name in names
    }


def _line_up(parts: Sequence[Tensor]) -> Tensor:
    """One tensor of those of several layers, some without a solve."""
    return tf.concat([x for x in parts if x.shape[0] != 0] or parts, 0)
