"""From integer grey levels to the real line: uniform dequantization and logit."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tfcnf.flows.base import FlowLayer, unsolved
from tfcnf.seeds import next_seed
from tfcnf.types import Control, FlowOutput, Tensor


@keras.saving.register_keras_serializable("tfcnf")
class Dequantize(FlowLayer):
    """y = logit(alpha + (1 - 2 alpha) u), where u in [0, 1] is the image.

    Integer images ``0..num_levels-1`` become ``u = (level + noise) / num_levels``
    with uniform noise; floating-point images are taken as u itself. The
    log-determinant is that of u -> y; `tfcnf.losses.bits_per_dim` adds the
    ``ln(num_levels)`` a dimension that turns densities of u into probabilities
    of levels. The inverse reaches a margin of alpha / (1 - 2 alpha) beyond [0, 1],
    and what density lies there is lost: a larger alpha trains more easily and costs
    a little of the likelihood.

    Args:
        num_levels: grey levels of the source, 256 for 8-bit images.
        alpha: keeps the logit finite at 0 and 1, in (0, 0.5).
        seed: integer seed of the noise.

    Raises:
        ValueError: for alpha outside (0, 0.5) or fewer than 2 levels.
    """

    def __init__(
        self,
        num_levels: int = 256,
        alpha: float = 1e-6,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(num_levels, int) or num_levels < 2:
            raise ValueError(
                "num_levels must be an integer of at least 2. "
                f"Received: num_levels={num_levels!r}"
            )
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must be in (0, 0.5). Received: alpha={alpha!r}")
        self.num_levels, self.alpha, self.seed = num_levels, alpha, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, shape: Any) -> Any:
        """The shape is unchanged."""
        return shape

    def call(
        self, x: Tensor, inverse: bool = False, control: Control | None = None
    ) -> FlowOutput:
        """``[B, H, W, C]`` levels or [0, 1] floats to the real line, or back."""
        axes = list(range(1, len(x.shape)))
        log_slope = math.log1p(-2 * self.alpha)
        if inverse:
            x = tf.cast(x, self.compute_dtype)
            s = tf.sigmoid(x)
            log_det = tf.math.log_sigmoid(x) + tf.math.log_sigmoid(-x) - log_slope
            u = (s - self.alpha) / (1 - 2 * self.alpha)
            return unsolved(u, tf.reduce_sum(log_det, axes))
        u = self._unit_interval(x, control)
        s = self.alpha + (1 - 2 * self.alpha) * u
        log_s, log_1s = tf.math.log(s), tf.math.log1p(-s)
        return unsolved(log_s - log_1s, tf.reduce_sum(log_slope - log_s - log_1s, axes))

    def _unit_interval(self, x: Tensor, control: Control | None) -> Tensor:
        x = tf.convert_to_tensor(x)
        if x.dtype.is_floating:
            return tf.cast(x, self.compute_dtype)
        control = control or Control()
        seed = control.seed
        seed = next_seed(self.seed_generator) if seed is None else seed
        # drawn in float32, so that a float64 copy of a model sees the same images
        shape = tf.shape(x if control.share_noise is None else x[:1])
        noise = tf.random.stateless_uniform(shape, seed, dtype=tf.float32)
        noise = tf.cast(noise, self.compute_dtype)
        # the largest u stays below 1 where the sum rounds up
        u = (tf.cast(x, self.compute_dtype) + noise) / self.num_levels
        return tf.minimum(u, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "num_levels": self.num_levels,
            "alpha": self.alpha,
            "seed": self.seed,
        }
