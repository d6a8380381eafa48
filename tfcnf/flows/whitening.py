"""The linear step after which the columns of a table are uncorrelated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.flows.base import FlowLayer, unsolved
from tfcnf.types import Control, FlowOutput, Tensor

RIDGE = 1e-8  # added to variances of numbers of unit size, beyond what float32 holds


@keras.saving.register_keras_serializable("tfcnf")
class Whitening(FlowLayer):
    """y = L^-1 (x - m - A (c - m_c)), with the least squares A of x on a context c.

    L is the Cholesky factor of the covariance of what A leaves unexplained. A flow
    behind it starts from the linear Gaussian model of x given c.

    ```python
    layer = tfcnf.Whitening([0.0, 1.0], [[1.0, 0.9], [0.9, 1.0]])
    out = layer(tf.constant([[0.5, 1.5]]))
    ```

    Args:
        mean: of the context's and then the columns' numbers, ``[E + D]``.
        covariance: of the same, ``[E + D, E + D]``.
        context_dims: E; 0 for columns alone.

    Raises:
        ValueError: for moments of other shapes, or that are those of no numbers.
    """

    def __init__(
        self,
        mean: Sequence[float],
        covariance: Sequence[Sequence[float]],
        context_dims: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.context_dims = count = context_dims
        means, joint = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
        self.moments = {"mean": means.tolist(), "covariance": joint.tolist()}
        self.num_dims = means.size - count
        if self.num_dims < 1 or joint.shape != (means.size, means.size):
            raise ValueError(
                "mean and covariance must be of the context's and the columns' "
                f"numbers. Received: shapes {means.shape} and {joint.shape}, "
                f"context_dims={count}"
            )
        within, across = joint[:count, :count], joint[:count, count:]
        self.weights_of_context = np.linalg.pinv(within, hermitian=True) @ across
        left = joint[count:, count:] - across.T @ self.weights_of_context
        try:
            self.root = np.linalg.cholesky(left + RIDGE * np.eye(len(left)))
        except np.linalg.LinAlgError:
            raise ValueError(
                "covariance must be symmetric and positive definite. "
                f"Received: eigenvalues {np.linalg.eigvalsh(joint)}"
            ) from None
        self.shift = means[count:] - means[:count] @ self.weights_of_context
        self.log_slope = -float(np.log(np.diag(self.root)).sum())

    def compute_output_shape(self, shape: Any) -> Any:
        """The shape is unchanged."""
        return shape

    def call(
        self, x: Tensor, inverse: bool = False, control: Control | None = None
    ) -> FlowOutput:
        """``[B, D]`` numbers to uncorrelated ones, or back."""
        x = tf.cast(x, self.compute_dtype)
        middle = self._middle(control or Control())
        size = tf.shape(x)[:1]
        if inverse:
            y = tf.matmul(x, self.root.T.astype(x.dtype.as_numpy_dtype)) + middle
            return unsolved(y, tf.fill(size, tf.cast(-self.log_slope, x.dtype)))
        back = np.linalg.inv(self.root).T.astype(x.dtype.as_numpy_dtype)
        y = tf.matmul(x - middle, back)
        return unsolved(y, tf.fill(size, tf.cast(self.log_slope, x.dtype)))

    def _middle(self, control: Control) -> Tensor:
        """The linear prediction of x, ``[1, D]`` or ``[B, D]``."""
        shift = tf.constant(self.shift[None], self.compute_dtype)
        if not self.context_dims:
            return shift
        weights = tf.constant(self.weights_of_context, self.compute_dtype)
        return shift + tf.matmul(tf.cast(control.context, shift.dtype), weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        context = {"context_dims": self.context_dims}
        return super().get_config() | self.moments | context


def whitened_context(
    moments: Mapping[str, Any], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``[E]`` and matrix ``[E, E]`` of c' = (c - mean) matrix, uncorrelated.

    The matrix is the symmetric inverse root of the covariance; what is constant, as the
    sum of one-hot vectors is, becomes 0.

    Args:
        moments: ``mean`` and ``covariance``, see `Whitening`.
        count: numbers of the context, E.
    """
    covariance = np.asarray(moments["covariance"], np.float64)[:count, :count]
    sizes, axes = np.linalg.eigh(covariance)
    varies = sizes > RIDGE
    scale = np.where(varies, 1.0, 0.0) / np.sqrt(np.where(varies, sizes, 1.0))
    return np.asarray(moments["mean"], np.float64)[:count], axes * scale @ axes.T


def make_whitening(
    moments: Mapping[str, Any], num_dims: int, context_dims: int, dtype: Any
) -> Whitening:
    """The step for columns, given a whitened context if the moments are of that too.

    Args:
        moments: ``mean`` and ``covariance``, see `Whitening`.
        num_dims: columns, D.
        context_dims: numbers of the context that the flow is given, E; 0 where it is
            not what the moments are of, so that only those of the columns are used.
        dtype: of the layer.
    """
    means, joint = (np.array(moments[key]) for key in ("mean", "covariance"))
    if not context_dims:
        return Whitening(means[-num_dims:], joint[-num_dims:, -num_dims:], dtype=dtype)
    change = np.eye(means.size)
    _, change[:context_dims, :context_dims] = whitened_context(moments, context_dims)
    means[:context_dims] = 0.0
    return Whitening(means, change @ joint @ change, context_dims, dtype=dtype)
