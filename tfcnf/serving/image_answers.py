"""The questions that can be asked of a model of images."""

from __future__ import annotations

import math

import tensorflow as tf

from tfcnf import losses
from tfcnf.serving import inputs
from tfcnf.serving.answers import Answers
from tfcnf.serving.passes import Answer
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
        pair, options = ("image_a", "image_b", *context), ("tol", "steps")
        return super().questions | {
            "interpolate": (*pair, "num_images", *options),
            "reconstruct": ("image", *context, *options),
        }

    def reconstruct(self, x: Tensor, **options: Tensor) -> Answer:
        """decode(encode(x)), and its largest difference from x."""

        def back(control: Control, x: Tensor) -> Answer:
            u = self._middle(x)
            back = self._decode(control, self._pass(u, control=control).code)
            largest = tf.reduce_max(tf.abs(back - tf.cast(u, back.dtype)), [1, 2, 3])
            return {self.drawn: back, f"largest_difference_{SCALE}": largest}

        return self._solved(back, self._examples(x), passes=2, **options)

    def interpolate(
        self, image_a: Tensor, image_b: Tensor, *, num_images: Tensor, **options: Tensor
    ) -> Answer:
        """Images of ``num_images`` codes on the straight line from a's to b's."""
        image_a = self._examples(image_a, "image_a")
        image_b = self._examples(image_b, "image_b")
        image_b = inputs.same_batch(image_a, image_b)
        number, pairs = inputs.read_num_images(num_images), tf.shape(image_a)[0]
        image_a = inputs.require_few(image_a, number * pairs, self.bounds)

        def line(control: Control, a: Tensor, b: Tensor) -> Answer:
            ends = [self._code(control, x)[:, None] for x in (a, b)]
            part = tf.linspace(tf.zeros([], ends[0].dtype), 1.0, number)[None, :, None]
            codes = (1.0 - part) * ends[0] + part * ends[1]
            flat = tf.reshape(codes, [-1, self.model.num_dims])
            if control.context is not None:
                context = tf.repeat(control.context, number, 0)
                rows = tf.maximum(tf.shape(flat)[0], 1)
                control = control._replace(context=context[:rows])
            images = self._decode(control, flat)
            shape = [-1, number, *self.model.event_shape]
            return {f"images_{SCALE}": tf.reshape(images, shape)}

        return self._solved(line, image_a, image_b, passes=3, **options)

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

    def _likelihood(self, x: Tensor, label: Tensor = None, **options: Tensor) -> Answer:
        """Log-probabilities in nats and in bits/dim, each with its standard error."""
        found = super()._likelihood(x, label, **options)
        model, mean = self.model, found["log_prob_nats"]
        bits = losses.bits_per_dim(mean, model.num_dims, model.num_levels)
        to_bits = 1.0 / (model.num_dims * math.log(2.0))
        return found | {
            "bits_per_dim": bits,
            "standard_error_bits_per_dim": to_bits * found["standard_error_nats"],
        }
