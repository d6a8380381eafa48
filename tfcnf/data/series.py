"""Time series with missing points, irregular times and unequal lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from tfcnf.data.observations import (
    check_dimensions,
    check_points,
    elapsed,
    in_single,
    numbers,
    observed,
)
from tfcnf.data.series_units import SeriesUnits
from tfcnf.data.source import Split, count_examples, present
from tfcnf.labels.base import Label
from tfcnf.labels.kinds import fitted_records


class Series(NamedTuple):
    """A batch of series; make one with `make_series` or `pad_series`.

    ```python
    series = tfcnf.make_series(np.random.rand(4, 5, 2), times=np.arange(5.0))
    assert series.values.shape == (4, 5, 2)
    ```

    Attributes:
        values: observations ``[B, T, C]``; zero where not observed.
        times: their times ``[B, T]``, counted from the first observed point of each
            series, where the latent path starts; zero where not observed.
        mask: 1 where observed, else 0: of points, ``[B, T]``, or of values,
            ``[B, T, C]``, where some points were observed in part.
    """

    values: np.ndarray
    times: np.ndarray
    mask: np.ndarray


def make_series(values: Any, times: Any, mask: Any = None) -> Series:
    """Checks observations and makes a `Series` of them, in float32.

    Everything is looked at in the type that was given, and the first time of each
    series is subtracted before its times are narrowed.

    ```python
    values = [[[1.0, np.nan], [2.0, 5.0], [np.nan, np.nan]]]  # two numbers a point
    series = tfcnf.make_series(values, times=[10.0, 11.5, 12.0])
    assert series.times.tolist() == [[0.0, 1.5, 0.0]]
    assert series.mask.tolist() == [[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]
    ```

    Args:
        values: ``[B, T, C]``; anything where not observed. Without a mask, NaN is a
            missing value.
        times: ``[T]`` or ``[B, T]``, from any origin; increasing over the observed
            points.
        mask: ``[B, T]`` of points or ``[B, T, C]`` of values, of 0 and 1.

    Raises:
        ValueError: for shapes that do not fit, series of unequal length, what is not
            a number, times that do not increase, values that are not finite, what
            float32 cannot tell apart, or a series without a point.
    """
    values = numbers("values", values)
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(
            "values must have shape [batch, times, dimensions]. "
            f"Received: values.shape={values.shape}"
        )
    shape = values.shape[:2]
    times = numbers("times", times)
    if times.shape not in (shape, shape[1:]):
        raise ValueError(
            f"times must have shape {list(shape)} or [{shape[1]}]. "
            f"Received: times.shape={times.shape}"
        )
    known = observed(values, mask)
    seen = np.any(known, -1)
    times = np.broadcast_to(times, shape)
    check_points(values, times, known)
    in_part = (known.any(-1) != known.all(-1)).any()
    return Series(
        in_single(values, known),
        elapsed(times, seen),
        (known if in_part else seen).astype(np.float32),
    )


def pad_series(values: Iterable[Any], times: Iterable[Any]) -> Series:
    """Series of unequal length, each with its own times, as one masked batch.

    Args:
        values: one ``[T_i, C]`` a series; NaN is a missing value.
        times: one ``[T_i]`` a series.

    Raises:
        ValueError: as `make_series`, or where a series has more times than values, or
            other dimensions than the first.
    """
    each = [numbers(f"values[{i}]", v) for i, v in enumerate(values)]
    stamps = [numbers(f"times[{i}]", t) for i, t in enumerate(times)]
    for i, v in enumerate(each):
        if v.ndim != 2 or v.shape[1] != each[0].shape[1]:
            width = each[0].shape[1] if each[0].ndim == 2 else "dimensions"
            raise ValueError(
                f"every series must have values of shape [times, {width}]. "
                f"Received: values[{i}].shape={v.shape}"
            )
    lengths = [len(v) for v in each]
    if [(n,) for n in lengths] != [t.shape for t in stamps] or not lengths:
        raise ValueError(
            "every series must have as many times as values, and there must be one. "
            f"Received: lengths {lengths} and {[t.shape for t in stamps]}"
        )
    inside = np.arange(max(lengths)) < np.array(lengths)[:, None]
    padded = _pad(each, inside)
    mask = inside[..., None] & observed(padded, None)
    return make_series(padded, _pad(stamps, inside), mask)


def _pad(parts: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Arrays of unequal length as one, in a type that holds them all."""
    kind = np.result_type(*parts)
    padded = np.zeros(mask.shape + parts[0].shape[1:], kind)
    padded[mask] = np.concatenate(parts)
    return padded


