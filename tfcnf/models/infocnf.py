"""InfoCNF: a conditional continuous normalizing flow with a partitioned code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf import losses
from tfcnf.checks import check_choice
from tfcnf.data.source import HIDDEN
from tfcnf.flows.base import FlowLayer
from tfcnf.gates.policy import check_tolerance
from tfcnf.latent.conditional import ConditionalPrior
from tfcnf.latent.partition import Partition
from tfcnf.latent.predictor import Classifier
from tfcnf.models.base import FlowModel
from tfcnf.models.build import build_flow
from tfcnf.models.distribution import FlowBijector, FlowDistribution
from tfcnf.models.inputs import check_examples, check_labels
from tfcnf.types import Control, FlowOutput, On, Tensor

POSTERIORS = ("discriminative", "generative")


@keras.saving.register_keras_serializable("tfcnf")
class InfoCNF(FlowModel):
    """InfoCNF (MC-FFJORD): one part of the code is supervised, the rest is not.

    The flow turns an example into a code z = [z_y, z_u]. The supervised z_y has a
    Gaussian for each class, z_u is N(0, I), and a linear classifier reads z_y
    (InfoCNF section 2.2). The loss is ``bits/dim + beta * cross-entropy in nats``
    (Eq. 4, with the likelihood's sign corrected); for examples without a label it is
    bits/dim of the marginal likelihood.

    Labels are integers ``[B]``, or ``[B, L]`` for L label factors, each with its own
    slice of z_y; in training, -1 is a label that is not known. Images are integer
    grey levels, or floats in [0, 1] which are taken as already dequantized.

    Args:
        event_shape: ``(H, W, C)`` of images or ``(D,)`` of vectors.
        num_classes: classes K, or one number for each of several label factors.
        supervised_fraction: part of the code that is supervised: 0 is the
            unconditional CNF, 1 is CCNF (C-FFJORD), 1/2 is the papers' InfoCNF.
        num_levels: grey levels of integer images; not used for vectors.
        beta: weight of the cross-entropy against bits/dim.
        dropout: dropout on the classifier's input.
        seed: integer seed of initial weights and noise.
        reinforce: keywords of `tfcnf.gates.reinforce.Reinforce`, where the policy of
            the tolerances is learned.
        flow: a flow of your own from ``[B, *event_shape]`` to ``[B, D]``. If None,
            `tfcnf.models.build.build_flow` makes one from the remaining keywords
            (filters, hidden_layers, num_scales, flows_per_block, tol, policy, ...).

    Raises:
        ValueError: for a keyword out of range.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        num_classes: int | Sequence[int] = 10,
        supervised_fraction: float = 0.5,
        num_levels: int = 256,
        beta: float = 0.5,
        dropout: float = 0.5,
        seed: int | None = None,
        reinforce: Mapping[str, Any] | None = None,
        flow: FlowLayer | None = None,
        name: str | None = None,
        dtype: Any = None,
        **flow_options: Any,
    ):
        super().__init__(name=name, dtype=dtype)
        self.event_shape = _positive_integers("event_shape", event_shape, (1, 3))
        self.num_classes = _positive_integers("num_classes", num_classes)
        self.num_dims = math.prod(self.event_shape)
        self.num_levels = num_levels if len(self.event_shape) == 3 else 1
        self.supervised_fraction, self.beta = supervised_fraction, beta
        self.dropout, self.seed, self.flow_options = dropout, seed, flow_options
        self.given_flow = flow
        policy = self.dtype_policy
        self.flow = flow or build_flow(
            self.event_shape, num_levels, seed=seed, dtype=policy, **flow_options
        )
        if not self.flow.built:
            self.flow.build((None, *self.event_shape))
        partition = Partition.from_fraction(
            self.num_dims, supervised_fraction, len(self.num_classes)
        )
        self.prior = ConditionalPrior(partition, self.num_classes, dtype=policy)
        self.classifier = Classifier(
            partition, self.num_classes, dropout, seed, dtype=policy
        )
        self.is_supervised = bool(partition.supervised)
        self.reinforce_options = reinforce
        self._learn_tolerances(reinforce)
        self._track_metrics()
        self.built = True

    def call(
        self,
        x: Tensor,
        inverse: bool = False,
        control: Control | None = None,
        training: bool = False,
    ) -> FlowOutput:
        """Examples ``[B, *event_shape]`` to codes ``[B, D]``, or back."""
        return self.flow(x, inverse=inverse, control=control, training=training)

    def terms(
        self, x: Tensor, y: Tensor, control: Control, training: bool
    ) -> tuple[dict[str, Tensor], FlowOutput]:
        """Loss, bits/dim, cross-entropy (nats) and error (percent), each ``[B]``.

        Examples whose label is `tfcnf.data.source.HIDDEN` have the marginal
        log-likelihood in place of the conditional one, and neither of the last two.
        """
        x = check_examples(x, self.event_shape, self.num_levels)
        out = self(x, control=control, training=training)
        if self.is_supervised:
            y = check_labels(y, self.num_classes, HIDDEN)
        log_prob = self.prior.log_prob(out.z, y) + out.log_det
        bits = losses.bits_per_dim(log_prob, self.num_dims, self.num_levels)
        if not self.is_supervised:
            return {"loss": bits, "bits_per_dim": bits}, out
        logits = self.classifier(out.z, training=training)
        cross_entropy = losses.cross_entropy(logits, y)
        known = tf.reduce_all(y != HIDDEN, 1)
        return {
            "loss": bits + self.beta * cross_entropy,
            "bits_per_dim": bits,
            "cross_entropy": tf.boolean_mask(cross_entropy, known),
            "error": tf.boolean_mask(losses.error(logits, y), known),
        }, out

    def log_prob(
        self,
        x: Any,
        y: Any = None,
        tol: float | None = None,
        seed: int = 0,
        exact: bool = False,
    ) -> Tensor:
        """log p(x | y), ``[B]`` nats.

        For images it is the log-density of the dequantized image in [0, 1]^D;
        `tfcnf.losses.bits_per_dim` turns it into bits/dim.

        Args:
            x: examples ``[B, *event_shape]``.
            y: labels; not needed at supervised_fraction 0.
            tol: solver tolerance instead of the layers' own.
            seed: fixes dequantization and trace noise.
            exact: take the exact trace, whatever the layers have; of images as
                floats the result is then without noise.
        """
        if self.is_supervised:
            y = check_labels(y, self.num_classes)
        out = self._encode(x, tol, seed, exact)
        return self.prior.log_prob(out.z, y) + out.log_det

    def marginal_log_prob(
        self,
        x: Any,
        tol: float | None = None,
        seed: int = 0,
        exact: bool = False,
    ) -> Tensor:
        """log p(x) with the labels marginalised (InfoCNF App. G), ``[B]`` nats."""
        out = self._encode(x, tol, seed, exact)
        return self.prior.marginal_log_prob(out.z) + out.log_det

    def classify(
        self,
        x: Any,
        posterior: str = "discriminative",
        tol: float | None = None,
        seed: int = 0,
    ) -> Tensor | list[Tensor]:
        """Class probabilities ``[B, K]``; a list of them for several label factors.

        Args:
            x: examples ``[B, *event_shape]``.
            posterior: ``"discriminative"`` for the classifier q_theta(z_y), or
                ``"generative"`` for p(y | x) by Bayes' rule from the mixture.
            tol: solver tolerance instead of the layers' own.
            seed: fixes the dequantization noise.

        Raises:
            ValueError: without supervised code, or for an unknown posterior.
        """
        check_choice("posterior", posterior, POSTERIORS)
        if not self.is_supervised:
            raise ValueError(
                "a model without supervised code cannot classify. "
                f"Received: supervised_fraction={self.supervised_fraction}"
            )
        z = self.encode(x, tol, seed)
        generative = posterior == "generative"
        scores = self.prior.class_log_probs(z) if generative else self.classifier(z)
        probabilities = [tf.nn.softmax(score) for score in scores]
        return probabilities[0] if len(probabilities) == 1 else probabilities

    def encode(self, x: Any, tol: float | None = None, seed: int = 0) -> Tensor:
        """Codes ``[B, D]`` of examples."""
        x = check_examples(x, self.event_shape, self.num_levels)
        control = self._control(tol, seed)._replace(skip_log_det=On())
        return self(x, control=control).z

    def decode(self, z: Any, tol: float | None = None) -> Tensor:
        """Examples of codes ``[B, D]``; images come as floats in [0, 1]."""
        z = tf.convert_to_tensor(z)
        if z.shape.rank != 2 or z.shape[1] != self.num_dims:
            raise ValueError(
                f"codes must have shape [batch, {self.num_dims}]. "
                f"Received: z.shape={z.shape}"
            )
        control = self._control(tol, 0)._replace(skip_log_det=On())
        return self(z, inverse=True, control=control).z

    def sample(
        self,
        y: Any,
        seed: int = 0,
        temperature: float = 1.0,
        tol: float | None = None,
    ) -> Tensor:
        """Draws one example for each label, ``[B, *event_shape]``.

        Args:
            y: labels ``[B]`` or ``[B, L]``; at supervised_fraction 0 only their
                number counts.
            seed: the same seed gives the same samples.
            temperature: factor on the deviations of the code; 1 samples the model.
            tol: solver tolerance instead of the layers' own.
        """
        y = check_labels(y, self.num_classes)
        z = self.prior.sample(y, tf.constant([seed, 1]), temperature)
        return self.decode(z, tol)

    def distribution(
        self,
        y: Any = None,
        tol: float | None = None,
        seed: int = 0,
        exact: bool = False,
    ) -> FlowDistribution:
        """p(x | y), or p(x) without labels, as a `tfd.Distribution`.

        Its batch shape is that of the labels and its event shape that of an example;
        its ``bijector`` turns codes into examples. The space is continuous: images are
        floats in [0, 1], densities those of dequantized images in nats.

        Args:
            y: labels: one ``[]`` (for several factors ``[L]``), or ``[B]`` or
                ``[B, L]``; None marginalises them.
            tol: solver tolerance instead of the layers' own.
            seed: fixes the trace noise.
            exact: as in `log_prob`.
        """
        control = self._control(tol, seed, exact)
        bijector = FlowBijector(self.flow, self.event_shape, control)
        if y is None:
            return FlowDistribution(self.prior.marginal(), bijector)
        y = tf.convert_to_tensor(y)
        single = y.shape.rank == int(len(self.num_classes) > 1)
        y = check_labels(y[None] if single else y, self.num_classes)
        code = self.prior.distribution(y)
        return FlowDistribution(code[0] if single else code, bijector)

    def _encode(self, x: Any, tol: float | None, seed: int, exact: bool) -> FlowOutput:
        x = check_examples(x, self.event_shape, self.num_levels)
        return self(x, control=self._control(tol, seed, exact))

    def _control(self, tol: float | None, seed: int, exact: bool = False) -> Control:
        if tol is not None and not tf.is_tensor(tol):
            tol = check_tolerance("tol", tol)
        if tol is not None:
            tol = tf.cast(tol, self.compute_dtype)
        switch = On() if exact else None
        return Control(tol=tol, seed=tf.constant([seed, 0]), exact=switch)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        flow = self.given_flow and keras.saving.serialize_keras_object(self.given_flow)
        return {
            "event_shape": self.event_shape,
            "num_classes": self.num_classes,
            "supervised_fraction": self.supervised_fraction,
            "num_levels": self.num_levels,
            "beta": self.beta,
            "dropout": self.dropout,
            "seed": self.seed,
            "reinforce": self.reinforce_options,
            "flow": flow,
            "name": self.name,
            "dtype": self.dtype_policy.name,
        } | self.flow_options

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> InfoCNF:
        """Rebuilds the model from `get_config`."""
        flow = config.get("flow")
        flow = flow and keras.saving.deserialize_keras_object(flow, custom_objects)
        return cls(**(config | {"flow": flow}))


def _positive_integers(
    name: str, values: Any, lengths: Sequence[int] = ()
) -> tuple[int, ...]:
    values = tuple(values) if isinstance(values, Iterable) else (values,)
    if not values or not all(isinstance(v, int) and v > 0 for v in values):
        raise ValueError(f"{name} must be positive integers. Received: {name}={values}")
    if lengths and len(values) not in lengths:
        raise ValueError(
            f"{name} must have {' or '.join(map(str, lengths))} entries. "
            f"Received: {name}={values}"
        )
    return values
