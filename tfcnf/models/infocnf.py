"""InfoCNF: a conditional continuous normalizing flow with a partitioned code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf import losses
from tfcnf.checks import is_integer, plain_integer
from tfcnf.data.columns import make_columns
from tfcnf.flows.base import Chain, FlowLayer, guarded
from tfcnf.flows.columns import Columns
from tfcnf.flows.whitening import make_whitening, whitened_context
from tfcnf.labels.base import split_values
from tfcnf.labels.kinds import make_labels
from tfcnf.latent.partition import Partition
from tfcnf.latent.prior import CodePrior
from tfcnf.latent.reader import CodeReader
from tfcnf.models.build import build_flow
from tfcnf.models.condition import Condition
from tfcnf.models.inference import Inference
from tfcnf.models.inputs import check_examples
from tfcnf.models.label_inputs import read_labels
from tfcnf.models.running_costs import priced
from tfcnf.ode.cost import check_weights
from tfcnf.registry import plain
from tfcnf.types import (
    Control,
    FlowOutput,
    Tensor,
    Weighted,
    split_context,
)


@keras.saving.register_keras_serializable("tfcnf")
class InfoCNF(Inference):
    """InfoCNF (MC-FFJORD): one part of the code is supervised, the rest is not.

    The flow turns an example into a code z = [z_y, z_u]. The supervised z_y has a
    Gaussian given the label (for classes, one for each), z_u is N(0, I), and a linear
    predictor reads the label from z_y (InfoCNF section 2.2). The loss is ``bits/dim +
    beta * mean over the labels of -log q_theta in nats`` (Eq. 4, with the likelihood's
    sign corrected; for classes that is the cross-entropy); for examples without a
    label it is bits/dim of the marginal likelihood.

    Label values are ``[B]``, or ``[B, columns]`` for several labels, each with its own
    slice of z_y; in training, -1 is a class and NaN a number that is not known. Images
    are integer grey levels, or floats in [0, 1] which are taken as already dequantized.

    ```python
    model = tfcnf.InfoCNF((4,), labels=[tfcnf.Categorical(3), tfcnf.Real(1)])
    ```

    Args:
        event_shape: ``(H, W, C)`` of images or ``(D,)`` of vectors.
        labels: K classes, or for each label a number of classes or a
            `tfcnf.labels.base.Label`.
        supervised_fraction: part of the code that is supervised: 0 is the
            unconditional CNF, 1 is CCNF (C-FFJORD), 1/2 is the papers' InfoCNF.
        num_levels: grey levels of integer images; not used for vectors.
        columns: for vectors, a `tfcnf.data.columns.Column`, or its name, for each
            number: its units, bounds and whether it is an integer. Examples, samples
            and densities are in these units; see `tfcnf.flows.columns.Columns`.
        whitening: for vectors, ``mean`` and ``covariance`` of the numbers of unit size
            of the context and the columns, after which the flow has uncorrelated
            numbers and an uncorrelated context; see `tfcnf.flows.whitening.Whitening`.
            With an embedding, or without a context, it is of the columns alone.
        beta: weight of the cross-entropy against bits/dim.
        dropout: dropout on the predictor's input.
        costs: weights of running costs (`tfcnf.ode.cost`) by name, such as
            ``{"kinetic_energy": 0.01}``; 0 leaves one out. The loss gains weight times
            integral / D, the mean over the dimensions, summed over the CNFs; in
            training and in tests of Keras, not in `log_prob`. A flow of your own has
            CNF layers that take them along.
        seed: integer seed of initial weights and noise.
        reinforce: keywords of `tfcnf.tolerances.reinforce.Reinforce`, where the policy
            of the tolerances is learned.
        flow: a flow of your own from ``[B, *event_shape]`` to ``[B, D]``. If None,
            `tfcnf.models.build.build_flow` makes one from the remaining keywords
            (filters, hidden_layers, num_scales, flows_per_block, tol, policy, solver,
            gradient, trace, ...).
        context: shape of a condition of each example that the vector fields have, its
            number of dimensions, or a `tfcnf.data.columns.Column` for each of them,
            which brings it to unit size; the model is then p(x | y, context). Inputs
            are ``{"x": x, "context": context}``, and the public methods take
            ``context=``.
        embedding: a Keras model from ``[B, *context]`` to ``[B, E]``, trained with the
            flow; without it the condition enters as it is, flattened. A flow of your
            own needs dynamics with ``context_dims=E``.

    Raises:
        ValueError: for a keyword out of range.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        labels: int | Sequence[Any] = 10,
        *,
        supervised_fraction: float = 0.5,
        num_levels: int = 256,
        columns: Sequence[Any] | None = None,
        whitening: Mapping[str, Any] | None = None,
        beta: float = 0.5,
        dropout: float = 0.5,
        costs: Mapping[str, float] | None = None,
        seed: int | None = None,
        reinforce: Mapping[str, Any] | None = None,
        flow: FlowLayer | None = None,
        context: int | Sequence[Any] | None = None,
        embedding: keras.layers.Layer | None = None,
        name: str | None = None,
        dtype: Any = None,
        **flow_options: Any,
    ):
        super().__init__(name=name, dtype=dtype)
        seed = plain_integer(seed)
        self.event_shape = _positive_integers("event_shape", event_shape, (1, 3))
        self.num_dims = math.prod(self.event_shape)
        self.num_levels = num_levels if len(self.event_shape) == 3 else 1
        self.supervised_fraction, self.beta = supervised_fraction, beta
        self.dropout, self.seed, self.flow_options = dropout, seed, flow_options
        self.costs = check_weights(costs)
        self.given_flow = flow
        dtype = self.dtype_policy
        whitened = None
        if whitening and context is not None and embedding is None:
            width = len(whitening["mean"]) - self.num_dims
            whitened = whitened_context(whitening, width)
        self.condition = _make_condition(context, embedding, whitened, dtype)
        if self.condition:
            flow_options = {**flow_options, "context_dims": self.condition.width}
        self.flow = flow or build_flow(
            self.event_shape,
            num_levels,
            costs=tuple(self.costs),
            seed=seed,
            dtype=dtype,
            **flow_options,
        )
        self.columns = make_columns(columns or ())
        given = dict(whitening or {})
        self.whitening = {k: np.asarray(v).tolist() for k, v in given.items()} or None
        first = self._first_layers()
        if first:
            self.flow = Chain([*first, self.flow], dtype=dtype)
        if not self.flow.built:
            self.flow.build((None, *self.event_shape))
        self.labels = make_labels(labels, dtype) if supervised_fraction else []
        partition = Partition.from_fraction(
            self.num_dims, supervised_fraction, len(self.labels)
        )
        self.prior = CodePrior(partition, self.labels, seed, dtype=dtype)
        self.reader = CodeReader(
            partition, self.labels, dropout=dropout, seed=seed, dtype=dtype
        )
        self.is_supervised = bool(partition.supervised)
        self.reinforce_options = reinforce
        self._learn_tolerances(reinforce, seed)
        self._track_metrics()
        self.built = True

    def _first_layers(self) -> list[FlowLayer]:
        """The layers that bring the columns of a table to unit size."""
        dtype = self.dtype_policy
        layers: list[FlowLayer] = []
        if self.columns:
            layers.append(Columns(self.columns, self.seed, dtype=dtype))
        if self.whitening:
            width = 0
            if self.condition and not self.condition.embedding:
                width = self.condition.width
            layers.append(make_whitening(self.whitening, self.num_dims, width, dtype))
        return layers

    def call(
        self,
        x: Tensor | Mapping[str, Tensor],
        inverse: bool = False,
        control: Control | None = None,
        training: bool = False,
    ) -> FlowOutput:
        """Examples ``[B, *event_shape]`` to codes ``[B, D]``, or back.

        An example outside the support has a log-determinant of -inf, see `guarded`.

        Args:
            x: examples or codes; of a model with a context ``{"x": x, "context": c}``.
            inverse: whether x are codes.
            control: options of the solves; its context, where it has one, is used in
                place of ``x["context"]``.
            training: whether noise that is for training alone is there.
        """
        x, context = split_context(x)
        control = self.conditioned(
            control or Control(), context, tf.shape(x)[0], training
        )
        return guarded(self.flow, x, inverse, control=control, training=training)

    def terms(
        self, x: Any, y: Tensor, control: Control, training: bool
    ) -> tuple[dict[str, Tensor | Weighted], FlowOutput]:
        """Loss, bits/dim, the labels' loss (nats), costs and measures, each ``[B]``.

        Examples whose label is hidden have the marginal log-likelihood in place of the
        conditional one, and weight 0 in what is about the labels.
        """
        x, control = self._read_inputs(x, control, training)
        out = self(x, control=control, training=training)
        if self.is_supervised:
            y = read_labels(y, self.labels, self.compute_dtype, hidden=True)
        log_prob = self.log_density(out, y if self.is_supervised else None)
        bits = losses.bits_per_dim(log_prob, self.num_dims, self.num_levels)
        if not self.is_supervised:
            terms = {"loss": bits, "bits_per_dim": bits}
            return priced(terms, out, self.costs, self.num_dims), out
        codes = self.reader.codes(out.z, training)
        each = self.reader.losses(codes, y)
        label_loss = tf.add_n(each) / len(each)
        known = tf.stack(
            [
                tf.cast(~label.is_hidden(value), bits.dtype)
                for label, value in zip(
                    self.labels, split_values(self.labels, y), strict=True
                )
            ]
        )
        measures = self.reader.measures(codes, y)
        terms = {
            "loss": bits + self.beta * label_loss,
            "bits_per_dim": bits,
            self.reader.loss_name: Weighted(label_loss, tf.reduce_min(known, 0)),
        } | {name: Weighted(value, known[i]) for name, (i, value) in measures.items()}
        return priced(terms, out, self.costs, self.num_dims), out

    def predict_step(self, data: Any) -> FlowOutput:
        """Codes and log-determinants of a batch; the noise is that of seed 0."""
        x, *_ = self._unpack(data)
        x, control = self._read_inputs(x, self._control(None, 0))
        return self(x, control=control)

    def _read_inputs(
        self, x: Any, control: Control, training: bool = False
    ) -> tuple[Tensor, Control]:
        """Examples of a batch, checked, and the options with their context."""
        x, context = split_context(x)
        inside = self.flow.inside
        x = check_examples(x, self.event_shape, self.num_levels, inside)
        return x, self.conditioned(control, context, tf.shape(x)[0], training)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        flow = self.given_flow and keras.saving.serialize_keras_object(self.given_flow)
        context = self.condition.keywords() if self.condition else {}
        return {
            "event_shape": self.event_shape,
            "labels": [label.record() for label in self.labels],
            "supervised_fraction": self.supervised_fraction,
            "num_levels": self.num_levels,
            "columns": [column.record() for column in self.columns],
            "whitening": self.whitening,
            "beta": self.beta,
            "dropout": self.dropout,
            "costs": self.costs,
            "seed": self.seed,
            "reinforce": self.reinforce_options,
            "flow": flow,
            "name": self.name,
            "dtype": self.dtype_policy.name,
            **context,
        } | {key: plain(value) for key, value in self.flow_options.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> InfoCNF:
        """Rebuilds the model from `get_config`."""
        made = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects)
            for key in ("flow", "embedding")
            if config.get(key)
        }
        return cls(**(config | made))


def _make_condition(
    context: int | Sequence[Any] | None, embedding: Any, whitened: Any, dtype: Any
) -> Condition | None:
    sizes = isinstance(context, Sequence) and all(map(is_integer, context))
    if isinstance(context, Sequence) and not sizes:
        columns = make_columns(context)
        return Condition((len(columns),), embedding, columns, whitened, dtype=dtype)
    if context is not None:
        shape = _positive_integers("context", context)
        return Condition(shape, embedding, whitening=whitened, dtype=dtype)
    if embedding is not None:
        raise ValueError(
            "an embedding needs context, the shape of what it embeds. "
            "Received: context=None"
        )
    return None


def _positive_integers(
    name: str, values: Any, lengths: Sequence[int] = ()
) -> tuple[int, ...]:
    values = tuple(values) if isinstance(values, Iterable) else (values,)
    if not values or not all(is_integer(v) and v > 0 for v in values):
        raise ValueError(f"{name} must be positive integers. Received: {name}={values}")
    if lengths and len(values) not in lengths:
        raise ValueError(
            f"{name} must have {' or '.join(map(str, lengths))} entries. "
            f"Received: {name}={values}"
        )
    return tuple(map(int, values))
