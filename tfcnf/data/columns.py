"""Columns of a table: their kind, bounds and units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcnf.checks import check_choice

KINDS = ("real", "integer", "category")
POINTS = 16  # of the interval of an integer, from which its units are taken
MOST = 2**22  # of an integer, so that float32 holds it with noise added


@dataclass(frozen=True)
class Column:
    """A column of numbers, and how a model makes them of unit size.

    A value x is stretched to the whole line first: as it is where it has no bounds,
    log(x - low) or -log(high - x) where it has one, and log(x - low) - log(high - x)
    where it has both. Mean and scale are of the stretched values. An integer k stands
    for the interval from k to k + 1; ``high`` is the largest integer.

    Densities reach ``margin`` beyond the bounds on both sides, so that values at a
    bound have one. Without a margin the bounds themselves are outside.

    ```python
    mass = tfcnf.Column("mass", low=0.0, mean=1.3, scale=0.7)
    visits = tfcnf.Column("visits", "integer", low=0, mean=2.9, scale=4.5)
    model = tfcnf.CNF((2,), columns=[mass, visits], hidden_layers=1, filters=8)
    ```

    Args:
        name: name in tables and messages.
        kind: ``"real"``, ``"integer"``, or ``"category"`` for the number of a name,
            which is for conditions alone.
        low: lower bound, or None.
        high: upper bound, or None.
        margin: width beyond the bounds that has a density, in the units of x.
        mean: mean of the stretched values.
        scale: deviation of the stretched values, positive.
        names: names of the categories.

    Raises:
        ValueError: for an argument out of range.
    """

    name: str
    kind: str = "real"
    low: float | None = None
    high: float | None = None
    margin: float = 0.0
    mean: float = 0.0
    scale: float = 1.0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        object.__setattr__(self, "names", tuple(self.names))
        if bool(self.names) != (self.kind == "category"):
            raise ValueError(
                "categories have names, and nothing else has. "
                f"Received: column {self.name!r}, kind={self.kind!r}, "
                f"names={self.names}"
            )
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if not np.isfinite(bounds).all() or (len(bounds) == 2 and not self.length > 0):
            raise ValueError(
                "bounds must be finite, low below high. "
                f"Received: column {self.name!r}, low={self.low}, high={self.high}"
            )
        if self.kind == "integer" and any(b != int(b) for b in bounds):
            raise ValueError(
                "bounds of integers must be integers. "
                f"Received: column {self.name!r}, low={self.low}, high={self.high}"
            )
        numbers = [self.margin, self.mean, self.scale]
        if not np.isfinite(numbers).all() or self.margin < 0 or not self.scale > 0:
            raise ValueError(
                "margin, mean and scale must be finite, the margin not negative and "
                f"the scale positive. Received: column {self.name!r}, "
                f"margin={self.margin}, mean={self.mean}, scale={self.scale}"
            )

    @property
    def ends(self) -> tuple[float, float]:
        """The open interval that has a density; infinite where there is no bound."""
        width = float(self.kind == "integer")
        low = -np.inf if self.low is None else self.low - self.margin
        high = np.inf if self.high is None else self.high + width + self.margin
        return low, high

    @property
    def length(self) -> float:
        """Length of `ends`, infinite where a bound is missing."""
        low, high = self.ends
        return high - low

    @property
    def width(self) -> int:
        """Numbers that a condition of this kind is given as."""
        return len(self.names) or 1

    def stretch(self, x: np.ndarray) -> np.ndarray:
        """Values ``[n]`` on the whole line, in float64; integers become intervals.

        Returns:
            ``[n]``, or ``[n, POINTS]`` of integers: points spread over the interval.
        """
        x = np.asarray(x, np.float64)
        if self.kind == "integer":
            x = x[:, None] + (np.arange(POINTS) + 0.5) / POINTS
        low, high = self.ends
        if np.isinf([low, high]).all():
            return x
        above = 1.0 if np.isinf(low) else x - low
        below = 1.0 if np.isinf(high) else high - x
        return np.log(above) - np.log(below)

    def fitted(self, x: np.ndarray) -> Column:
        """This column with mean and scale of training values ``[n]``.

        Raises:
            ValueError: for values outside the bounds, or that are all the same.
        """
        if self.kind == "category":
            return self
        self.check(x)
        stretched = self.stretch(x)
        scale = float(stretched.std())
        if not np.ptp(x) > 0 or not scale > 0:
            raise ValueError(
                f"column {self.name!r} is constant in the training data: it has no "
                "density and tells nothing; leave it out. "
                f"Received: {self.name}={x[0]}"
            )
        return dataclasses.replace(self, mean=float(stretched.mean()), scale=scale)

    def check(self, x: np.ndarray, rows: Sequence[Any] | None = None) -> None:
        """Refuses values ``[n]`` that the column cannot have, naming the first.

        Args:
            x: values.
            rows: names of the rows for the message; their numbers from 0 if None.

        Raises:
            ValueError: for values that are not finite, outside the bounds, or no
                integers where integers are meant.
        """
        x = np.asarray(x)
        bad, meant = ~np.isfinite(x), "finite"
        if self.kind == "integer":
            bad |= (x != np.floor(x)) | (np.abs(x) > MOST)
            meant = f"integers, at most {MOST} in size"
        if self.kind == "category":
            bad |= ~np.isin(x, np.arange(len(self.names)))
            meant = f"in 0..{len(self.names) - 1}"
        bad |= self._outside(x)
        if bad.any():
            bounds = self.describe_bounds()
            first = int(np.argmax(bad))
            row = first if rows is None else rows[first]
            raise ValueError(
                f"values of column {self.name!r} must be {meant}"
                f"{' and ' * bool(bounds)}{bounds}. Received: {x[first]} in row {row}"
            )

    def _outside(self, x: np.ndarray) -> np.ndarray:
        """Mask of values beyond the bounds, or on those that have no density."""
        middle = x + 0.5 * (self.kind == "integer")
        low, high = self.ends
        least = -np.inf if self.low is None else self.low
        most = np.inf if self.high is None else self.high
        return (middle <= low) | (middle >= high) | (x < least) | (x > most)

    def describe_bounds(self) -> str:
        """The bounds in words, empty where there are none."""
        closed = self.margin > 0 or self.kind == "integer"
        words = ("from", "to") if closed else ("above", "below")
        pairs = zip(words, (self.low, self.high), strict=True)
        return " and ".join(f"{word} {end:g}" for word, end in pairs if end is not None)

    def describe(self) -> str:
        """The column in one line."""
        if self.kind == "category":
            shown = ", ".join(self.names[:5]) + ", ..." * (len(self.names) > 5)
            return f"{self.name}: {len(self.names)} categories ({shown})"
        how = {"real": "real", "integer": "integer, dequantized"}[self.kind]
        bounds = self.describe_bounds()
        return f"{self.name}: {how}{', ' * bool(bounds)}{bounds}{self._units()}"

    def _units(self) -> str:
        low, high = np.isfinite(self.ends)
        of = {0: "", 1: "log: ", 2: "logit: "}[int(low) + int(high)]
        margin = f", margin {self.margin:.3g}" if self.margin else ""
        return f"{margin}; {of}mean {self.mean:.4g}, deviation {self.scale:.4g}"

    def record(self) -> dict[str, Any]:
        """The arguments that are not the default, in values that JSON has."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        return given | ({"names": list(self.names)} if self.names else {})


def make_columns(columns: Sequence[Any]) -> tuple[Column, ...]:
    """Columns from objects, records of them, or names of real columns.

    Raises:
        ValueError: for what is none of these, or a name that comes twice.
    """
    made = tuple(map(_make, columns))
    names = [column.name for column in made]
    if len(set(names)) < len(names):
        raise ValueError(
            f"columns must have different names. Received: columns={names}"
        )
    return made


def _make(column: Any) -> Column:
    if isinstance(column, Column):
        return column
    if isinstance(column, str):
        return Column(column)
    known = {field.name for field in dataclasses.fields(Column)}
    if isinstance(column, Mapping) and "name" in column and set(column) <= known:
        return Column(**column)
    raise ValueError(
        "columns must be Column objects, their records, or names. "
        f"Received: column={column!r}"
    )
