"""A flow model as a distribution and a bijector of TensorFlow Probability."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal.parameter_properties import (
    BatchedComponentProperties,
)

from tfcnf.flows.base import guarded
from tfcnf.models.condition import Condition
from tfcnf.models.failures import NamesFailures
from tfcnf.models.inputs import check_real
from tfcnf.types import Control, FlowOutput, On, Tensor


class FlowBijector(NamesFailures, tfp.bijectors.Bijector):
    """Codes ``[..., D]`` to examples ``[..., *event_shape]``.

    `forward` decodes and `inverse` encodes. Examples are points of the continuous
    space: images are floats, black 0 and white 1, not grey levels. What lies outside
    the support (`tfcnf.flows.dequantize.Dequantize`) has the code NaN and the
    log-determinant -inf, and changes nothing for the others of its batch. A failed
    solve is a `SolverError`.

    The bijector of a model with a context takes it as TFP's take conditions:
    ``bijector.forward(z, context=c)``, and in `tfd.TransformedDistribution`
    ``log_prob(x, bijector_kwargs={"context": c})``. It has the batch shape of the codes
    or examples, or one that broadcasts to it.

    Args:
        flow: a built flow from examples to codes, `InfoCNF.flow`.
        event_shape: shape of an example.
        control: tolerance, seed and kind of trace of all its passes.
        name: of the bijector.
        condition: makes the context of the vector fields; None for a flow without.
        context: context where none is given.
    """

    named = (
        *("forward", "inverse"),
        *("forward_log_det_jacobian", "inverse_log_det_jacobian"),
    )

    def __init__(
        self,
        flow: Any,
        event_shape: tuple[int, ...],
        control: Control,
        name: str = "flow",
        *,
        condition: Condition | None = None,
        context: Tensor = None,
    ):
        parameters = dict(locals())
        self.condition, self.context = condition, context
        self.code_shape, self.example_shape = [math.prod(event_shape)], event_shape
        self.pass_through = lambda x, inverse, control: guarded(
            flow, x, inverse, control=control
        )
        self.control = control
        # tracked, so that those of the bijector and its distributions are these
        self.flow_variables = [weight.value for weight in flow.trainable_weights]
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=len(event_shape),
            dtype=tf.as_dtype(flow.compute_dtype),
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict:
        return {}

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return shape[:-1].concatenate(list(self.example_shape))

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return shape[: -len(self.example_shape)].concatenate(self.code_shape)

    def _forward_event_shape_tensor(self, shape: Tensor) -> Tensor:
        return tf.concat([shape[:-1], self.example_shape], 0)

    def _inverse_event_shape_tensor(self, shape: Tensor) -> Tensor:
        return tf.concat([shape[: -len(self.example_shape)], self.code_shape], 0)

    def _forward(self, z: Tensor, context: Any = None) -> Tensor:
        return self.solve(z, True, skip_log_det=On(), context=context).z

    def _inverse(self, x: Tensor, context: Any = None) -> Tensor:
        return self.solve(x, False, skip_log_det=On(), context=context).code

    def _forward_log_det_jacobian(self, z: Tensor, context: Any = None) -> Tensor:
        return self.solve(z, True, context=context).log_det

    def _inverse_log_det_jacobian(self, x: Tensor, context: Any = None) -> Tensor:
        return self.solve(x, False, context=context).log_det

    def solve(
        self,
        x: Tensor,
        inverse: bool,
        *,
        skip_log_det: On | None = None,
        context: Any = None,
    ) -> FlowOutput:
        """One pass; ``inverse`` decodes. ``z`` and ``log_det`` have x's batch shape.

        Args:
            x: codes, or examples, with any batch shape.
            inverse: whether x are codes.
            skip_log_det: see `tfcnf.types.Control`.
            context: of a model with one, see above.

        Raises:
            ValueError: for another event shape, or for what is not of floats, or a
                context that does not fit.
        """
        given, result = self.code_shape, list(self.example_shape)
        if not inverse:
            given, result = result, given
        check_real("codes" if inverse else "examples", x, given)
        x = tf.cast(x, self.dtype)
        batch = tf.shape(x)[: -len(given)]
        control = self.control._replace(skip_log_det=skip_log_det)
        context = self.context if context is None else context
        if self.condition is not None:
            context = self.condition.rows(context, x.shape[: -len(given)], batch)
            context = self.condition.read(context, tf.reduce_prod(batch))
            control = control._replace(context=context)
        elif context is not None:
            raise ValueError(
                f"this model has no context. Received: context={context!s:.100}"
            )
        out = self.pass_through(tf.reshape(x, [-1, *given]), inverse, control)
        static = x.shape[: -len(given)]
        z = tf.reshape(out.z, tf.concat([batch, result], 0))
        log_det = tf.reshape(out.log_det, batch)
        return out._replace(
            z=tf.ensure_shape(z, static.concatenate(result)),
            log_det=tf.ensure_shape(log_det, static),
        )


class FlowDistribution(NamesFailures, tfp.distributions.Distribution):
    """p(x | y), or p(x), of a flow model: a distribution of the code, transformed.

    Its space is continuous: densities are those of dequantized images, in nats, and
    samples are floats, black 0 and white 1. Outside the support, which reaches a little
    beyond (`tfcnf.flows.dequantize.Dequantize`), a log-density is -inf, and NaN is that
    of NaN. For grey levels add noise and divide first, as that layer does.

    A context is given as to `tfd.TransformedDistribution`:
    ``log_prob(x, bijector_kwargs={"context": c})``, and so to ``sample``.

    Unlike `tfd.TransformedDistribution` it takes one ODE solve, not two, for a
    log-probability, and one for samples with theirs.

    Args:
        distribution: of the code, event ``[D]``.
        bijector: from codes to examples.
        name: of the distribution.
    """

    named = ("log_prob", "prob", "sample", "experimental_sample_and_log_prob")

    def __init__(
        self,
        distribution: tfp.distributions.Distribution,
        bijector: FlowBijector,
        name: str = "FlowDistribution",
    ):
        parameters = dict(locals())
        self.distribution, self.bijector = distribution, bijector
        super().__init__(
            dtype=bijector.dtype,
            reparameterization_type=distribution.reparameterization_type,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> Any:
        return {"distribution": BatchedComponentProperties()}

    def _event_shape(self) -> tf.TensorShape:
        return self.bijector.forward_event_shape(self.distribution.event_shape)

    def _event_shape_tensor(self) -> Tensor:
        shape = self.distribution.event_shape_tensor()
        return self.bijector.forward_event_shape_tensor(shape)

    def _call_log_prob(self, value: Any, name: str, **options: Any) -> Tensor:
        """As in TFP, which would turn an array of grey levels into floats first."""
        value = _tensor(value, self.dtype)
        if value.dtype.is_integer and len(self.bijector.example_shape) == 1:
            value = tf.cast(value, self.dtype)
        check_real("examples", value, self.bijector.example_shape)
        return super()._call_log_prob(tf.cast(value, self.dtype), name, **options)

    def _call_sample_n(
        self, sample_shape: Any, seed: Any, bijector_kwargs: Any = None
    ) -> Tensor:
        """As in TFP, which would make one axis of all samples first."""
        z = self.distribution.sample(sample_shape, seed=seed)
        return self.bijector.forward(z, **(bijector_kwargs or {}))

    def _sample_and_log_prob(
        self, sample_shape: Any, seed: Any, bijector_kwargs: Any = None
    ) -> Any:
        z = self.distribution.sample(sample_shape, seed=seed)
        out = self.bijector.solve(z, True, **(bijector_kwargs or {}))
        return out.z, self.distribution.log_prob(z) - out.log_det

    def _log_prob(self, x: Tensor, bijector_kwargs: Any = None) -> Tensor:
        out = self.bijector.solve(x, False, **(bijector_kwargs or {}))
        return self.distribution.log_prob(out.z) + out.log_det


def _tensor(value: Any, dtype: tf.DType) -> Tensor:
    """A tensor, and of numbers without a dtype one of this dtype."""
    typed = hasattr(value, "dtype")
    return tf.convert_to_tensor(value, dtype_hint=None if typed else dtype)
