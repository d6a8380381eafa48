"""A large batch in fixed memory: computed in parts, one after the other.

The gradient of a step is the mean of its parts' gradients; the optimizer, the clipping
and the schedules see one step. Each part is solved by itself, so the evaluations of a
step are the mean of its parts' too, and may be compared with those of a batch in one.

A batch has one decision on its tolerances, accumulated or not. Its gates would have
to see the features of all parts before the first solve could go on; they see those of
the first part alone, whose mean estimates the mean over the batch. The tolerances of
the first part then serve the others, and REINFORCE gets the loss and the evaluations
of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcnf.models.base import FlowModel, Part
from tfcnf.models.finite import require_finite_loss
from tfcnf.tolerances.reinforce import Decision
from tfcnf.types import Tensor


def check_parts(batch_size: int, replicas: int, parts: int) -> None:
    """Raises a ValueError unless every replica can cut its share into equal parts."""
    if batch_size % (replicas * parts):
        raise ValueError(
            f"batch_size must be divisible by the {replicas} replicas times the "
            f"{parts} accumulation steps. Received: batch_size={batch_size}"
        )


def check_compiled(replicas: int, parts: int) -> None:
    """Raises a ValueError unless a step is one that XLA compiles."""
    if replicas > 1 or parts > 1:
        raise ValueError(
            "XLA compiles the step of one device on a batch in one part. Received: "
            f"jit_compile=True, {replicas} replicas, accumulation_steps={parts}"
        )


def make_step(
    model: FlowModel, strategy: tf.distribute.Strategy, parts: int = 1
) -> Callable[[Any], None]:
    """A training step: a function of a batch ``(x, y)`` for all replicas.

    Args:
        model: built and compiled under the strategy's scope.
        strategy: of the model.
        parts: into how many parts each replica cuts its share of a batch.

    Raises:
        ValueError: where XLA is to compile a step of several replicas or parts.
    """
    if model.jit_compile:
        check_compiled(strategy.num_replicas_in_sync, parts)
    with strategy.scope():
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    if parts == 1:
        train_step = _compiled(model) if model.jit_compile else model.train_step

        @tf.function(autograph=False)
        def whole(batch: Any) -> None:
            with model.even_batches():
                strategy.run(train_step, args=(batch,))

        return whole
    with strategy.scope():
        accumulator = Accumulator(model, parts)

    @tf.function(autograph=False)
    def add(batch: Any, index: Tensor, is_decided: bool) -> None:
        with model.even_batches():
            strategy.run(accumulator.add, args=(batch, index, is_decided))

    @tf.function(autograph=False)
    def apply() -> None:
        strategy.run(accumulator.apply)

    def step(batch: Any) -> None:
        accumulator.reset()
        for i in range(parts):
            add(batch, tf.constant(i), model.samples_tolerances and i > 0)
        apply()

    return step


def _compiled(model: FlowModel) -> Callable[[Any], None]:
    """The step in two compiled halves; the checks between them XLA would drop."""
    differentiate, apply = (
        tf.function(half, autograph=False, jit_compile=True)
        for half in (model.differentiate, model.apply)
    )

    def step(batch: Any) -> None:
        part, decision = differentiate(batch)
        finite = require_finite_loss(part.loss), model.require_finite(part.gradients)
        with tf.control_dependencies(finite):
            apply(part, decision)

    return step


class Accumulator:
    """Sums what the parts of a batch say; each replica has sums of its own.

    Args:
        model: a built and compiled model.
        parts: number of parts of a batch.
    """

    def __init__(self, model: FlowModel, parts: int):
        self.model, self.parts = model, parts
        passes, solves, dtype = (
            model.num_passes,
            model.flow.num_solves,
            model.compute_dtype,
        )

        def zeros(*shape: int) -> tf.Variable:
            return tf.Variable(
                tf.zeros(shape, dtype),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )

        self.sum = Part(
            [zeros(*weight.shape) for weight in model.flow_weights],
            zeros(passes),
            zeros(passes, solves),
            zeros(solves),
        )
        self.decision = Decision(
            zeros(passes, solves),
            zeros(passes, solves),
            [[zeros(*w.shape) for w in model.gate_weights] for _ in range(passes)],
        )

    def reset(self) -> None:
        """Forgets a batch; outside of the replicas."""
        for total in tf.nest.flatten(self.sum):
            total.assign(tf.zeros(total.shape, total.dtype))

    def add(self, batch: Any, index: Tensor, is_decided: bool) -> None:
        """Takes in a part of a replica's batch; the first decides on the tolerances."""

        def cut(x: Tensor) -> Tensor:
            size = tf.shape(x)[0] // self.parts
            return x[index * size : (index + 1) * size]

        drawn = tf.convert_to_tensor(self.decision.tolerance) if is_decided else None
        data = tf.nest.map_structure(cut, batch)
        total = self.model.total_of(batch)
        total = None if total is None else total / self.parts
        part, decision = self.model.differentiate(data, drawn, total)
        for total, value in _pairs(self.sum, part):
            total.assign_add(value / self.parts)
        if not is_decided:
            for kept, value in _pairs(self.decision, decision):
                kept.assign(value)

    def apply(self) -> None:
        """The step on the whole batch."""
        part, decision = tf.nest.map_structure(
            tf.convert_to_tensor, (self.sum, self.decision)
        )
        self.model.apply(part, decision)


def _pairs(variables: Any, values: Any) -> zip[tuple[tf.Variable, Tensor]]:
    flat = tf.nest.flatten(variables), tf.nest.flatten(values)
    return zip(*flat, strict=True)
