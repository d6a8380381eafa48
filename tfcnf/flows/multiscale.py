"""The FFJORD multiscale architecture (InfoCNF App. B)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.checks import check_positive_integer
from tfcnf.flows.base import (
    Chain,
    FlowLayer,
    Policies,
    merge_outputs,
    split_control,
)
from tfcnf.flows.reshape import Squeeze, flatten_code, split_channels, unflatten_code
from tfcnf.types import Control, FlowOutput, Tensor

Shape = tuple[int, int, int]


def default_num_scales(image_shape: Sequence[int]) -> int:
    """Scales of the reference's rule: halve while both sides are at least 4."""
    height, width = image_shape[:2]
    scales = 1
    while not (height % 2 or width % 2) and min(height, width) >= 8:
        height, width, scales = height // 2, width // 2, scales + 1
    return scales


@keras.saving.register_keras_serializable("tfcnf")
class MultiscaleFlow(FlowLayer):
    """Images ``[B, H, W, C]`` to codes ``[B, D]``.

    Every scale but the last is ``[flows] squeeze [flows] split``; half of the
    channels go on and half are factored out. The last scale is ``[flows]`` alone. A
    squeeze may come before them all.
    The code is the concatenation of the factored-out parts, first scale first,
    each flattened channel by channel.

    ```python
    def make():
        return tfcnf.CNFLayer(tfcnf.ConvDynamics((8,)))

    flow = tfcnf.build_multiscale((8, 8, 1), make, num_scales=2)
    ```

    Args:
        scales: one `Chain` a scale, as `build_multiscale` makes them.
        image_shape: (H, W, C) of the input.
    """

    def __init__(
        self, scales: Sequence[Chain], image_shape: Sequence[int], **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.scales, self.image_shape = list(scales), tuple(image_shape)
        self.num_solves = sum(scale.num_solves for scale in self.scales)

    def build(self, shape: Any = None) -> None:
        """Builds every scale and records the shape of each part of the code."""
        shape = self.image_shape
        self.part_shapes: list[Shape] = []
        for scale in self.scales:
            scale.build((None, *shape))
            height, width, channels = scale.compute_output_shape((None, *shape))[1:]
            if scale is not self.scales[-1]:
                channels //= 2
            shape = (height, width, channels)
            self.part_shapes.append(shape)
        self.built = True

    @property
    def policies(self) -> list[Policies]:
        """Policies of the scales."""
        return [policy for scale in self.scales for policy in scale.policies]

    def compute_output_shape(self, shape: Any) -> Any:
        """``[B, D]``."""
        return (shape[0], math.prod(self.image_shape))

    def call(
        self, x: Tensor, inverse: bool = False, control: Control | None = None
    ) -> FlowOutput:
        """``[B, H, W, C]`` to ``[B, D]``, or back with ``inverse``."""
        parts = split_control(control, self.scales)
        return self._decode(x, parts) if inverse else self._encode(x, parts)

    def _encode(self, x: Tensor, controls: Sequence[Control]) -> FlowOutput:
        outputs, codes = [], []
        for scale, control in zip(self.scales, controls, strict=True):
            outputs.append(scale(x, control=control))
            x = outputs[-1].z
            if scale is not self.scales[-1]:
                x, factored = split_channels(x)
                codes.append(flatten_code(factored))
        codes.append(flatten_code(x))
        return merge_outputs(tf.concat(codes, 1), outputs)

    def _decode(self, z: Tensor, controls: Sequence[Control]) -> FlowOutput:
        codes = tf.split(z, [math.prod(shape) for shape in self.part_shapes], 1)
        outputs: list[FlowOutput] = []
        x = None
        for i in reversed(range(len(self.scales))):
            part = unflatten_code(codes[i], self.part_shapes[i])
            x = part if x is None else tf.concat([x, part], -1)
            outputs.insert(0, self.scales[i](x, inverse=True, control=controls[i]))
            x = outputs[0].z
        return merge_outputs(x, outputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        scales = [keras.saving.serialize_keras_object(item) for item in self.scales]
        return super().get_config() | {
            "scales": scales,
            "image_shape": self.image_shape,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MultiscaleFlow:
        """Rebuilds the flow from `get_config`."""
        scales = [
            keras.saving.deserialize_keras_object(item) for item in config["scales"]
        ]
        return cls(**(config | {"scales": scales}))


def build_multiscale(
    image_shape: Sequence[int],
    make_flow: Callable[[], FlowLayer],
    num_scales: int | None = None,
    flows_per_block: int = 2,
    squeeze_first: bool = False,
) -> MultiscaleFlow:
    """The multiscale flow whose every CNF is made by ``make_flow``.

    Args:
        image_shape: (H, W, C).
        make_flow: returns a new, unbuilt flow layer.
        num_scales: scales; as many as `default_num_scales` if None.
        flows_per_block: flows before, and after, each squeeze of a scale.
        squeeze_first: squeeze the images before the first flow. A flow of as many
            filters then costs a quarter, and sees twice as far.

    Raises:
        ValueError: where a side cannot be halved as often as the scales ask.
    """
    halved = 2 if squeeze_first else 1
    if num_scales is None:
        num_scales = default_num_scales([side // halved for side in image_shape[:2]])
    check_positive_integer("num_scales", num_scales)
    check_positive_integer("flows_per_block", flows_per_block)
    factor = halved * 2 ** (num_scales - 1)
    if image_shape[0] % factor or image_shape[1] % factor:
        after = " after a first squeeze" if squeeze_first else ""
        raise ValueError(
            f"num_scales={num_scales}{after} needs a height and width divisible by "
            f"{factor}. Received: image_shape={tuple(image_shape)}"
        )
    scales = []
    for i in range(num_scales):
        layers: list[FlowLayer] = [Squeeze()] if squeeze_first and not i else []
        layers += [make_flow() for _ in range(flows_per_block)]
        if i < num_scales - 1:
            layers += [Squeeze(), *(make_flow() for _ in range(flows_per_block))]
        scales.append(Chain(layers, name=f"scale_{i}"))
    return MultiscaleFlow(scales, image_shape, name="multiscale")
