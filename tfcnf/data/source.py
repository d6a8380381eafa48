"""A data source: arrays of examples and labels with what models must know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import tensorflow as tf

from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.kinds import fitted_records, make_labels, parts_of
from tfcnf.types import join_context


@dataclass(frozen=True)
class Split:
    """Examples ``[n, *event_shape]`` and label values ``[n, columns]``.

    An epoch of training makes ``passes`` passes over the examples. Where some have a
    hidden label, `HIDDEN` or NaN, ``labelled_part`` of every training batch is drawn
    from the others.
    ``context`` is a condition of each example, ``[n, ...]`` finite numbers, for models
    that have one.

    ```python
    x, y = np.zeros([6, 2], np.float32), np.zeros([6, 1], np.int32)
    split = tfcnf.Split(x, y)
    ```
    """

    x: Any
    y: np.ndarray
    passes: int = 1
    labelled_part: float | None = None
    context: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def inputs(self) -> Any:
        """Input of a model's `fit`: x, or ``{"x": x, "context": context}``."""
        return join_context(self.x, self.context)

    def take(self, rows: np.ndarray) -> Self:
        """The examples at these indices."""
        context = None if self.context is None else self.context[rows]
        return dataclasses.replace(
            self, x=self.x[rows], y=self.y[rows], context=context
        )


@dataclass(frozen=True)
class Density:
    """Box that holds the density of a data set, and that density if it is known.

    ```python
    box = tfcnf.Density(low=(-4.0, -4.0), high=(4.0, 4.0), points=101)
    ```

    Attributes:
        low: lower corner of a box that holds all but a negligible part of the mass.
        high: upper corner.
        points: points of a grid along each axis of the box, both ends included.
        log_prob: exact log-density in nats, ``[n, D] -> [n]``, or None.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    points: int
    log_prob: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class DataSource:
    """Everything about a data set that the rest of the house reads.

    ```python
    x, y = np.random.rand(8, 2).astype("float32"), np.arange(8)[:, None] % 2
    data = tfcnf.DataSource("mine", tfcnf.Split(x, y), tfcnf.Split(x, y), (2,), 1)
    model = tfcnf.InfoCNF(**data.model_keywords(), hidden_layers=1, filters=8)
    ```

    Attributes:
        name: catalog name.
        train: training split; labels may be hidden.
        test: test split.
        labels: for each label a number of classes or a `Label`.
        num_levels: grey levels of integer images; 1 for vectors.
        flip: whether training images are flipped left-right at random.
        density: box and density of points in one or two dimensions, or None.
        validation: split that weights and the end of a training are chosen by, or
            None.
    """

    name: str
    train: Split
    test: Split
    labels: Sequence[Any]
    num_levels: int
    flip: bool = False
    density: Density | None = None
    validation: Split | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name."""
        return present(train=self.train, validation=self.validation, test=self.test)

    @property
    def task(self) -> str:
        """Name of the kind of data, see `tfcnf.tasks`."""
        return "points" if self.density is not None else "images"

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.train.x.shape[1:]

    @property
    def num_classes(self) -> tuple[int, ...]:
        """Classes K_i of each label that is one of several classes."""
        return tuple(
            label.num_classes for label in self.labels if isinstance(label, Categorical)
        )

    @property
    def class_names(self) -> tuple[tuple[str, ...], ...]:
        """Names of the classes of each label; none of labels of other kinds."""
        return tuple(getattr(label, "names", ()) for label in self.labels)

    def model_keywords(self) -> dict[str, Any]:
        """Keywords of a model's constructor that follow from the data."""
        keywords = {
            "event_shape": self.event_shape,
            "labels": fitted_records(self.labels, self.train.y),
            "num_levels": self.num_levels,
        }
        if self.train.context is not None:
            keywords["context"] = self.train.context.shape[1:]
        return keywords

    def describe(self) -> str:
        """Summary of the data in one line."""
        size = "x".join(map(str, self.event_shape))
        size += " numbers" * (len(self.event_shape) == 1)
        levels = f", {self.num_levels} levels" * (self.num_levels > 1)
        return (
            f"{self.name}: {self._describe_labels()}{size}{levels}; "
            f"{count_examples(self.splits)}"
        )

    def _describe_labels(self) -> str:
        count = len(self.labels)
        if len(self.num_classes) == count:
            classes = " and ".join(map(str, self.num_classes))
            many = "s" * (count > 1)
            return f"{classes} classes, {count} factor{many}, " if count else ""
        kinds = [f"{label.title} ({label.describe()})" for label in self.labels]
        return f"{count} label{'s' * (count > 1)}, {', '.join(kinds)}; "

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(make_labels(list(self.labels))))
        for name, split in self.splits.items():
            where = f"{self.name}/{name}"
            _check_labels(where, split, self.labels)
            _check_examples(where, split.x, self.num_levels)
            _check_context(where, split, self.train)


