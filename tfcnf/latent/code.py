"""Distributions of the code whose samples do not depend on the compiler.

TFP draws by algorithms that TensorFlow chooses by device; these draw as
`tfcnf.seeds` does. An integer seed fixes the samples; without one they are fresh.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.checks import is_integer
from tfcnf.seeds import fold_in, normal
from tfcnf.types import Tensor


class CodeGaussian(tfp.distributions.MultivariateNormalDiag):
    """p(z | y): independent normal dimensions."""

    def _call_sample_n(self, sample_shape: Any, seed: Any, **_: Any) -> Tensor:
        parts = (sample_shape, self.batch_shape_tensor(), self.event_shape_tensor())
        # () would become a tensor of floats
        shape = tf.concat([tf.reshape(tf.cast(n, tf.int32), [-1]) for n in parts], 0)
        z = self.loc + self.scale.diag * normal(shape, _seed(seed), self.dtype)
        return self._set_sample_static_shape(z, parts[0])


class CodeMarginal(tfp.distributions.Distribution):
    """p(z), labels marginalised: batch ``[]``, event ``[D]``.

    Args:
        dims: D.
        draw_labels: values ``[n, columns]`` of n and a seed.
        log_density: of codes ``[..., D]``.
        place: codes of standard normal noise ``[n, D]`` and such values.
        dtype: of the codes.
        name: of the distribution.
    """

    def __init__(
        self,
        dims: int,
        draw_labels: Callable[[Tensor, Tensor], Tensor],
        *,
        log_density: Callable[[Tensor], Tensor],
        place: Callable[[Tensor, Tensor], Tensor],
        dtype: Any,
        name: str = "CodeMarginal",
    ):
        parameters = dict(locals())
        self.dims, self.draw_labels = dims, draw_labels
        self.log_density, self.place = log_density, place
        super().__init__(
            dtype=tf.as_dtype(dtype),
            reparameterization_type=tfp.distributions.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict:
        return {}

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([self.dims])

    def _event_shape_tensor(self) -> Tensor:
        return tf.constant([self.dims])

    def _log_prob(self, z: Tensor) -> Tensor:
        return self.log_density(z)

    def _sample_n(self, n: Tensor, seed: Any = None) -> Tensor:
        own = _seed(seed)
        labels = self.draw_labels(n, fold_in(own, 1))
        return self.place(normal([n, self.dims], own, self.dtype), labels)


def _seed(seed: Any) -> Tensor:
    """A stateless seed ``[2]`` of what TFP's samplers are given."""
    if is_integer(seed):
        return tf.constant([int(seed), 1])
    return tfp.random.sanitize_seed(seed)
