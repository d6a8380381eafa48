"""The questions that can be asked of a flow model, each with named answers.

Every answer is a dictionary of tensors that begin with the batch; the names say the
units. What is asked is checked inside the graph, so nothing here raises a Python
error for a bad request. An example outside the support has the log-probability -inf,
NaN for all that is read from its code, and the class -1. Those that the model gives it
takes back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfcnf.diagnostics.typicality import unusualness
from tfcnf.labels.real import Real
from tfcnf.models.inference import POSTERIORS
from tfcnf.models.infocnf import InfoCNF
from tfcnf.seeds import normal
from tfcnf.serving import inputs
from tfcnf.serving.bounds import Bounds
from tfcnf.serving.passes import Answer, RequestPasses
from tfcnf.types import Control, On, Tensor

INTERVAL = 0.9  # probability of the intervals of labels that are numbers


class Answers(RequestPasses):
    """A model with all that its answers depend on.

    With ``steps="each"`` every example is solved by steps of its own, and its answer is
    to the bit the same alone and in any batch; with ``"shared"`` one step size serves
    all, and an answer moves with the others by what the tolerance allows.

    Log-probabilities with the exact trace are without noise, unless examples are
    dequantized. All others are means over ``draws`` fixed draws of noise (of the trace
    estimate, and of the dequantization), with their standard error.

    A model with a context is asked with one for each example, or one for all.

    Args:
        model: the model, of vectors; of images see
            `tfcnf.serving.image_answers.ImageAnswers`.
        exact: whether log-determinants are exact.
        draws: draws of noise to average, where there is noise; at least 2.
        entropy: of the training data, nats, see `tfcnf.diagnostics.typicality`; None
            where it is not known, then there is no `ood_score`.
        bounds: what a request may ask for.
        steps: of `tfcnf.models.passes.STEPS`, what a request may choose from.

    Attributes:
        example: name of the examples that are asked about.
        drawn: name of the examples that are given.
    """

    example = "x"
    drawn = "x_own_units"

    def __init__(
        self,
        model: InfoCNF,
        *,
        exact: bool,
        draws: int,
        entropy: float | None,
        bounds: Bounds,
        steps: Sequence[str],
    ):
        super().__init__(model, bounds, steps)
        self.exact, self.draws = exact, draws
        self.entropy: Any = entropy

    @property
    def questions(self) -> dict[str, tuple[str, ...]]:
        """Names of the inputs of each method that answers, in their order."""
        model = self.model
        context = ("context",) if model.condition else ()
        options, label = (*context, "tol", "steps"), ("label",) if model.labels else ()
        about = ["encode"]
        if model.prior.has_marginal:
            about.append("marginal_log_prob")
        if self.entropy is not None and has_marginal(model):
            about.append("ood_score")
        if model.labels:
            about += ["classify"] * bool(model.reader.classes)
            about += ["predict_labels"] * (not model.reader.of_classes)
        drawn = (*context, "seed", "temperature", "tol", "steps")
        return {name: (self.example, *options) for name in about} | {
            "log_prob": (self.example, *label, *options),
            "decode": ("code", *options),
            "sample": (*(label or ("num",)), *drawn),
        }

    def log_prob(self, x: Tensor, label: Tensor = None, **options: Tensor) -> Answer:
        """log p(x | y), or log p(x) of a model without labels."""
        x = self._examples(x)
        if not self.model.labels:
            return self._likelihood(x, **options)
        label = self._label(label, tf.shape(x)[0])
        return self._likelihood(x, label, **options)

    def marginal_log_prob(self, x: Tensor, **options: Tensor) -> Answer:
        """log p(x), labels marginalised."""
        return self._likelihood(self._examples(x), **options)

    def ood_score(self, x: Tensor, **options: Tensor) -> Answer:
        """Distance from the training data, see `tfcnf.diagnostics.typicality`."""
        found = self.marginal_log_prob(x, **options)
        scores = unusualness(found["log_prob_nats"], self.entropy)
        return {
            "likelihood_score_nats": scores["likelihood"],
            "typicality_score_nats": scores["typicality"],
            "standard_error_nats": found["standard_error_nats"],
        }

    def classify(self, x: Tensor, **options: Tensor) -> Answer:
        """Both posteriors of each label of classes, and the best classes."""
        return self._solved(self._classes, self._examples(x), **options)

    def _classes(self, control: Control, x: Tensor) -> Answer:
        z, answer = self._code(control, x), {}
        for name in POSTERIORS:
            factors = self.model.class_scores(z, name)
            for i, scores in enumerate(factors):
                end = f"_{i}" if len(factors) > 1 else ""
                answer[f"{name}_probability{end}"] = tf.nn.softmax(scores)
                best = tf.argmax(scores, -1, output_type=tf.int32)
                best = tf.where(tf.math.is_nan(scores[:, 0]), -1, best)
                answer[f"{name}_class{end}"] = best
        return answer

    def predict_labels(self, x: Tensor, **options: Tensor) -> Answer:
        """Label values, see `InfoCNF.predict_labels`; of numbers with an interval."""

        def values(control: Control, x: Tensor) -> Answer:
            z = self._code(control, x)
            outside = tf.reduce_any(tf.math.is_nan(z), 1)[:, None, None]
            found = self.model.reader.intervals(z, INTERVAL)
            found = tf.where(outside, tf.constant(math.nan, found.dtype), found)
            value, low, high = tf.unstack(found, axis=2)
            answer = {"label_own_units": value}
            if any(isinstance(label, Real) for label in self.model.labels):
                answer |= {"label_low_own_units": low, "label_high_own_units": high}
            return answer

        return self._solved(values, self._examples(x), **options)

    def encode(self, x: Tensor, **options: Tensor) -> Answer:
        """Codes."""

        def codes(control: Control, x: Tensor) -> Answer:
            return {"code_unitless": self._code(control, x)}

        return self._solved(codes, self._examples(x), **options)

    def decode(self, code: Tensor, **options: Tensor) -> Answer:
        """Examples of codes."""
        code = self._few(inputs.read_code(code, self.model.num_dims))

        def examples(control: Control, code: Tensor) -> Answer:
            return {self.drawn: self._decode(control, code)}

        return self._solved(examples, code, **options)

    def sample(
        self, label: Tensor, *, seed: Tensor, temperature: Tensor, **options: Tensor
    ) -> Answer:
        """One example for each label; ``label`` is their number without labels.

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
        noise = tf.ensure_shape(noise, [None, dims])
        scale = tf.cast(inputs.read_temperature(temperature, batch), dtype)
        scale = tf.broadcast_to(scale, [batch, 1])

        def examples(
            control: Control, noise: Tensor, label: Tensor, scale: Tensor
        ) -> Answer:
            code = model.prior.place(noise, label, scale)
            return {self.drawn: self._decode(control, code)}

        return self._solved(examples, noise, label, scale, **options)

    def _examples(self, x: Tensor) -> Tensor:
        """Examples ``[B, D]``, checked."""
        return self._few(inputs.read_vectors(x, self.model.num_dims))

    def _label(self, label: Tensor, batch: Tensor) -> Tensor:
        labels = self.model.labels
        return self._few(inputs.read_label(label, labels, batch, self.example))

    def _few(self, batch: Tensor) -> Tensor:
        return inputs.require_few(batch, tf.shape(batch)[0], self.bounds)

    def _middle(self, x: Tensor) -> Tensor:
        """The point of the continuous space that stands for each example."""
        return x

    def _code(self, control: Control, x: Tensor) -> Tensor:
        return self._pass(self._middle(x), control=control).code

    def _decode(self, control: Control, code: Tensor) -> Tensor:
        return self._pass(code, inverse=True, control=control).z

    def _is_noisy(self, x: Tensor) -> bool:
        """True where examples are dequantized by noise."""
        return any(column.kind == "integer" for column in self.model.columns)

    def _likelihood(self, x: Tensor, label: Tensor = None, **options: Tensor) -> Answer:
        """Mean and standard error over the draws of `InfoCNF.log_density`."""
        once = self.exact and not self._is_noisy(x)
        draws = 1 if once else self.draws

        def likelihood(control: Control, x: Tensor, *label: Tensor) -> Answer:
            control = control._replace(
                skip_log_det=None, exact=On() if self.exact else None, share_noise=On()
            )

            def nats(draw: Tensor) -> Tensor:
                seeded = control._replace(seed=tf.stack([draw, 0]))
                return self.model.log_density(self._pass(x, control=seeded), *label)

            if once:
                mean = nats(tf.constant(0))
                return _averaged(mean, tf.zeros_like(mean))
            drawn = tf.map_fn(
                nats,
                tf.range(draws),
                fn_output_signature=tf.TensorSpec([None], self.model.compute_dtype),
                parallel_iterations=1,
            )
            mean = tf.reduce_mean(drawn, 0)
            spread = tf.reduce_sum(tf.square(drawn - mean), 0) / (draws - 1)
            return _averaged(mean, tf.sqrt(spread / draws))

        parts = [x] if label is None else [x, label]
        return self._solved(likelihood, *parts, passes=draws, **options)


def _averaged(mean: Tensor, error: Tensor) -> Answer:
    return {"log_prob_nats": mean, "standard_error_nats": error}


def has_marginal(model: InfoCNF) -> bool:
    """True of models of p(x), whose mean `ood_score` compares with."""
    return model.condition is None and model.prior.has_marginal
