"""Squared Frobenius norm of a field's Jacobian along its solutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

from tfcnf.ode.cost import Cost, Evaluation
from tfcnf.types import Tensor


@dataclass(frozen=True)
class JacobianNorm(Cost, key="jacobian_norm"):
    """Integral of |df/dz|_F^2 dt, in inverse units of time.

    Finlay et al. 2020 (arXiv 2002.02798, Eq. 11): |J|_F^2 is the mean of |J e|^2 over
    the directions e of Hutchinson's trace estimate, which has J e at hand; with the
    exact trace it is exact.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), costs=["jacobian_norm"])
    norm = layer(tf.ones([4, 2])).costs["jacobian_norm"]
    ```
    """

    needs_columns: ClassVar[bool] = True

    def integrand(self, at: Evaluation) -> Tensor:
        """|df/dz|_F^2, or its estimate."""
        axes = [0, *range(2, len(at.tangents.shape))]
        return at.weight * tf.reduce_sum(tf.square(at.tangents), axes)
