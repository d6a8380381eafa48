"""Bidirectional spirals of varying parameters (InfoCNF Eq. 8-9, App. E.1).

Along t from 0 to 6 pi a counter-clockwise spiral is, with R = a + b t,
``(R cos t + 5, R sin t)``, and a clockwise one, with s = 6 pi + 1 - t and
R = a + 50 b / s, ``(R cos s - 5, R sin s)``; s runs down, as in the authors' code, so
that the curve does turn clockwise. The papers write a ~ N(1.0, 0.08) and
b ~ N(0.25, 0.03); the second numbers are read as standard deviations, as the authors'
code does.

A window of consecutive points with noise is observed, at times from 0 on whatever its
place on the curve. What is kept for scoring is the noise-free curve over the window, as
long before it and as long after it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from tfcnf.data.series import SeriesSource, SeriesSplit, make_series
from tfcnf.labels.base import Label
from tfcnf.labels.binary import Binary
from tfcnf.labels.real import Real

END = 6 * math.pi
MEAN, DEVIATION = np.array([1.0, 0.25]), np.array([0.08, 0.03])
HELD_OUT = 0.5  # clockwise spirals with b beyond mean + 0.5 deviations


class Design(NamedTuple):
    """Design of a data set of spirals: how they are drawn and observed.

    Attributes:
        spirals: how many, half of them clockwise.
        length: points of a curve.
        window: observed points.
        noise: standard deviation of the noise on each coordinate.
        room_after: points between the window's end and the curve's. A whole window
            (None) leaves room for the extrapolation of every curve; the authors' code
            leaves none.
        shift: of the means of a and b, in standard deviations.
        hold_out: keep the held-out region (clockwise, large b) out.
        only_held_out: draw from that region alone.
    """

    spirals: int = 5_000
    length: int = 1_000
    window: int = 200
    noise: float = 0.3
    room_after: int | None = None
    shift: float = 0.0
    hold_out: bool = False
    only_held_out: bool = False


DESIGNS = {
    "spirals": Design(),
    "spirals_held_out": Design(hold_out=True),
    "spirals_reference": Design(length=500, window=100, room_after=0),
}
DOMAIN_COUNT = 1_000


def load(name: str, data_dir: str | None = None) -> SeriesSource:
    """A data set of spirals by name: 5,000 to train and 5,000 to test.

    ``spirals`` is the paper's; ``spirals_reference`` what the authors' code did, 100
    points of 500, anywhere on the curve; ``spirals_held_out`` trains without clockwise
    spirals of large b. Nothing is read from ``data_dir``: the spirals are drawn from
    fixed seeds.
    """
    design = DESIGNS[name]
    small = design._replace(spirals=DOMAIN_COUNT, hold_out=False)
    domains = {
        "shift_2": draw(small._replace(shift=2.0), 2),
        "shift_4": draw(small._replace(shift=4.0), 3),
        "held_out": draw(small._replace(only_held_out=True), 4),
    }
    return SeriesSource(
        name,
        draw(design, 0),
        draw(design._replace(hold_out=False), 1),
        domains,
        labels(),
        window=float(times(design)[design.window - 1]),
    )


def labels() -> tuple[Label, ...]:
    """The kinds of a spiral's labels: the parameters a and b, and the direction."""
    return Real(title="a"), Real(title="b"), Binary(title="clockwise")


def with_passes(source: SeriesSource, passes: int) -> SeriesSource:
    """The source with an epoch of several passes over its training split.

    Raises:
        ValueError: for less than one pass.
    """
    if passes < 1:
        raise ValueError(f"passes must be positive. Received: passes={passes}")
    train = dataclasses.replace(source.train, passes=passes)
    return dataclasses.replace(source, train=train)


def draw(design: Design, seed: int) -> SeriesSplit:
    """Spirals of a design; the same seed gives the same.

    Raises:
        ValueError: for a window that does not fit on the curve, or another entry of
            the design out of range.
    """
    rng = np.random.default_rng([1912, seed])
    clockwise = np.zeros(design.spirals)
    clockwise[: design.spirals if design.only_held_out else design.spirals // 2] = 1
    rng.shuffle(clockwise)
    a, b = _parameters(design, clockwise, rng)
    n = design.window
    possible = starts(design)
    chosen = rng.integers(possible[0], possible[-1] + 1, design.spirals)
    t = times(design)
    at = chosen[:, None] + np.arange(-n, 2 * n)
    inside = at < design.length
    truth = curve(a[:, None], b[:, None], clockwise[:, None], t[at * inside])
    values = truth[:, n : 2 * n] + rng.normal(0, design.noise, (len(a), n, 2))
    return SeriesSplit(
        make_series(values, t[:n]),
        np.stack([a, b, clockwise], 1).astype(np.float32),
        truth=truth.astype(np.float32),
        truth_times=np.concatenate([-t[n:0:-1], t[: 2 * n]]).astype(np.float32),
        truth_mask=inside.astype(np.float32),
    )


def curve(
    a: np.ndarray, b: np.ndarray, clockwise: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """Points of spirals, ``[..., 2]``, where the arguments' shapes broadcast.

    Args:
        a: offset of the radius.
        b: growth of the radius.
        clockwise: 1 or 0.
        t: from 0 to 6 pi.
    """
    turned = clockwise > 0.5
    s = np.where(turned, END + 1 - t, t)
    radius = a + b * np.where(turned, 50 / np.maximum(s, 1e-9), s)
    centre = np.where(turned, -5.0, 5.0)
    return np.stack([radius * np.cos(s) + centre, radius * np.sin(s)], -1)


def times(design: Design) -> np.ndarray:
    """t at the points of a curve, ``[length]``."""
    return np.linspace(0, END, design.length)


def starts(design: Design) -> np.ndarray:
    """Indices at which a window may start, increasing by 1.

    Raises:
        ValueError: for a window that does not fit on the curve, or another entry of
            the design out of range.
    """
    after = design.window if design.room_after is None else design.room_after
    last = design.length - design.window - after
    _check(design, last)
    return np.arange(design.window, last + 1)


def held_out(b: np.ndarray, clockwise: np.ndarray) -> np.ndarray:
    """Mask of the spirals in the region that `Design.hold_out` keeps out."""
    return (clockwise > 0.5) & (b > MEAN[1] + HELD_OUT * DEVIATION[1])


def _parameters(
    design: Design, clockwise: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """a and b ``[count]``, drawn again where they are of the wrong region."""

    def normal(count: int) -> np.ndarray:
        return MEAN + DEVIATION * (design.shift + rng.normal(size=(count, 2)))

    drawn = normal(len(clockwise))
    while design.hold_out or design.only_held_out:
        wrong = held_out(drawn[:, 1], clockwise) != design.only_held_out
        if not wrong.any():
            break
        drawn[wrong] = normal(int(wrong.sum()))
    return drawn[:, 0], drawn[:, 1]


def _check(design: Design, last: int) -> None:
    if design.window < 1 or design.spirals < 1 or design.noise < 0:
        raise ValueError(
            "window and spirals must be positive, noise not negative. "
            f"Received: window={design.window}, spirals={design.spirals}, "
            f"noise={design.noise}"
        )
    if last < design.window:
        raise ValueError(
            "the window, with as much before it and room_after after it, is longer "
            f"than the curve. Received: window={design.window}, "
            f"room_after={design.room_after}, length={design.length}"
        )
