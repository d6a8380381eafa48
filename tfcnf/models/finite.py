"""Checks in a graph that a training step is finite, made before the optimizer moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.types import Tensor

ADVICE = "try a smaller learning rate, or gradient clipping"


class DivergenceError(RuntimeError):
    """A training step whose loss or gradient is not finite.

    ```python
    def train(model, x):
        try:
            model.fit(x)
        except tfcnf.DivergenceError:
            model.optimizer.learning_rate = 0.1 * model.optimizer.learning_rate
    ```
    """


def require_finite_loss(loss: Tensor) -> Any:
    """Asserts that the losses ``[K]`` of a step's forward passes are finite."""
    message = f"DivergenceError: the loss is not finite; {ADVICE}. Received: loss={{}}"
    finite = tf.reduce_all(tf.math.is_finite(loss))
    return tf.debugging.Assert(finite, [tf.strings.format(message, loss[0])])


def require_finite_gradient(
    gradients: Sequence[Tensor], weights: Sequence[keras.Variable]
) -> Any:
    """Asserts that gradients are finite; names the first weight whose is not."""
    if not gradients:
        return tf.no_op()
    message = f"DivergenceError: the gradient is not finite; {ADVICE}. Received: "
    finite = tf.stack([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
    paths = tf.constant([weight.path for weight in weights])
    first = tf.gather(paths, tf.argmin(tf.cast(finite, tf.int32)))
    named = tf.strings.join([message, "gradient of ", first])
    return tf.debugging.Assert(tf.reduce_all(finite), [named])
