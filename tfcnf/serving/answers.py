"""The questions that can be asked of a flow model, each with named answers.

Every answer is a dictionary of tensors that begin with the batch; the names say the
units. What is asked is checked inside the graph, so nothing here raises a Python
error for a bad request. Images are floats, black 0 and white 1, or grey levels (uint8).
Those that the model gives may lie a little beyond: its support is wider. It takes them
back; an image outside the support has the log-probability -inf, NaN for all that is
read from its code, and the class -1.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfcnf import losses
from tfcnf.diagnostics.typicality import unusualness
from tfcnf.models.inference import POSTERIORS
from tfcnf.models.infocnf import InfoCNF
from tfcnf.seeds import normal
from tfcnf.serving import inputs
from tfcnf.serving.bounds import Bounds
from tfcnf.types import Control, FlowOutput, On, Tensor

Answer = dict[str, Tensor]
SCALE = "black_0_white_1"
IMAGE = f"image_{SCALE}"


class Answers:
    """A model with all that its answers depend on.

    An example's answer does not depend on the others of its batch, but for the error
    that the tolerance allows: one step size serves all.

    Log-probabilities of floats with the exact trace are without noise. All others are
    means over ``draws`` fixed draws of noise (of the trace estimate, and of the
    dequantization of grey levels), with their standard error. Codes of grey levels are
    those of the middle of each level.

    Args:
        model: the model, of images.
        exact: whether log-determinants are exact.
        draws: draws of noise to average, where there is noise; at least 2.
        entropy: of the training data, nats, see `tfcnf.diagnostics.typicality`; None
            where it is not known, then there is no `ood_score`.
        bounds: what a request may ask for.
    """

    def __init__(
        self,
        model: InfoCNF,
        *,
        exact: bool,
        draws: int,
        entropy: float | None,
        bounds: Bounds,
    ):
        self.model, self.exact, self.draws = bounds.limit(model), exact, draws
        self.entropy: Any = entropy
        self.bounds = bounds

    def log_prob(self, image: Tensor, label: Tensor, tol: Tensor) -> Answer:
        """log p(x | y); of a model with labels."""
        image, tol = self._image(image), self._tol(tol)
        label = self._label(label, tf.shape(image)[0])
        return self._likelihood(image, tol, label)

    def marginal_log_prob(self, image: Tensor, tol: Tensor) -> Answer:
        """log p(x), labels marginalised."""
        image, tol = self._image(image), self._tol(tol)
        return self._likelihood(image, tol)

    def ood_score(self, image: Tensor, tol: Tensor) -> Answer:
        """Distance from the training data, see `tfcnf.diagnostics.typicality`."""
        found = self.marginal_log_prob(image, tol)
        scores = unusualness(found["log_prob_nats"], self.entropy)
        return {
            "likelihood_score_nats": scores["likelihood"],
            "typicality_score_nats": scores["typicality"],
            "standard_error_nats": found["standard_error_nats"],
        }

    def classify(self, image: Tensor, tol: Tensor) -> Answer:
        """Both posteriors of each label factor, and their classes."""
        z = self.encode(image, tol)["code_unitless"]
        answer = {}
        for name in POSTERIORS:
            factors = self.model.class_scores(z, name)
            for i, scores in enumerate(factors):
                end = f"_{i}" if len(factors) > 1 else ""
                answer[f"{name}_probability{end}"] = tf.nn.softmax(scores)
                best = tf.argmax(scores, -1, output_type=tf.int32)
                best = tf.where(tf.math.is_nan(scores[:, 0]), -1, best)
                answer[f"{name}_class{end}"] = best
        return answer

    def predict_labels(self, image: Tensor, tol: Tensor) -> Answer:
        """Label values read from the code, see `InfoCNF.predict_labels`."""
        z = self.encode(image, tol)["code_unitless"]
        outside = tf.reduce_any(tf.math.is_nan(z), 1, keepdims=True)
        found = self.model.reader.estimates(z)
        nan = tf.constant(math.nan, found.dtype)
        return {"label_own_units": tf.where(outside, nan, found)}

    def encode(self, image: Tensor, tol: Tensor) -> Answer:
        """Codes."""
        image, tol = self._image(image), self._tol(tol)
        control = _control(tol)
        return {"code_unitless": self._solve(self._middle(image), control=control).code}

    def decode(self, code: Tensor, tol: Tensor) -> Answer:
        """Images of codes."""
        code = self._few(inputs.read_code(code, self.model.num_dims))
        return self._decode(code, self._tol(tol))

    def sample(
        self, label: Tensor, seed: Tensor, temperature: Tensor, tol: Tensor
    ) -> Answer:
        """One image for each label; ``label`` is a number of images without labels.

        With one seed for all it is `InfoCNF.sample`; an example with a seed of its own
        gets what it would get alone.
        """
        model = self.model
        if model.labels:
            label = self._label(label, None)
        else:
            num = inputs.read_num(label)
            num = inputs.require_few(num, num, self.bounds)
            label = tf.zeros([num, 0], tf.int32)
        batch, dims, dtype = tf.shape(label)[0], model.num_dims, model.compute_dtype
        seed = inputs.read_seed(seed, batch)

        def draw(rows: Tensor, seed: Tensor) -> Tensor:
            key = tf.stack([seed, 1])
            return normal([rows, dims], key, dtype)

        noise = tf.cond(
            tf.equal(tf.rank(seed), 0),
            lambda: draw(batch, tf.reshape(seed, [])),
            lambda: tf.map_fn(
                lambda one: draw(tf.constant(1), one)[0],
                tf.reshape(seed, [-1]),
                fn_output_signature=dtype,
            ),
        )
        scale = inputs.read_temperature(temperature, batch)
        noise = tf.ensure_shape(noise, [None, dims])
        code = model.prior.place(noise, label, tf.cast(scale, dtype))
        return self._decode(code, self._tol(tol))

    def reconstruct(self, image: Tensor, tol: Tensor) -> Answer:
        """decode(encode(x)), and its largest difference from x."""
        image, tol = self._image(image), self._tol(tol)
        u = self._middle(image)
        answer = self._decode(self._solve(u, control=_control(tol)).code, tol)
        gap = tf.abs(answer[IMAGE] - u)
        axes = list(range(1, len(u.shape)))
        return answer | {f"largest_difference_{SCALE}": tf.reduce_max(gap, axes)}

    def interpolate(
        self, image_a: Tensor, image_b: Tensor, steps: Tensor, tol: Tensor
    ) -> Answer:
        """Images of ``steps`` codes on the straight line from a's to b's."""
        image_a = self._image(image_a, "image_a")
        image_b = self._image(image_b, "image_b")
        image_b = inputs.same_batch(image_a, image_b)
        steps, tol = inputs.read_steps(steps), self._tol(tol)
        count = steps * tf.shape(image_a)[0]
        image_a = inputs.require_few(image_a, count, self.bounds)
        both = self._middle(tf.concat([image_a, image_b], 0))
        codes = self._solve(both, control=_control(tol)).code
        start, end = tf.split(codes, 2)
        part = tf.linspace(tf.zeros([], codes.dtype), 1.0, steps)[None, :, None]
        line = (1.0 - part) * start[:, None] + part * end[:, None]
        flat = self._decode(tf.reshape(line, [-1, self.model.num_dims]), tol)
        shape = [-1, steps, *self.model.event_shape]
        return {f"images_{SCALE}": tf.reshape(flat[IMAGE], shape)}

    def _image(self, image: Tensor, name: str = "image") -> Tensor:
        model = self.model
        return self._few(
            inputs.read_image(name, image, model.event_shape, model.num_levels)
        )

    def _label(self, label: Tensor, batch: Tensor) -> Tensor:
        return self._few(inputs.read_label(label, self.model.labels, batch))

    def _few(self, batch: Tensor) -> Tensor:
        return inputs.require_few(batch, tf.shape(batch)[0], self.bounds)

    def _tol(self, tol: Tensor) -> Tensor:
        return inputs.read_tolerance(tol, self.bounds)

    def _middle(self, image: Tensor) -> Tensor:
        """Floats as they are, grey levels at the middle of each."""
        if image.dtype.is_floating:
            return image
        return (tf.cast(image, self.model.compute_dtype) + 0.5) / self.model.num_levels

    def _solve(self, x: Tensor, **options: Any) -> FlowOutput:
        """The model's output; what has no examples is solved with one of zeros.

        Convolutions of oneDNN give empty batches a wrong shape on some processors.
        """
        count = tf.shape(x)[0]
        extra = tf.where(count > 0, 0, 1)
        x = tf.pad(x, [[0, extra], *([[0, 0]] * (len(x.shape) - 1))])
        out = self.model(x, **options)
        return out._replace(z=out.z[:count], log_det=out.log_det[:count])

    def _decode(self, code: Tensor, tol: Tensor) -> Answer:
        control = _control(tol)
        return {IMAGE: self._solve(code, inverse=True, control=control).z}

    def _likelihood(self, image: Tensor, tol: Tensor, label: Tensor = None) -> Answer:
        """Mean and standard error over the draws of `InfoCNF.log_density`."""
        exact = On() if self.exact else None

        def once(draw: Tensor) -> Tensor:
            seed = tf.stack([draw, 0])
            control = Control(tol=tol, seed=seed, exact=exact, share_noise=On())
            out: FlowOutput = self._solve(image, control=control)
            return self.model.log_density(out, label)

        if self.exact and image.dtype.is_floating:
            mean = once(tf.constant(0))
            error = tf.zeros_like(mean)
        else:
            draws = tf.map_fn(
                once,
                tf.range(self.draws),
                fn_output_signature=tf.TensorSpec([None], self.model.compute_dtype),
                parallel_iterations=1,
            )
            mean = tf.reduce_mean(draws, 0)
            spread = tf.reduce_sum(tf.square(draws - mean), 0) / (self.draws - 1)
            error = tf.sqrt(spread / self.draws)
        model = self.model
        bits = losses.bits_per_dim(mean, model.num_dims, model.num_levels)
        to_bits = 1.0 / (model.num_dims * math.log(2.0))
        return {
            "log_prob_nats": mean,
            "standard_error_nats": error,
            "bits_per_dim": bits,
            "standard_error_bits_per_dim": to_bits * error,
        }


def _control(tol: Tensor) -> Control:
    return Control(tol=tol, seed=tf.constant([0, 0]), skip_log_det=On())
