"""From integer grey levels to the real line: uniform dequantization and a link."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.checks import check_choice, is_integer
from tfcnf.flows.base import FlowLayer, unsolved
from tfcnf.seeds import next_seed, uniform
from tfcnf.types import Control, FlowOutput, Tensor

LINKS = ("logit", "probit")
EDGE = 2.0**-5  # nearer than this to 0 or 1 the rounding of s matters to its logit


@keras.saving.register_keras_serializable("tfcnf")
class Dequantize(FlowLayer):
    """y = link(alpha + (1 - 2 alpha) u), where u in [0, 1] is the image.

    Integer images ``0..num_levels-1`` become ``u = (level + noise) / num_levels``
    with uniform noise; floating-point images are taken as u itself. The
    log-determinant is that of u -> y; `tfcnf.losses.bits_per_dim` adds the
    ``ln(num_levels)`` a dimension that turns densities of u into probabilities
    of levels. The support of u is the open interval that reaches ``margin = alpha /
    (1 - 2 alpha)`` beyond [0, 1] on both sides: the inverse gives values of all of it,
    and `call` takes them. What density lies beyond [0, 1] is lost to images: a larger
    alpha trains more easily and costs a little of the likelihood.

    The link is the logit of the papers, or the probit, the inverse of the normal
    distribution function. The noise of a level at an end of the range, such as a black
    background, has an exponential tail under the logit and that of a normal
    distribution under the probit.

    ```python
    levels = tf.zeros([1, 8, 8, 1], tf.uint8)
    out = tfcnf.Dequantize(num_levels=17, alpha=0.05)(levels)
    ```

    Args:
        num_levels: grey levels of the source, 256 for 8-bit images.
        alpha: keeps the link finite at 0 and 1, in (0, 0.5).
        seed: integer seed of the noise.
        link: ``"logit"`` or ``"probit"``.

    Raises:
        ValueError: for alpha outside (0, 0.5), fewer than 2 levels, or an unknown link.
    """

    def __init__(
        self,
        num_levels: int = 256,
        alpha: float = 1e-6,
        seed: int | None = None,
        *,
        link: str = "logit",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("link", link, LINKS)
        if not is_integer(num_levels) or num_levels < 2:
            raise ValueError(
                "num_levels must be an integer of at least 2. "
                f"Received: num_levels={num_levels!r}"
            )
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must be in (0, 0.5). Received: alpha={alpha!r}")
        self.num_levels, self.alpha, self.seed = num_levels, alpha, seed
        self.link = link
        self.margin = alpha / (1 - 2 * alpha)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, shape: Any) -> Any:
        """The shape is unchanged."""
        return shape

    def call(
        self, x: Tensor, inverse: bool = False, control: Control | None = None
    ) -> FlowOutput:
        """``[B, H, W, C]`` levels, or floats of the support, to the reals, or back."""
        axes = list(range(1, len(x.shape)))
        log_slope = math.log1p(-2 * self.alpha)
        if inverse:
            x = tf.cast(x, self.compute_dtype)
            if self.link == "probit":
                s, log_det = _normal_cdf(x), _normal_log_density(x) - log_slope
            else:
                s = tf.sigmoid(x)
                log_det = tf.math.log_sigmoid(x) + tf.math.log_sigmoid(-x) - log_slope
            u = (s - self.alpha) / (1 - 2 * self.alpha)
            u = tf.clip_by_value(u, *self._ends())
            return unsolved(u, tf.reduce_sum(log_det, axes))
        u = self._unit_interval(x, control)
        if self.link == "probit":
            y = self._probit(u)
            log_det = log_slope - _normal_log_density(y)
        else:
            log_s, log_1s = self._logs(u)
            y, log_det = log_s - log_1s, log_slope - log_s - log_1s
        return unsolved(y, tf.reduce_sum(log_det, axes))

    def inside(self, x: Tensor) -> Tensor:
        """Mask of images in the support, ``[B]``; grey levels always are."""
        if not x.dtype.is_floating:
            return tf.ones(tf.shape(x)[:1], tf.bool)
        above, below = self._distances(tf.cast(x, self.compute_dtype))
        return tf.reduce_all((above > 0) & (below > 0), range(1, len(x.shape)))

    def _distances(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """From the lower and to the upper end of the support; exact near each."""
        return u + self.margin, (1.0 - u) + self.margin

    def _logs(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """log s and log(1 - s); near an end from the distance of u to it."""
        scale = 1 - 2 * self.alpha
        above, below = self._distances(u)
        s = self.alpha + scale * u
        s = tf.where(s < EDGE, scale * above, s)
        high = tf.math.log(scale * below)
        far = tf.math.log1p(-tf.minimum(s, 1 - EDGE))
        return tf.math.log(s), tf.where(s > 1 - EDGE, high, far)

    def _probit(self, u: Tensor) -> Tensor:
        """The quantile of s; from the distance of u to the nearer end."""
        above, below = self._distances(u)
        quantile = tf.math.ndtri((1 - 2 * self.alpha) * tf.minimum(above, below))
        return tf.where(above < below, quantile, -quantile)

    def _ends(self) -> tuple[np.floating, np.floating]:
        """The smallest and the largest number of the support."""
        dtype = np.dtype(self.compute_dtype).type
        margin, one = dtype(self.margin), dtype(1)
        low, high = np.nextafter(-margin, one), one + margin
        while high - one >= margin:
            high = np.nextafter(high, one)
        return low, high

    def _unit_interval(self, x: Tensor, control: Control | None) -> Tensor:
        x = tf.convert_to_tensor(x)
        if x.dtype.is_floating:
            return tf.cast(x, self.compute_dtype)
        control = control or Control()
        seed = control.seed
        seed = next_seed(self.seed_generator) if seed is None else seed
        shape = tf.shape(x if control.share_noise is None else x[:1])
        first = None if control.rows is None else control.rows[0]
        noise = uniform(shape, seed, self.compute_dtype, first)
        # the largest u stays below 1 where the sum rounds up
        u = (tf.cast(x, self.compute_dtype) + noise) / self.num_levels
        return tf.minimum(u, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "num_levels": self.num_levels,
            "alpha": self.alpha,
            "seed": self.seed,
            "link": self.link,
        }


def _normal_cdf(y: Tensor) -> Tensor:
    return 0.5 * tf.math.erfc(-y / math.sqrt(2))


def _normal_log_density(y: Tensor) -> Tensor:
    return -0.5 * (y**2 + math.log(2 * math.pi))
