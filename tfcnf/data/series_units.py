"""Units in which the values and the times of series are of size one."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tfcnf.data.observations import check_dimensions, observed

if TYPE_CHECKING:
    from tfcnf.data.series import Series


@dataclass(frozen=True)
class SeriesUnits:
    """Mean and deviation of each dimension of the values, and a unit of time.

    A model that is given them computes with ``(value - mean) / scale`` and
    ``time / duration``; whatever a user gives or gets is in the data's own units.

    ```python
    series = tfcnf.make_series(300 + np.random.rand(4, 5, 2), 60 * np.arange(5.0))
    units = tfcnf.SeriesUnits.of(series)
    model = tfcnf.LatentODE(obs_dims=2, partition="none", units=units)
    assert units.duration == 240.0
    ```

    Attributes:
        mean: of each dimension.
        scale: standard deviation of each dimension, positive.
        duration: unit of time, positive.

    Raises:
        ValueError: for a number that is out of range.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    duration: float = 1.0

    def __post_init__(self) -> None:
        mean, scale = (tuple(map(float, v)) for v in (self.mean, self.scale))
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "scale", scale)
        positive = [*scale, self.duration]
        if (
            len(mean) != len(scale)
            or not all(map(math.isfinite, [*mean, *positive]))
            or min(positive) <= 0
        ):
            raise ValueError(
                "units must be finite, scale and duration positive, and mean and scale "
                f"of the same length. Received: units={self}"
            )

    @classmethod
    def of(cls, series: Series) -> Self:
        """The units of training series: the duration is the mean of theirs.

        Raises:
            ValueError: for a dimension that was never observed, or is the same
                wherever it was.
        """
        known = observed(series.values, series.mask)
        check_dimensions(known)
        dims = range(series.values.shape[-1])
        each = [series.values[..., k][known[..., k]].astype(np.float64) for k in dims]
        for k, values in enumerate(each):
            if not np.ptp(values) > 0:
                raise ValueError(
                    "a dimension that is the same in all series has no unit; leave it "
                    f"out. Received: {values[0]:g} in dimension {k}"
                )
        seen, times = known.any(-1), series.times
        first = np.where(seen, times, np.inf).min(1)
        last = np.where(seen, times, -np.inf).max(1)
        duration = float((last - first).mean(dtype=np.float64)) or 1.0
        return cls(
            tuple(float(values.mean()) for values in each),
            tuple(float(values.std()) for values in each),
            duration,
        )

    @classmethod
    def get(cls, value: Any) -> Self | None:
        """Units from a record, from what `record` gave, or None.

        Raises:
            ValueError: for anything else.
        """
        if value is None or isinstance(value, cls):
            return value
        try:
            return cls(**value)
        except TypeError:
            raise ValueError(
                "units must be SeriesUnits, such as SeriesUnits.of(series). "
                f"Received: units={value!r}"
            ) from None

    def record(self) -> dict[str, Any]:
        """Plain values; see `get`."""
        return dataclasses.asdict(self)
