"""InfoCNF: a conditional continuous normalizing flow with a partitioned code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf import losses
from tfcnf.data.source import HIDDEN
from tfcnf.flows.base import FlowLayer, guarded
from tfcnf.latent.conditional import ConditionalPrior
from tfcnf.latent.partition import Partition
from tfcnf.latent.predictor import Classifier
from tfcnf.models.build import build_flow
from tfcnf.models.inference import Inference
from tfcnf.models.inputs import check_examples, check_labels
from tfcnf.registry import plain
from tfcnf.types import Control, FlowOutput, Tensor, Weighted


@keras.saving.register_keras_serializable("tfcnf")
class InfoCNF(Inference):
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
        reinforce: keywords of `tfcnf.tolerances.reinforce.Reinforce`, where the policy
            of the tolerances is learned.
        flow: a flow of your own from ``[B, *event_shape]`` to ``[B, D]``. If None,
            `tfcnf.models.build.build_flow` makes one from the remaining keywords
            (filters, hidden_layers, num_scales, flows_per_block, tol, policy, solver,
            gradient, trace, ...).

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
        """Examples ``[B, *event_shape]`` to codes ``[B, D]``, or back.

        An example outside the support has a log-determinant of -inf, see `guarded`.
        """
        return guarded(self.flow, x, inverse, control=control, training=training)

    def terms(
        self, x: Tensor, y: Tensor, control: Control, training: bool
    ) -> tuple[dict[str, Tensor | Weighted], FlowOutput]:
        """Loss, bits/dim, cross-entropy (nats) and error (percent), each ``[B]``.

        Examples whose label is `tfcnf.data.source.HIDDEN` have the marginal
        log-likelihood in place of the conditional one, and weight 0 in the last two.
        """
        x = check_examples(x, self.event_shape, self.num_levels, self.flow.inside)
        out = self(x, control=control, training=training)
        if self.is_supervised:
            y = check_labels(y, self.num_classes, HIDDEN)
        log_prob = self.prior.log_prob(out.z, y) + out.log_det
        bits = losses.bits_per_dim(log_prob, self.num_dims, self.num_levels)
        if not self.is_supervised:
            return {"loss": bits, "bits_per_dim": bits}, out
        logits = self.classifier(out.z, training=training)
        cross_entropy = losses.cross_entropy(logits, y)
        known = tf.cast(tf.reduce_all(y != HIDDEN, 1), bits.dtype)
        return {
            "loss": bits + self.beta * cross_entropy,
            "bits_per_dim": bits,
            "cross_entropy": Weighted(cross_entropy, known),
            "error": Weighted(losses.error(logits, y), known),
        }, out

    def predict_step(self, data: Any) -> FlowOutput:
        """Codes and log-determinants of a batch; the noise is that of seed 0."""
        x, *_ = self._unpack(data)
        x = check_examples(x, self.event_shape, self.num_levels, self.flow.inside)
        return self(x, control=self._control(None, 0))

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
        } | {key: plain(value) for key, value in self.flow_options.items()}

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
