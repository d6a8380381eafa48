"""Checks of the labels that are handed to a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfcnf.labels.base import Label
from tfcnf.models.inputs import in_columns, require
from tfcnf.types import Tensor


def read_labels(
    y: Any, labels: Sequence[Label], dtype: Any, hidden: bool = False
) -> Tensor:
    """Values of all labels, ``[B, columns]``.

    Args:
        y: ``[B, columns]``, the values of one label beside those of the next, or
            ``[B]`` for a single column.
        labels: their kinds.
        dtype: of the result; int32 where all values are whole numbers.
        hidden: accept hidden values, where a label has a marginal.

    Raises:
        ValueError: for a wrong shape or dtype, and, in eager mode, for values that a
            label does not take (an InvalidArgumentError in a graph).
    """
    columns = sum(label.columns for label in labels)
    whole = all(label.integer for label in labels)
    if y is None:
        raise ValueError(
            f"this model learns from labels: give y, {columns} for each example"
            + ", in training -1 where a class is not known" * (whole and hidden)
            + ". Received: y=None"
        )
    y = tf.convert_to_tensor(y)
    if y.shape.rank is None:
        y = in_columns("y", y, columns)
    if y.shape.as_list() == [0]:  # of no example: a list of nothing has no dtype
        y = tf.zeros([0, columns], tf.int32 if whole else dtype)
    if whole and not y.dtype.is_integer:
        raise ValueError(f"labels must be integers. Received: y.dtype={y.dtype.name}")
    if not (y.dtype.is_integer or y.dtype.is_floating):
        raise ValueError(f"labels must be numbers. Received: y.dtype={y.dtype.name}")
    if y.shape.rank == 1 and columns == 1:
        y = y[:, None]
    if y.shape.rank != 2 or y.shape[1] != columns:
        raise ValueError(
            f"labels must have shape [batch, {columns}]. Received: y.shape={y.shape}"
        )
    parts = tf.split(y, [label.columns for label in labels], 1)
    checked = []
    for i, (label, part) in enumerate(zip(labels, parts, strict=True)):
        exact = label.integer and part.dtype.is_integer
        part = part if exact else tf.cast(part, dtype)
        valid, values = label.check(part, hidden)
        name = f"label {label.title or i}" if len(labels) > 1 else "labels"
        part = require(valid, f"{name} must be {values}. Received: y=", part)
        checked.append(tf.cast(part, tf.int32 if whole else dtype))
    return tf.concat(checked, 1)
