"""Bijections that only move values: squeeze, split and flatten."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfcnf.flows.base import FlowLayer, unsolved
from tfcnf.types import Control, FlowOutput, Tensor


@keras.saving.register_keras_serializable("tfcnf")
class Squeeze(FlowLayer):
    """``[B, H, W, C]`` to ``[B, H/2, W/2, 4C]``.

    Channel ``4 c + 2 dy + dx`` of the output is channel c at row offset dy and
    column offset dx, the order of the reference implementation.
    """

    def compute_output_shape(self, shape: Any) -> Any:
        """Half the height and width, four times the channels."""
        batch, height, width, channels = shape
        return (batch, height // 2, width // 2, 4 * channels)

    def call(
        self, x: Tensor, inverse: bool = False, control: Control | None = None
    ) -> FlowOutput:
        """Rearranges 2x2 patches into channels, or back."""
        _, height, width, channels = x.shape
        if inverse:
            x = tf.reshape(x, [-1, height, width, channels // 4, 2, 2])
            x = tf.transpose(x, [0, 1, 4, 2, 5, 3])
            return unsolved(tf.reshape(x, [-1, 2 * height, 2 * width, channels // 4]))
        if height % 2 or width % 2:
            raise ValueError(
                f"Squeeze needs an even height and width. Received: x.shape={x.shape}"
            )
        x = tf.reshape(x, [-1, height // 2, 2, width // 2, 2, channels])
        x = tf.transpose(x, [0, 1, 3, 5, 2, 4])
        return unsolved(tf.reshape(x, [-1, height // 2, width // 2, 4 * channels]))


def split_channels(x: Tensor) -> tuple[Tensor, Tensor]:
    """The half of the channels that goes on and the half that is factored out."""
    continued, factored = tf.split(x, 2, axis=-1)
    return continued, factored


def flatten_code(x: Tensor) -> Tensor:
    """``[B, H, W, C]`` to ``[B, D]``, channel by channel (C, H, W order)."""
    dims = x.shape[1:].num_elements()
    return tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [-1, dims])


def unflatten_code(z: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The inverse of `flatten_code` for images of ``shape`` (H, W, C)."""
    height, width, channels = shape
    x = tf.reshape(z, [-1, channels, height, width])
    return tf.transpose(x, [0, 2, 3, 1])
