"""The condition of a model: its check, and its way to the vector fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.checks import unframed
from tfcnf.data.columns import Column
from tfcnf.models.condition_columns import ConditionColumns
from tfcnf.models.inputs import require
from tfcnf.precision import FullPrecision
from tfcnf.types import Tensor


class Condition(FullPrecision):
    """From a user's condition to the context of the vector fields, ``[B, E]``.

    Args:
        shape: of the condition of one example.
        embedding: a Keras model or layer from ``[B, *shape]`` to ``[B, E]``, trained
            with the flow; None takes the numbers themselves.
        columns: columns that the condition consists of, in their own units; the
            embedding gets numbers of unit size and one-hot vectors.
        whitening: mean and matrix that bring these numbers to uncorrelated ones, where
            there is no embedding; see `tfcnf.flows.whitening.whitened_context`.

    Attributes:
        width: numbers of the context, E.

    Raises:
        ValueError: for an embedding that is no Keras layer, does not take conditions of
            this shape or does not give vectors.
    """

    def __init__(
        self,
        shape: Sequence[int],
        embedding: Any = None,
        columns: Sequence[Column] = (),
        whitening: tuple[Any, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = (
            ConditionColumns(columns, dtype=self.dtype_policy) if columns else None
        )
        self.shape, self.embedding = tuple(shape), embedding
        self.whitening = whitening
        if not isinstance(embedding, keras.layers.Layer | None):
            raise ValueError(
                "embedding must be a Keras model or layer. "
                f"Received: embedding={embedding!r}"
            )
        self.width = self._embedded_width()
        self.built = True

    def _embedded_width(self) -> int:
        """E; builds the embedding."""
        condition = keras.KerasTensor((None, *self.shape), self.compute_dtype)
        shown = ", ".join(map(str, self.shape))
        try:
            context = self.call(condition)
        except (ValueError, TypeError) as failure:
            raise ValueError(
                f"embedding must take conditions of shape [batch, {shown}]. "
                f"Received: {' '.join(unframed(str(failure)).split())}"
            ) from failure
        shape: Any = getattr(context, "shape", ())
        if len(shape) != 2 or not shape[1]:
            raise ValueError(
                f"embedding must turn conditions [batch, {shown}] into vectors of a "
                f"known width, [batch, width]. Received: shape={shape}"
            )
        return int(shape[1])

    def call(self, condition: Tensor) -> Tensor:
        """``[B, *shape]`` to ``[B, E]``."""
        if self.units is not None:
            condition = self.units(condition)
        if self.embedding is not None:
            return self.embedding(condition)
        condition = keras.ops.reshape(condition, [-1, self._flat_width()])
        if self.whitening is None:
            return condition
        mean, matrix = (np.asarray(a, self.compute_dtype) for a in self.whitening)
        return keras.ops.matmul(condition - mean, matrix)

    def _flat_width(self) -> int:
        """Numbers of a condition before the embedding."""
        if self.units is None:
            return math.prod(self.shape)
        return sum(column.width for column in self.units.columns)

    def read(self, condition: Any, count: Tensor, training: bool = False) -> Tensor:
        """The context of a batch of ``count`` examples, ``[count, E]``.

        Args:
            condition: ``[count, *shape]``, or of all alike, ``[*shape]`` or
                ``[1, *shape]``.
            count: static, or a scalar tensor.
            training: whether the embedding is trained.

        Raises:
            ValueError: for a wrong shape or dtype, and, in eager mode, for values that
                are not finite or another number of them (an InvalidArgumentError in a
                graph).
        """
        condition = self.check(condition)
        single = condition.shape.rank == len(self.shape)
        rows = tf.constant(1) if single else tf.shape(condition)[0]
        rows = require(
            tf.equal(rows, count) | tf.equal(rows, 1),
            "there must be a context for each example, or one for all. "
            "Received: rows of context=",
            rows,
        )
        context = self(tf.reshape(condition, [rows, *self.shape]), training=training)
        context = tf.cast(context, self.compute_dtype)
        return tf.broadcast_to(context, [count, self.width])

    def rows(self, condition: Any, static: tf.TensorShape, batch: Tensor) -> Any:
        """Conditions for `read` of those with a batch shape of their own.

        Args:
            condition: ``[..., *shape]``, of a batch shape that broadcasts to ``batch``.
            static: of the examples' batch, as far as it is known.
            batch: the same as a tensor.

        Raises:
            ValueError: for a batch shape that does not broadcast.
        """
        if condition is None:
            return None
        condition = tf.convert_to_tensor(condition)
        outer = condition.shape[: max(condition.shape.rank - len(self.shape), 0)]
        if outer.num_elements() == 1:
            return tf.reshape(condition, condition.shape[len(outer) :])
        try:
            fits = tf.broadcast_static_shape(outer, static).is_compatible_with(static)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                "there must be a context for each example, or one for all. Received: "
                f"context.shape={condition.shape} for a batch of shape {static}"
            )
        event = condition.shape[len(outer) :]
        wide = tf.broadcast_to(condition, tf.concat([batch, event], 0))
        return tf.reshape(wide, [-1, *event])

    def check(self, condition: Any) -> Tensor:
        """The condition as a tensor of finite floats; see `read`."""
        shown = ", ".join(map(str, self.shape))
        if condition is None:
            raise ValueError(
                f"this model has a context: give context=, [batch, {shown}], in "
                '`fit` {"x": x, "context": context}. Received: context=None'
            )
        condition = tf.convert_to_tensor(condition)
        shape, rank = condition.shape, len(self.shape)
        if shape.rank not in (rank, rank + 1) or not shape[-rank:].is_compatible_with(
            self.shape
        ):
            raise ValueError(
                f"context must have shape [batch, {shown}], or [{shown}] for all "
                f"examples. Received: context.shape={shape}"
            )
        if not (condition.dtype.is_integer or condition.dtype.is_floating):
            raise ValueError(
                "context must be numbers. "
                f"Received: context.dtype={condition.dtype.name}"
            )
        condition = tf.cast(condition, self.compute_dtype)
        finite = tf.reduce_all(tf.math.is_finite(condition))
        condition = require(
            finite, "context must be finite. Received: context=", condition
        )
        if self.units is None:
            return condition
        rows = tf.reshape(condition, [-1, *self.shape])
        return require(
            self.units.inside(rows),
            "context must lie within the bounds and categories of its columns. "
            "Received: context=",
            condition,
        )

    def keywords(self) -> dict[str, Any]:
        """The model's keywords that this was made of, as in its configuration."""
        embedding = self.embedding
        if embedding is not None:
            embedding = keras.saving.serialize_keras_object(embedding)
        context: Any = self.shape
        if self.units is not None:
            context = [column.record() for column in self.units.columns]
        return {"context": context, "embedding": embedding}

    def is_shared(self, condition: Any) -> bool:
        """True for one condition of all examples, without or with a batch of one."""
        shape = condition.shape
        return len(shape) == len(self.shape) or shape[0] == 1
