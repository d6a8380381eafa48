"""One density estimator fitted to one table, in a process of its own.

    python -m benchmarks.table_worker CONTENDER TABLE SEED RATE

Prints a line of JSON: negative log-likelihoods in nats a row, in the table's own units,
of the weights of the best epoch by the validation rows, and the seconds of training.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Protocol

import numpy as np

from benchmarks.table_data import Rows, Table, read

BATCH, EPOCHS, PATIENCE = 128, 400, 20
STEPS = 4_000  # at most, whatever the epochs
CHUNK = 2_000  # rows evaluated at a time


class Contender(Protocol):
    """A conditional density estimator that learns by steps."""

    num_parameters: int

    def step(self, x: np.ndarray, c: np.ndarray) -> None:
        """One step of the optimizer on a batch."""

    def log_prob(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log p(x | c) in nats, ``[B]``."""

    def state(self) -> Any:
        """A copy of the weights."""

    def restore(self, state: Any) -> None:
        """Sets the weights."""


def make(name: str, table: Table, seed: int, rate: float) -> Contender:
    """A contender by name.

    Raises:
        ImportError: where its packages are not installed.
    """
    dims, conditions = table.train.x.shape[1], table.train.c.shape[1]
    if name == "tfcnf":
        from benchmarks.table_tfcnf import TfcnfContender

        return TfcnfContender(dims, conditions, seed, rate)
    from benchmarks.table_zuko import ZukoContender

    return ZukoContender(name, dims, conditions, seed=seed, rate=rate)


def nll(contender: Contender, rows: Rows) -> float:
    """Mean negative log-likelihood of standardised rows, nats."""
    parts = [
        contender.log_prob(rows.x[i : i + CHUNK], rows.c[i : i + CHUNK])
        for i in range(0, len(rows.x), CHUNK)
    ]
    return -float(np.mean(np.concatenate(parts), dtype=np.float64))


def fit(contender: Contender, table: Table, seed: int) -> dict[str, float]:
    """Trains until the validation rows have not improved for `PATIENCE` epochs."""
    rng = np.random.default_rng([seed, 2])
    size = min(BATCH, len(table.train.x))
    steps = len(table.train.x) // size
    contender.step(table.train.x[:size], table.train.c[:size])  # traced or compiled
    begin, best, kept, waited, epoch = time.perf_counter(), np.inf, None, 0, 0
    while epoch < EPOCHS and epoch * steps < STEPS and waited < PATIENCE:
        order = rng.permutation(len(table.train.x))
        for i in range(steps):
            chosen = order[i * size : (i + 1) * size]
            contender.step(table.train.x[chosen], table.train.c[chosen])
        epoch += 1
        found = nll(contender, table.valid)
        waited += 1
        if found < best:
            best, kept, waited = found, contender.state(), 0
    seconds = time.perf_counter() - begin
    if kept is not None:
        contender.restore(kept)
    return {
        "valid_nll": best - table.log_scale,
        "test_nll": nll(contender, table.test) - table.log_scale,
        "seconds": seconds,
        "epochs": epoch,
    }


def gaussian(table: Table) -> dict[str, float]:
    """The linear Gaussian N(x; A c + b, S) by least squares, in closed form."""
    from scipy.stats import multivariate_normal

    def design(rows: Rows) -> np.ndarray:
        return np.column_stack([rows.c, np.ones(len(rows.c))]).astype(np.float64)

    begin = time.perf_counter()
    weights, *_ = np.linalg.lstsq(design(table.train), table.train.x, rcond=None)
    gap = table.train.x - design(table.train) @ weights
    normal = multivariate_normal(cov=gap.T @ gap / len(gap))
    seconds = time.perf_counter() - begin
    valid, test = (
        -float(np.mean(normal.logpdf(rows.x - design(rows) @ weights)))
        for rows in (table.valid, table.test)
    )
    return {
        "valid_nll": valid - table.log_scale,
        "test_nll": test - table.log_scale,
        "seconds": seconds,
        "epochs": 0,
    }


def main(name: str, table_name: str, seed: str, rate: str) -> None:
    """Fits and prints."""
    table = read(table_name, int(seed))
    if name == "gaussian":
        answer: dict[str, float] = gaussian(table)
    else:
        contender = make(name, table, int(seed), float(rate))
        answer = fit(contender, table, int(seed))
        answer["parameters"] = contender.num_parameters
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
