"""Tables of the tables suite: rows to model, conditions, and a fixed split by seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

GALAXIES = "../shared/tables/galaxies.csv.gz"
BANDS = ["u", "g", "r", "i", "z", "y"]


class Rows(NamedTuple):
    """Standardised rows ``x [n, D]`` with conditions ``c [n, C]``, in float32."""

    x: np.ndarray
    c: np.ndarray


class Table(NamedTuple):
    """A table cut in three.

    Attributes:
        train: 80 % of the rows, but for those of the others.
        valid: 10 %; chooses the epoch and the learning rate.
        test: 10 %.
        log_scale: nats to add to a log-density of standardised rows for one in the
            table's own units.
    """

    train: Rows
    valid: Rows
    test: Rows
    log_scale: float


def _diabetes() -> tuple[Any, Any]:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(as_frame=True)
    return data.target.to_numpy()[:, None], data.data.to_numpy()


def _breast_cancer() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    means = [name for name in data.data.columns if name.startswith("mean ")]
    # radius, perimeter and area are functions of each other up to noise
    kept = [n for n in means if n not in ("mean perimeter", "mean area")]
    return data.data[kept].to_numpy(), data.target.to_numpy()[:, None]


def _randhie() -> tuple[Any, Any]:
    import statsmodels.api as sm

    data = sm.datasets.randhie.load_pandas().data
    names = ["mdvis", "disea"]
    # an index of 31 different values has no density; their order is an integer
    order = np.unique(data["disea"], return_inverse=True)[1]
    counts = np.column_stack([data["mdvis"], order])
    # the same uniform noise for all: a bound on the log-probability of the integers
    noise = np.random.default_rng(0).uniform(size=counts.shape)
    return counts + noise, data.drop(columns=names).to_numpy()


def _galaxies(x: list[str], c: list[str]) -> tuple[Any, Any]:
    import pandas as pd

    if not Path(GALAXIES).is_file():
        raise FileNotFoundError(f"there is no {GALAXIES}")
    data = pd.read_csv(GALAXIES)
    return data[x].to_numpy(), data[c].to_numpy()


TABLES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "diabetes": _diabetes,
    "breast_cancer": _breast_cancer,
    "randhie": _randhie,
    "magnitudes": lambda: _galaxies(BANDS, ["redshift"]),
    "redshift": lambda: _galaxies(["redshift"], BANDS),
}


def read(name: str, seed: int) -> Table:
    """A table, split by the seed and standardised by its training rows.

    Raises:
        ImportError: where the package that ships it is not installed.
        FileNotFoundError: where its file is not there.
    """
    x, c = (np.asarray(part, np.float64) for part in TABLES[name]())
    order = np.random.default_rng([seed, 1]).permutation(len(x))
    tenth = len(x) // 10
    parts = np.split(order, [len(x) - 2 * tenth, len(x) - tenth])
    mean, scale = x[parts[0]].mean(0), x[parts[0]].std(0)
    c = (c - c[parts[0]].mean(0)) / np.maximum(c[parts[0]].std(0), 1e-12)
    x = (x - mean) / scale
    x, c = x.astype(np.float32), c.astype(np.float32)
    train, valid, test = (Rows(x[part], c[part]) for part in parts)
    return Table(train, valid, test, -float(np.log(scale).sum()))
