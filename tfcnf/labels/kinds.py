"""Labels from what a user gives: objects, numbers of classes, or records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.checks import is_integer
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical


def make_labels(labels: int | Label | Sequence[Any], dtype: Any = None) -> list[Label]:
    """New labels, without weights, of the given kinds.

    Args:
        labels: K classes, or for each label a number of classes, a `Label` or what
            its `record` gave.
        dtype: dtype or dtype policy of the new labels.

    Raises:
        ValueError: for what is none of these.
    """
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        labels = [labels]
    return [_make(label, dtype) for label in labels]


def parts_of(labels: Sequence[Label], y: np.ndarray) -> list[np.ndarray]:
    """Values ``[n, sum of columns]`` as one ``[n, columns]`` for each label.

    Integers become floats where a label is not of whole numbers.
    """
    if not labels:
        return []
    ends = np.cumsum([label.columns for label in labels])[:-1]
    return [
        part.astype(np.float64)
        if part.dtype.kind in "iu" and not label.integer
        else part
        for label, part in zip(labels, np.split(y, ends, 1), strict=True)
    ]


def fitted_records(labels: Sequence[Label], y: np.ndarray) -> list[dict[str, Any]]:
    """Records of labels with the units of training values ``[n, sum of columns]``."""
    pairs = zip(labels, parts_of(labels, y), strict=True)
    return [label.fitted(part).record() for label, part in pairs]


def hidden_rows(labels: Sequence[Label], y: np.ndarray) -> np.ndarray:
    """Mask of examples ``[n]`` that have a hidden label."""
    masks = [
        label.is_hidden(tf.constant(part)).numpy()
        for label, part in zip(labels, parts_of(labels, y), strict=True)
    ]
    return np.any(masks, 0) if masks else np.zeros(len(y), bool)


def _make(label: Any, dtype: Any) -> Label:
    if isinstance(label, Label):
        label = label.record()
    if isinstance(label, Mapping) and "kind" in label:
        kind: Any = keras.saving.get_registered_object(label["kind"])
        if isinstance(kind, type) and issubclass(kind, Label):
            keywords = {key: value for key, value in label.items() if key != "kind"}
            return kind(**keywords, dtype=dtype)
    if is_integer(label):
        return Categorical(label, dtype=dtype)
    raise ValueError(
        "labels must be numbers of classes or Label objects of registered kinds. "
        f"Received: label={label!r}"
    )
