"""Time series with missing points, irregular times and unequal lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tfcnf.data.source import Split


class Series(NamedTuple):
    """A batch of series; make one with `make_series` or `pad_series`.

    Attributes:
        values: observations ``[B, T, C]``; zero where not observed.
        times: their times ``[B, T]``, from the start of the latent path at 0 on.
        mask: 1 where observed, else 0, ``[B, T]``.
    """

    values: np.ndarray
    times: np.ndarray
    mask: np.ndarray


def make_series(values: Any, times: Any, mask: Any = None) -> Series:
    """Checks observations and makes a `Series` of them, in float32.

    Args:
        values: ``[B, T, C]``; anything, NaN included, where not observed.
        times: ``[T]`` or ``[B, T]``; increasing over the observed points, none
            before 0.
        mask: ``[B, T]`` of 0 and 1; everything is observed if None.

    Raises:
        ValueError: for shapes that do not fit, series of unequal length, times that do
            not increase, values that are not finite, or a series without a point.
    """
    try:
        values = np.asarray(values, np.float32)
    except ValueError:
        raise ValueError(
            "series of unequal length need a mask; make them with `pad_series`. "
            f"Received: lengths {sorted({len(v) for v in values})}"
        ) from None
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(
            "values must have shape [batch, times, dimensions]. "
            f"Received: values.shape={values.shape}"
        )
    shape = values.shape[:2]
    times = np.asarray(times, np.float32)
    if times.shape not in (shape, shape[1:]):
        raise ValueError(
            f"times must have shape {list(shape)} or [{shape[1]}]. "
            f"Received: times.shape={times.shape}"
        )
    mask = np.ones(shape) if mask is None else np.asarray(mask)
    if mask.shape != shape or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"mask must be zeros and ones of shape {list(shape)}. "
            f"Received: mask.shape={mask.shape}"
        )
    seen = mask.astype(bool)
    times = np.broadcast_to(times, shape)
    _check_points(values, times, seen)
    return Series(
        np.where(seen[..., None], values, 0.0).astype(np.float32),
        np.where(seen, times, 0.0).astype(np.float32),
        seen.astype(np.float32),
    )


def pad_series(values: Sequence[Any], times: Sequence[Any]) -> Series:
    """Series of unequal length, each with its own times, as one masked batch.

    Args:
        values: one ``[T_i, C]`` a series.
        times: one ``[T_i]`` a series.

    Raises:
        ValueError: as `make_series`, or where a series has more times than values.
    """
    lengths = [len(v) for v in values]
    if lengths != [len(t) for t in times] or not lengths:
        raise ValueError(
            "every series must have as many times as values, and there must be one. "
            f"Received: lengths {lengths} and {[len(t) for t in times]}"
        )
    longest, width = max(lengths), np.shape(values[0])[-1]
    padded: np.ndarray = np.zeros([len(lengths), longest, width], np.float32)
    stamps: np.ndarray = np.zeros([len(lengths), longest], np.float32)
    for i, length in enumerate(lengths):
        padded[i, :length], stamps[i, :length] = values[i], times[i]
    mask = np.arange(longest) < np.array(lengths)[:, None]
    return make_series(padded, stamps, mask)


@dataclass(frozen=True)
class SeriesSplit(Split):
    """Series, their labels, and the noise-free curves that they were observed on.

    Attributes:
        x: `Series`, ``n`` of them.
        y: labels ``[n, L]``.
        truth: noise-free values at ``truth_times``, ``[n, P, C]``.
        truth_times: ``[P]``, increasing; before 0 and after the last observation too.
        truth_mask: 0 where the curve has ended, ``[n, P]``.
    """

    truth: np.ndarray = field(default_factory=lambda: np.zeros(0))
    truth_times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    truth_mask: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class SeriesSource:
    """A data set of series.

    Attributes:
        name: catalog name.
        train: training split.
        test: test split, from the same distribution.
        domains: further test splits, by name, from others.
        label_names: names of the L labels.
        label_kinds: ``"gaussian"`` or ``"bernoulli"`` (0 or 1) for each.
        window: duration of the observations.
    """

    name: str
    train: SeriesSplit
    test: SeriesSplit
    domains: dict[str, SeriesSplit]
    label_names: tuple[str, ...]
    label_kinds: tuple[str, ...]
    window: float
    flip: bool = False
    density: None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example, ``(T, C)``."""
        return self.train.x.values.shape[1:]

    def _splits(self) -> list[SeriesSplit]:
        return [self.train, self.test, *self.domains.values()]

    def describe(self) -> str:
        """What was understood of the data, in one line."""
        kinds = {"gaussian": "a number", "bernoulli": "0 or 1"}
        pairs = zip(self.label_names, self.label_kinds, strict=True)
        labels = ", ".join(f"{name} ({kinds[kind]})" for name, kind in pairs)
        points, dims = self.event_shape
        return (
            f"{self.name}: {len(self.label_names)} labels, {labels}; series of up to "
            f"{points} points of {dims} numbers; {len(self.train)} training and "
            f"{len(self.test)} test examples"
        )

    def model_keywords(self) -> dict[str, Any]:
        """What a model must know of the data, as keywords of its constructor."""
        real = np.array([kind == "gaussian" for kind in self.label_kinds])
        mean, scale = self.train.y.mean(0), self.train.y.std(0)
        return {
            "obs_dims": self.event_shape[-1],
            "regular": all(_is_regular(split.x) for split in self._splits()),
            "label_kinds": self.label_kinds,
            "label_mean": tuple(np.where(real, mean, 0.0).tolist()),
            "label_scale": tuple(np.where(real, scale, 1.0).tolist()),
        }


def _is_regular(x: Series) -> bool:
    return bool(x.mask.all() and (x.times == x.times[0]).all())


def _check_points(values: np.ndarray, times: np.ndarray, seen: np.ndarray) -> None:
    if not seen.any(1).all():
        raise ValueError(
            "every series must have an observed point. "
            f"Received: none in series {int(np.argmin(seen.any(1)))}"
        )
    if not np.isfinite(values[seen]).all():
        first = np.argwhere(seen & ~np.isfinite(values).all(-1))[0]
        raise ValueError(
            "observed values must be finite; mask missing ones. "
            f"Received: {values[tuple(first)]} in series {first[0]}, point {first[1]}"
        )
    if not (np.isfinite(times[seen]).all() and (times[seen] >= 0).all()):
        raise ValueError(
            "times must be finite and not before 0. "
            f"Received: times from {times[seen].min()} to {times[seen].max()}"
        )
    for i in range(len(times)):
        gaps = np.diff(times[i][seen[i]])
        if (gaps <= 0).any():
            raise ValueError(
                "times must increase over the observed points of a series. "
                f"Received: a step of {gaps.min():g} in series {i}"
            )
