"""Passes of a request's examples through a model, by the steps that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.models.batches import in_groups
from tfcnf.models.infocnf import InfoCNF
from tfcnf.serving import inputs
from tfcnf.serving.bounds import Bounds
from tfcnf.types import Control, FlowOutput, On, Tensor

Answer = dict[str, Tensor]


class RequestPasses:
    """A model that is asked within bounds.

    Args:
        model: the model.
        bounds: what a request may ask for.
        steps: of `tfcnf.models.passes.STEPS`, what a request may choose from; the first
            is the default.
    """

    def __init__(self, model: InfoCNF, bounds: Bounds, steps: Sequence[str]):
        self.model, self.bounds, self.steps = model, bounds, tuple(steps)

    def _solved(
        self,
        function: Callable[..., Answer],
        *parts: Tensor,
        steps: Tensor,
        tol: Tensor,
        context: Tensor = None,
        passes: int = 1,
    ) -> Answer:
        """The answer of ``function(control, *parts)`` by the steps that are asked for.

        Args:
            function: of the options of a pass, without noise, and the examples.
            parts: what is known of the examples, checked; rows of one number.
            steps: as a request has them.
            tol: as a request has it.
            context: as a request has it.
            passes: passes of all examples that the answer takes.
        """
        each = self._each(inputs.read_steps(steps, self.steps))
        tol = inputs.read_tolerance(tol, self.bounds)
        control = Control(
            tol=tf.cast(tol, self.model.compute_dtype),
            seed=tf.constant([0, 0]),
            skip_log_det=On(),
            share_noise=On(),
            each=each,
            work=tf.constant(self.bounds.max_work // passes),
        )
        condition = self.model.condition
        if condition is not None:
            count = tf.shape(parts[0])[0]
            parts = (inputs.read_context(context, condition.shape, count), *parts)

        def answer(_: None, *parts: Tensor) -> Answer:
            if condition is None:
                return function(control, *parts)
            rows, *rest = parts
            some = tf.maximum(tf.shape(rows)[0], 1)
            rows = condition.read(_at_least_one(rows), some)
            return function(control._replace(context=rows), *rest)

        if each is None:
            return answer(None, *parts)
        switch = each if tf.is_tensor(each) else True
        answers: Answer = in_groups(answer, switch)(None, *parts)
        return answers

    def _each(self, steps: Tensor) -> Any:
        """`Control.each` of a request."""
        if self.steps == ("each",):
            return On()
        return tf.equal(steps, "each") if "each" in self.steps else None

    def _pass(self, x: Tensor, **options: Any) -> FlowOutput:
        """The model's output; what has no examples is solved with one of zeros.

        Convolutions of oneDNN give empty batches a wrong shape on some processors.
        """
        count = tf.shape(x)[0]
        out = self.model(_at_least_one(x), **options)
        return out._replace(z=out.z[:count], log_det=out.log_det[:count])


def _at_least_one(x: Tensor) -> Tensor:
    """The batch, or one example of zeros where there is none."""
    extra = tf.where(tf.shape(x)[0] > 0, 0, 1)
    return tf.pad(x, [[0, extra], *([[0, 0]] * (len(x.shape) - 1))])
