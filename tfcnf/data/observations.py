"""Checks of observed values and times, and their way to float32."""

from __future__ import annotations

from typing import Any

import numpy as np

LOSS = 1e-3  # of the range of the values that float32 may lose
LOST_STEP = 1e-2  # of a step between two times that float32 may lose


def numbers(name: str, given: Any) -> np.ndarray:
    """An array of floats as given, or of integers; NaN where it was masked.

    Raises:
        ValueError: for what is not an array of real numbers.
    """
    if isinstance(given, np.ma.MaskedArray) and given.dtype.kind in "biuf":
        return np.ma.filled(np.ma.asarray(given, np.float64), np.nan)
    try:
        found = np.asarray(given)
        if found.dtype.kind == "O":
            found = found.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(_refusal(name, given)) from None
    if found.dtype.kind in "mM":
        raise ValueError(
            f"{name} must be numbers; divide by a unit, such as "
            "(t - t[0]) / np.timedelta64(1, 'D'). "
            f"Received: {name} of type {found.dtype}"
        )
    if found.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be real numbers. Received: {name} of type {found.dtype}"
        )
    # differences of small integers overflow
    is_wide = found.dtype.kind == "f" or found.dtype == np.uint64
    return found if is_wide else found.astype(np.int64)


def observed(values: np.ndarray, mask: Any) -> np.ndarray:
    """Booleans ``[B, T, C]``, true where a value was observed.

    Args:
        values: ``[B, T, C]``; without a mask, NaN is a missing value.
        mask: ``[B, T]`` or ``[B, T, C]`` of 0 and 1, or None.

    Raises:
        ValueError: for another mask.
    """
    if mask is None:
        return ~np.isnan(values)
    mask, shape = np.asarray(mask), values.shape
    if mask.shape not in (shape[:2], shape) or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"mask must be zeros and ones of shape {list(shape[:2])} or {list(shape)}. "
            f"Received: mask.shape={mask.shape}"
        )
    seen = mask.astype(bool)
    return seen if seen.ndim == 3 else np.broadcast_to(seen[..., None], shape)


def check_points(values: np.ndarray, times: np.ndarray, known: np.ndarray) -> None:
    """Checks the observed points of series.

    Args:
        values: ``[B, T, C]``.
        times: ``[B, T]``.
        known: where a value was observed, ``[B, T, C]``.

    Raises:
        ValueError: for a series without a point, values or times that are not
            finite, or times that do not increase.
    """
    seen = np.any(known, -1)
    if not seen.any(1).all():
        raise ValueError(
            "every series must have an observed point. "
            f"Received: none in series {int(np.argmin(seen.any(1)))}"
        )
    if not np.isfinite(values[known]).all():
        i, point, _ = np.argwhere(known & ~np.isfinite(values))[0]
        raise ValueError(
            "observed values must be finite; mask missing ones. "
            f"Received: {values[i, point]} in series {i}, point {point}"
        )
    if not np.isfinite(times[seen]).all():
        raise ValueError(
            "times must be finite. "
            f"Received: times from {times[seen].min()} to {times[seen].max()}"
        )
    for i in range(len(times)):
        observed = times[i][seen[i]]
        wrong = observed[1:] <= observed[:-1]
        if wrong.any():
            k = int(np.argmax(wrong))
            step = observed[k + 1].item() - observed[k].item()
            raise ValueError(
                "times must increase over the observed points of a series. "
                f"Received: a step of {step:g} in series {i}"
            )


def check_dimensions(known: np.ndarray) -> None:
    """Checks that each dimension was observed somewhere in training series.

    Args:
        known: where a value was observed, ``[B, T, C]``.

    Raises:
        ValueError: for a dimension that never was.
    """
    missing = ~known.any((0, 1))
    if missing.any():
        raise ValueError(
            "every dimension must be observed in some training series; leave it out. "
            f"Received: no value in dimension {int(np.argmax(missing))}"
        )


def elapsed(times: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Times since the first observed point of each series, ``[B, T]`` in float32.

    Args:
        times: increasing where observed, ``[B, T]``.
        seen: where they were observed, ``[B, T]``.

    Raises:
        ValueError: where float32 does not hold the steps between the points.
    """
    first = np.take_along_axis(times, seen.argmax(1)[:, None], 1)
    wide = np.where(seen, np.where(seen, times, first) - first, 0)
    narrow = wide.astype(np.float32)
    for i in range(len(times)):
        steps = np.diff(wide[i][seen[i]]).astype(np.float64)
        kept = np.diff(narrow[i][seen[i]].astype(np.float64))
        # a difference that is not a number is a loss too
        lost = ~(np.abs(kept - steps) <= LOST_STEP * steps)
        if lost.any():
            k = int(np.argmax(lost))
            raise ValueError(
                "the times of a series, counted from its first point, must be apart in "
                "float32; cut a long series into shorter ones. Received: a step of "
                f"{steps[k]:g} at {wide[i][seen[i]][k]:g} in series {i}"
            )
    return narrow


def in_single(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values in float32, ``[B, T, C]``, and 0 where they were not observed.

    Args:
        values: finite where observed, ``[B, T, C]``.
        known: where they were observed, ``[B, T, C]``.

    Raises:
        ValueError: where float32 does not hold the differences between them.
    """
    single = np.zeros(values.shape, np.float32)
    for k in range(values.shape[-1]):
        here = known[..., k]
        single[here, k] = _narrowed(values[here, k], k)
    return single


def _narrowed(values: np.ndarray, dimension: int) -> np.ndarray:
    """Observed values of a dimension, ``[n]``, in float32."""
    if not values.size:
        return values.astype(np.float32)
    low, high = values.min(), values.max()
    with np.errstate(over="ignore"):
        narrow: np.ndarray = values.astype(np.float32)
        error = np.abs(narrow.astype(np.float64) - low - (values - low)).max()
    # integers of 64 bits differ by more than they can hold
    spread = float(high.item() - low.item())
    if (error > LOSS * spread and spread > 0) or not np.isfinite(narrow).all():
        raise ValueError(
            "values must be apart in float32; subtract an offset, or use another unit. "
            f"Received: values from {low} to {high} in dimension {dimension}"
        )
    return narrow


def _refusal(name: str, given: Any) -> str:
    rows = given if isinstance(given, (list, tuple)) else []
    lengths = sorted({len(row) for row in rows if hasattr(row, "__len__")})
    if len(lengths) > 1:
        return (
            "series of unequal length need a mask; make them with `pad_series`. "
            f"Received: {name} of lengths {lengths}"
        )
    return (
        f"{name} must be an array of real numbers, all series of the same dimensions. "
        f"Received: {name} of type {type(given).__name__}"
    )
