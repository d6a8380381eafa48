"""Labels from what a user gives: objects, numbers of classes, or records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

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


def _make(label: Any, dtype: Any) -> Label:
    if isinstance(label, Label):
        label = label.record()
    if isinstance(label, Mapping) and "kind" in label:
        kind: Any = keras.saving.get_registered_object(label["kind"])
        if isinstance(kind, type) and issubclass(kind, Label):
            keywords = {key: value for key, value in label.items() if key != "kind"}
            return kind(**keywords, dtype=dtype)
    if isinstance(label, int) and not isinstance(label, bool):
        return Categorical(label, dtype=dtype)
    raise ValueError(
        "labels must be numbers of classes or Label objects of registered kinds. "
        f"Received: label={label!r}"
    )
