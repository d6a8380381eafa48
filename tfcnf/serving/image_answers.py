"""The questions that can be asked of a model of images."""

from __future__ import annotations

import math

import tensorflow as tf

from tfcnf import losses
from tfcnf.serving import inputs
from tfcnf.serving.answers import Answer, Answers
from tfcnf.types import Control, Tensor

SCALE = "black_0_white_1"


class ImageAnswers(Answers):
    """Answers about images: floats, black 0 and white 1, or grey levels (uint8).

    Those that the model gives may lie a little beyond: its support is wider.
    Log-probabilities of grey levels are means over draws of their dequantization;
    their codes are those of the middle of each level.
    """

    example = "image"
    drawn = f"image_{SCALE}"

    @property
    def questions(self) -> dict[str, tuple[str, ...]]:
        """Names of the inputs of each method that answers, in their order."""
        context = ("context",) if self.model.condition else ()
        return super().questions | {
            "interpolate": ("image_a", "image_b", *context, "steps", "tol"),
            "reconstruct": ("image", *context, "tol"),
        }

    def reconstruct(self, x: Tensor, *, tol: Tensor, context: Tensor = None) -> Answer:
        """decode(encode(x)), and its largest difference from x."""
        u = self._middle(self._examples(x))
        control = self._control(tol, context, tf.shape(u)[0])
        back = self._decode(self._solve(u, control=control).code, control)
        largest = tf.reduce_max(tf.abs(back - tf.cast(u, back.dtype)), [1, 2, 3])
        return {self.drawn: back, f"largest_difference_{SCALE}": largest}

    def interpolate(
        self,
        image_a: Tensor,
        image_b: Tensor,
        *,
        steps: Tensor,
        tol: Tensor,
        context: Tensor = None,
    ) -> Answer:
        """Images of ``steps`` codes on the straight line from a's to b's."""
        image_a = self._examples(image_a, "image_a")
        image_b = self._examples(image_b, "image_b")
        image_b = inputs.same_batch(image_a, image_b)
        steps, pairs = inputs.read_steps(steps), tf.shape(image_a)[0]
        image_a = inputs.require_few(image_a, steps * pairs, self.bounds)
        control = self._control(tol, context, pairs)
        both = self._middle(tf.concat([image_a, image_b], 0))
        codes = self._solve(both, control=_repeated(control, 1, 2, 2 * pairs)).code
        start, end = tf.split(codes, 2)
        part = tf.linspace(tf.zeros([], codes.dtype), 1.0, steps)[None, :, None]
        line = (1.0 - part) * start[:, None] + part * end[:, None]
        control = _repeated(control, steps, 1, steps * pairs)
        flat = self._decode(tf.reshape(line, [-1, self.model.num_dims]), control)
        shape = [-1, steps, *self.model.event_shape]
        return {f"images_{SCALE}": tf.reshape(flat, shape)}

    def _examples(self, x: Tensor, name: str = "image") -> Tensor:
        """Images ``[B, H, W, C]``, checked."""
        model = self.model
        image = inputs.read_image(name, x, model.event_shape, model.num_levels)
        return self._few(image)

    def _middle(self, x: Tensor) -> Tensor:
        """Floats as they are, grey levels at the middle of each."""
        if x.dtype.is_floating:
            return x
        return (tf.cast(x, self.model.compute_dtype) + 0.5) / self.model.num_levels

    def _is_noisy(self, x: Tensor) -> bool:
        """True for grey levels."""
        return not x.dtype.is_floating

    def _likelihood(
        self, x: Tensor, tol: Tensor, context: Tensor, label: Tensor = None
    ) -> Answer:
        """Log-probabilities in nats and in bits/dim, each with its standard error."""
        found = super()._likelihood(x, tol, context, label)
        model, mean = self.model, found["log_prob_nats"]
        bits = losses.bits_per_dim(mean, model.num_dims, model.num_levels)
        to_bits = 1.0 / (model.num_dims * math.log(2.0))
        return found | {
            "bits_per_dim": bits,
            "standard_error_bits_per_dim": to_bits * found["standard_error_nats"],
        }


def _repeated(control: Control, each: Tensor, all_: Tensor, count: Tensor) -> Control:
    """The options with each context ``each`` times, and all of that ``all_`` times."""
    if control.context is None:
        return control
    context = tf.tile(tf.repeat(control.context, each, 0), [all_, 1])
    return control._replace(context=context[: tf.maximum(count, 1)])
