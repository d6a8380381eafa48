"""Training with few labels: hides those of most examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcnf.checks import is_integer
from tfcnf.data.source import DataSource
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import HIDDEN, Categorical
from tfcnf.labels.kinds import parts_of


def hide_labels(
    source: DataSource, labels: int, labelled_part: float, seed: int
) -> DataSource:
    """The source with the labels of all but a few training examples hidden.

    Which are kept depends on the seed alone: the same ones whatever ``labelled_part``
    is, and those kept of fewer labels are among those kept of more.

    Args:
        source: data with a label for every training example.
        labels: examples of each class of the first factor that keep their labels; 0
            hides none.
        labelled_part: part of every training batch that is drawn from the labelled
            examples, in (0, 1]; 1 leaves the unlabelled ones out.
        seed: chooses the examples.

    Raises:
        ValueError: for more labels than a class has, a part outside (0, 1], or labels
            that cannot be hidden.
    """
    if not is_integer(labels) or labels < 0:
        raise ValueError(
            "labels must be a number of examples for each class, or 0 for all. "
            f"Received: labels={labels!r}"
        )
    if not 0 < labelled_part <= 1:
        raise ValueError(
            "labelled_part must be above 0 and at most 1. "
            f"Received: labelled_part={labelled_part!r}"
        )
    if not labels:
        return source
    _check_kinds(source.labels)
    whole = all(label.integer for label in source.labels)
    kind = source.train.y.dtype if whole else np.result_type(source.train.y, np.float32)
    y = np.full_like(source.train.y, HIDDEN, kind)
    for label, part in zip(source.labels, parts_of(source.labels, y), strict=True):
        part[:] = HIDDEN if label.integer else np.nan
    kept = _choose(
        source.train.y[:, 0].astype(int), source.class_names[0], labels, seed
    )
    y[kept] = source.train.y[kept]
    train = dataclasses.replace(source.train, y=y, labelled_part=labelled_part)
    return dataclasses.replace(source, train=train)


def _check_kinds(labels: Sequence[Label]) -> None:
    """Refuses labels that cannot be hidden, or chosen by class."""
    chosen = labels and isinstance(labels[0], Categorical)
    if not chosen or not all(label.can_hide for label in labels):
        raise ValueError(
            "labels are hidden where the first is a class and the others are classes "
            "or numbers with a stated distribution. "
            f"Received: labels={[label.describe() for label in labels]}"
        )


def _choose(
    y: np.ndarray, class_names: Sequence[str], labels: int, seed: int
) -> np.ndarray:
    """Indices of as many examples of each class, the same first ones for any number."""
    num_classes = len(class_names)
    counts = np.bincount(y, minlength=num_classes)
    rarest = int(counts.argmin())
    if labels > counts[rarest]:
        raise ValueError(
            f"labels must be at most the {counts[rarest]} training examples of the "
            f"rarest class, {class_names[rarest]!r}. Received: labels={labels}"
        )
    order = np.random.default_rng([seed, 1]).permutation(len(y))
    chosen: list[Any] = [order[y[order] == k][:labels] for k in range(num_classes)]
    return np.concatenate(chosen)
