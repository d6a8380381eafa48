"""Passes of examples through a flow model, checked and in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.checks import check_choice, plain_integer
from tfcnf.latent.prior import CodePrior
from tfcnf.models.base import FlowModel
from tfcnf.models.batches import in_batches, in_groups
from tfcnf.models.condition import Condition
from tfcnf.models.inputs import check_codes, check_examples
from tfcnf.models.label_inputs import read_labels
from tfcnf.precision import check_noise
from tfcnf.tolerances.policy import check_tolerance
from tfcnf.types import Control, FlowOutput, On, Tensor

STEPS = ("shared", "each")


class Passes(FlowModel):
    """A flow model with a prior of its code and labels read from it.

    Attributes:
        event_shape: shape of an example.
        labels: their kinds; none at supervised_fraction 0.
        num_dims: dimensions D of an example.
        num_levels: grey levels of images; 1 for vectors.
        supervised_fraction: part of the code that is supervised.
        condition: makes the context of the vector fields, or None.
        prior: of the code, given the labels.
        reader: of the labels, from the supervised code.
    """

    event_shape: tuple[int, ...]
    num_dims: int
    num_levels: int
    supervised_fraction: float
    condition: Condition | None
    prior: CodePrior

    def log_density(self, out: FlowOutput, y: Tensor = None) -> Tensor:
        """log p(x | y), or log p(x) without y, of a pass through the flow.

        The one place where prior and log-determinant meet: training, evaluation,
        diagnostics and the export call it.

        Args:
            out: of the flow, from examples to codes.
            y: label values ``[B, columns]``, checked; None marginalises them.

        Returns:
            ``[B]`` nats.
        """
        if y is None:
            return self.prior.marginal_log_prob(out.z) + out.log_det
        return self.prior.log_prob(out.z, y) + out.log_det

    def _read_labels(self, y: Any) -> Tensor:
        if not self.labels:
            return tf.convert_to_tensor(y)
        return read_labels(y, self.labels, self.compute_dtype)

    def _encode(
        self,
        x: Any,
        control: Control,
        skip_log_det: On | None = None,
        context: Any = None,
    ) -> FlowOutput:
        x = check_examples(x, self.event_shape, self.num_levels)
        control = control._replace(skip_log_det=skip_log_det)
        return self(x, control=self.conditioned(control, context, tf.shape(x)[0]))

    def _decode(self, z: Any, control: Control, context: Any = None) -> Tensor:
        z = tf.cast(check_codes(z, self.num_dims), self.compute_dtype)
        control = control._replace(skip_log_det=On())
        control = self.conditioned(control, context, tf.shape(z)[0])
        return self(z, inverse=True, control=control).z

    def conditioned(
        self, control: Control, context: Any, count: Tensor, training: bool = False
    ) -> Control:
        """The options of a pass of ``count`` examples, with their context.

        Args:
            control: the other options; where it has a context and none is given, that
                one is kept.
            context: condition of the examples, see `log_prob`.
            count: static, or a scalar tensor.
            training: whether the embedding is trained.

        Raises:
            ValueError: for a context that is missing, not asked for, or of another
                shape.
        """
        if context is None and control.context is not None:
            return control
        if self.condition is not None:
            context = self.condition.read(context, count, training)
            return control._replace(context=context)
        if context is not None:
            raise ValueError(
                "this model has no context; make it with context=, the numbers of one "
                f"example's. Received: context of shape {np.shape(context)}"
            )
        return control

    def _in_batches(
        self,
        function: Callable[..., Sequence[Tensor]],
        inputs: Sequence[Any],
        context: Any,
        batch_size: int | None,
        outputs: Sequence[tf.TensorSpec],
        steps: str,
    ) -> list[Tensor]:
        """`in_batches` of ``function(rows, context, *parts)``."""
        check_choice("steps", steps, STEPS)
        grouped = in_groups if steps == "each" else lambda function: function
        if context is None or self.condition is None:
            shared = True
        else:
            context = context if hasattr(context, "shape") else np.asarray(context)
            shared = self.condition.is_shared(context)
        if shared:
            return in_batches(
                grouped(lambda rows, *parts: function(rows, context, *parts)),
                inputs,
                batch_size,
                outputs,
            )
        inputs = [context, *inputs]
        return in_batches(grouped(function), inputs, batch_size, outputs)

    def _spec(self, *shape: int) -> tf.TensorSpec:
        """An answer for each example."""
        return tf.TensorSpec([None, *shape], self.compute_dtype)

    def _control(
        self,
        tol: float | None,
        seed: int,
        exact: bool = False,
        rows: Tensor = None,
        steps: str = "shared",
    ) -> Control:
        if tol is not None and not tf.is_tensor(tol):
            tol = check_tolerance("tol", tol)
            check_noise(self.dtype_policy, tol)
        if tol is not None:
            tol = tf.cast(tol, self.compute_dtype)
        switch = On() if exact else None
        each = On() if steps == "each" else None
        return Control(
            tol=tol,
            seed=tf.constant([plain_integer(seed), 0]),
            exact=switch,
            share_noise=each,
            rows=None if each is not None else rows,
            each=each,
            skip_costs=On(),
        )