@dataclass(frozen=True)
class SeriesSplit(Split):
    """Series, their labels, and the noise-free curves that they were observed on.

    ```python
    series = tfcnf.make_series(np.random.rand(4, 5, 2), times=np.arange(5.0))
    split = tfcnf.SeriesSplit(series, np.array([[0], [1], [0], [1]]))
    ```

    Attributes:
        x: `Series`, ``n`` of them.
        y: labels ``[n, L]``.
        truth: noise-free values at ``truth_times``, ``[n, P, C]``.
        truth_times: ``[P]``, increasing, counted as the times of ``x``; before 0 and
            after the last observation too.
        truth_mask: 0 where the curve has ended, ``[n, P]``.
    """

    truth: np.ndarray = field(default_factory=lambda: np.zeros(0))
    truth_times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    truth_mask: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Self:
        """The series at these indices, with their curves."""
        curves = {
            name: getattr(self, name)[rows]
            for name in ("truth", "truth_mask")
            if getattr(self, name).size
        }
        x = Series(*(part[rows] for part in self.x))
        return dataclasses.replace(self, x=x, y=self.y[rows], **curves)


class SeriesColumns(NamedTuple):
    """Names of the columns of a long table of series.

    Attributes:
        subject: says which series a row is of.
        time: of the point.
        x: numbers of the point.
    """

    subject: str
    time: str
    x: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, subject and time first."""
        return self.subject, self.time, *self.x


@dataclass(frozen=True)
class SeriesSource:
    """A data set of series.

    ```python
    series = tfcnf.make_series(np.random.rand(4, 5, 2), times=np.arange(5.0))
    split = tfcnf.SeriesSplit(series, np.array([[0], [1], [0], [1]]))
    labels = (tfcnf.Binary(title="clockwise"),)
    data = tfcnf.SeriesSource("mine", split, split, {}, labels, window=4.0)
    model = tfcnf.LatentODE(**data.model_keywords())
    ```

    Attributes:
        name: catalog name.
        train: training split.
        test: test split, from the same distribution.
        domains: further test splits, by name, from others.
        labels: kinds of the labels; numbers get their units from the training split.
        window: duration of the observations.
        flip: not looked at.
        standardise: give the model the units of the training split, see
            `SeriesUnits`.
        validation: split that weights and the end of a training are chosen by, or
            None.
        table_columns: of the table that the series came from, or None.
    """

    name: str
    train: SeriesSplit
    test: SeriesSplit
    domains: dict[str, SeriesSplit]
    labels: tuple[Label, ...]
    window: float
    flip: bool = False
    standardise: bool = False
    validation: SeriesSplit | None = None
    table_columns: SeriesColumns | None = None
    task: ClassVar[str] = "series"

    @property
    def splits(self) -> dict[str, SeriesSplit]:
        """The splits of the distribution of training, by name."""
        return present(train=self.train, validation=self.validation, test=self.test)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example, ``(T, C)``."""
        return self.train.x.values.shape[1:]

    def _splits(self) -> list[SeriesSplit]:
        return [*self.splits.values(), *self.domains.values()]

    def describe(self) -> str:
        """Summary of the data in one line."""
        kinds = [f"{label.title} ({label.describe()})" for label in self.labels]
        labels = ", ".join([f"{len(kinds)} labels", *kinds])
        points, dims = self.event_shape
        told = self.table_columns
        named = f" ({', '.join(told.x)})" if told else ""
        return (
            f"{self.name}: {labels}; series of up to {points} points of {dims} "
            f"numbers{named}; {count_examples(self.splits)}"
        )

    def model_keywords(self) -> dict[str, Any]:
        """Keywords of a model's constructor that follow from the data.

        Raises:
            ValueError: for a dimension that was never observed in training, or a label
                that is constant there.
        """
        check_dimensions(observed(self.train.x.values, self.train.x.mask))
        keywords: dict[str, Any] = {
            "obs_dims": self.event_shape[-1],
            "regular": all(_is_regular(split.x) for split in self._splits()),
            "labels": fitted_records(self.labels, self.train.y),
        }
        if any(split.x.mask.ndim == 3 for split in self._splits()):
            keywords["encode_mask"] = True
        if self.standardise:
            keywords["units"] = SeriesUnits.of(self.train.x).record()
        return keywords


def _is_regular(x: Series) -> bool:
    return bool(x.mask.all() and (x.times == x.times[0]).all())
