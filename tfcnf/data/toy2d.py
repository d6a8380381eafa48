"""Toy distributions in the plane, labelled, as flow libraries are judged by.

The shapes and sizes are FFJORD's (eight Gaussians on a circle of radius 2 sqrt 2, a
pinwheel of five blades, two moons, a checkerboard of eight squares with side 2), so
that pictures can be compared. The label is the component, blade, moon or column.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from tfcnf.data.extras import train_extra
from tfcnf.data.source import DataSource, Density, Split

TRAIN_EXAMPLES, TEST_EXAMPLES = 20_000, 4_000
RADIUS, DEVIATION = 2 * math.sqrt(2), 0.5 / math.sqrt(2)
BLADES = 5
Points = tuple[np.ndarray, np.ndarray]


def eight_gaussians(count: int, rng: np.random.Generator) -> Points:
    """Components at the corners of an octagon, deviation 0.354."""
    y = rng.integers(0, 8, count)
    return _centers()[y] + DEVIATION * rng.normal(size=(count, 2)), y


def eight_gaussians_log_prob(x: np.ndarray) -> np.ndarray:
    """The exact log-density at ``[n, 2]``, ``[n]`` nats."""
    gaps = np.asarray(x, np.float64)[:, None, :] - _centers()
    squares = np.sum(gaps**2, -1) / (2 * DEVIATION**2)
    log_norm = math.log(8 * 2 * math.pi * DEVIATION**2)
    return np.logaddexp.reduce(-squares, axis=1) - log_norm


def pinwheel(count: int, rng: np.random.Generator) -> Points:
    """Five bent blades (Johnson et al. 2016)."""
    y = rng.integers(0, BLADES, count)
    x = rng.normal(size=(count, 2)) * [0.3, 0.1]
    x[:, 0] += 1.0
    angle = 2 * math.pi * y / BLADES + 0.25 * np.exp(x[:, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    turned = [x[:, 0] * cos + x[:, 1] * sin, -x[:, 0] * sin + x[:, 1] * cos]
    return 2.0 * np.stack(turned, 1), y


def two_moons(count: int, rng: np.random.Generator) -> Points:
    """scikit-learn's half circles with noise 0.1, centred and doubled."""
    with train_extra("the data set two_moons"):
        from sklearn.datasets import make_moons
    x, y = make_moons(count, noise=0.1, random_state=int(rng.integers(2**31)))
    return 2.0 * x + [-1.0, -0.2], y


def checkerboard(count: int, rng: np.random.Generator) -> Points:
    """Uniform on eight squares of a board from -4 to 4; the label is the column."""
    y = rng.integers(0, 4, count)
    row = 2 * rng.integers(0, 2, count) + y % 2
    return 2 * np.stack([y, row], 1) - 4 + 2 * rng.random((count, 2)), y


def checkerboard_log_prob(x: np.ndarray) -> np.ndarray:
    """The exact log-density at ``[n, 2]``, ``[n]`` nats; -inf off the squares."""
    cells = np.floor(np.asarray(x, np.float64) / 2 + 2).astype(int)
    inside = np.all((cells >= 0) & (cells < 4), 1) & (cells.sum(1) % 2 == 0)
    return np.where(inside, -math.log(32), -np.inf)


Draw = Callable[[int, np.random.Generator], Points]
# name -> (draw, classes, exact log-density where there is one)
TOYS: dict[str, tuple[Draw, int, Callable[[np.ndarray], np.ndarray] | None]] = {
    "eight_gaussians": (eight_gaussians, 8, eight_gaussians_log_prob),
    "pinwheel": (pinwheel, BLADES, None),
    "two_moons": (two_moons, 2, None),
    "checkerboard": (checkerboard, 4, checkerboard_log_prob),
}


def load(name: str, data_dir: str | None = None) -> DataSource:
    """20,000 training and 4,000 test points of a toy by name.

    Nothing is read from ``data_dir``: the points are drawn from fixed seeds.
    """
    draw, classes, log_prob = TOYS[name]

    def split(count: int, seed: int) -> Split:
        x, y = draw(count, np.random.default_rng([2018, seed]))
        return Split(x.astype(np.float32), y[:, None].astype(np.int32))

    density = Density(low=(-8.0,) * 2, high=(8.0,) * 2, points=321, log_prob=log_prob)
    train, test = split(TRAIN_EXAMPLES, 0), split(TEST_EXAMPLES, 1)
    return DataSource(name, train, test, (classes,), 1, density=density)


LOADERS = {name: functools.partial(load, name) for name in TOYS}


def _centers() -> np.ndarray:
    angle = 2 * math.pi * np.arange(8) / 8
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1)