def present(**splits: Any) -> dict[str, Any]:
    """The splits that there are, by name."""
    return {name: split for name, split in splits.items() if split is not None}


def count_examples(splits: Mapping[str, Split]) -> str:
    """The number of examples of each split, in words."""
    titles = {"train": "training"}
    counts = [
        f"{len(split)} {titles.get(name, name)}" for name, split in splits.items()
    ]
    return f"{', '.join(counts[:-1])} and {counts[-1]} examples"


def _check_labels(name: str, split: Split, labels: Sequence[Label]) -> None:
    columns = sum(label.columns for label in labels)
    if len(split.x) != len(split.y) or not len(split.x):
        raise ValueError(
            f"{name} must have as many labels as examples, and at least one. "
            f"Received: {len(split.x)} examples, {len(split.y)} labels"
        )
    if split.y.shape[1:] != (columns,):
        raise ValueError(
            f"{name} must have labels of shape [n, {columns}]. "
            f"Received: y.shape={split.y.shape}"
        )
    whole = all(label.integer for label in labels)
    if whole and not np.array_equal(split.y, np.floor(split.y)):
        raise ValueError(f"{name} must have integer labels. Received: {split.y.dtype}")
    hidden = split.labelled_part is not None
    for label, values in zip(labels, parts_of(labels, split.y), strict=True):
        valid, meant = label.check(tf.constant(values), hidden)
        if not bool(valid):
            title = f" of {label.title}" if label.title else ""
            raise ValueError(
                f"{name} must have labels{title} {meant}. "
                f"Received: labels from {values.min()} to {values.max()}"
            )


def _check_examples(name: str, x: np.ndarray, num_levels: int) -> None:
    if num_levels > 1 and not (x.min() >= 0 and x.max() < num_levels):
        raise ValueError(
            f"{name} must have grey levels 0..{num_levels - 1}. "
            f"Received: values from {x.min()} to {x.max()}"
        )
    if not np.all(np.isfinite(x)):
        raise ValueError(f"{name} must be finite. Received: NaN or infinite values")
    if num_levels == 1:
        _check_precision(name, x)


def _check_context(name: str, split: Split, train: Split) -> None:
    shapes = [
        None if part.context is None else part.context.shape for part in (split, train)
    ]
    if shapes[0] is None and shapes[1] is None:
        return
    event = None if shapes[1] is None else shapes[1][1:]
    if shapes[0] is None or not event or shapes[0] != (len(split), *event):
        raise ValueError(
            f"{name} must have a context for each of {len(split)} examples, "
            f"as the training split has. Received: context.shape={shapes[0]}"
        )
    if not np.all(np.isfinite(split.context)):
        raise ValueError(
            f"{name} must have a finite context. Received: NaN or infinite values"
        )


def _check_precision(name: str, x: np.ndarray) -> None:
    """Refuses wider numbers that would be equal, or infinite, in float32."""
    if x.dtype.itemsize <= np.dtype(np.float32).itemsize:
        return
    with np.errstate(over="ignore", invalid="ignore"):
        step = np.spacing(np.abs(x).max(0).astype(np.float32))
        spread = x.std(0)
    if not np.all((step <= spread / 100) | ((spread == 0) & np.isfinite(step))):
        raise ValueError(
            f"{name} must be numbers that float32 can tell apart; subtract their mean "
            f"and divide by their spread. Received: values from {x.min()} to {x.max()}"
        )
