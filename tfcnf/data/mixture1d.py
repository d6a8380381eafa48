"""A mixture of three Gaussians on the line with its exact density (InfoCNF App. C)."""

from __future__ import annotations

import math

import numpy as np

from tfcnf.data.source import DataSource, Density, Split

MEANS = np.array([-2.8, -0.9, 2.0])
VARIANCE = 0.4
TRAIN_EXAMPLES, TEST_EXAMPLES = 20_000, 4_000


def load(data_dir: str | None = None) -> DataSource:
    """20,000 training and 4,000 test points, their component as the label.

    The papers give 0.4 as the variance of each component. Nothing is read from
    ``data_dir``: the points are drawn from fixed seeds.
    """
    return DataSource(
        "mixture1d",
        _draw(TRAIN_EXAMPLES, 0),
        _draw(TEST_EXAMPLES, 1),
        (len(MEANS),),
        1,
        density=Density(low=(-15.0,), high=(15.0,), points=10_001, log_prob=log_prob),
    )


def log_prob(x: np.ndarray) -> np.ndarray:
    """The exact log-density at ``[n, 1]``, ``[n]`` nats."""
    squares = np.square(np.asarray(x, np.float64) - MEANS) / (2 * VARIANCE)
    log_norm = math.log(len(MEANS)) + 0.5 * math.log(2 * math.pi * VARIANCE)
    return np.logaddexp.reduce(-squares, axis=1) - log_norm


def _draw(count: int, seed: int) -> Split:
    rng = np.random.default_rng([2912, seed])
    y = rng.integers(0, len(MEANS), count)
    x = MEANS[y] + math.sqrt(VARIANCE) * rng.normal(size=count)
    return Split(x[:, None].astype(np.float32), y[:, None].astype(np.int32))
