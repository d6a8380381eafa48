"""One density estimator fitted to one table, in a process of its own.

    python -m benchmarks.table_worker CONTENDER TABLE SEED RATE[,RATE...]

Prints a line of JSON: negative log-likelihoods in nats a row, in the table's own units,
of the weights that the validation rows prefer among all epochs and learning rates, the
CPU seconds of all threads, and the coverage of the test rows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.table_data import Rows, Table, read
from tfcnf.diagnostics.chance import coverage_measures, width_test
from tfcnf.diagnostics.coverage import levels_of

BATCH = 128
PATIENCE, LEAST = 20, 300  # looks without a better one, that are so many steps
STEPS = 4_000  # at most
LIMIT = 20.0  # CPU seconds of training at one learning rate, validation included
EVERY = 50  # steps between two looks at the validation rows, or an epoch if shorter
VALID = 2_000  # validation rows, at most
CHUNK = 2_000  # rows evaluated at a time


class Contender(Protocol):
    """A conditional density estimator that learns by steps."""

    num_parameters: int

    def reset(self, rate: float) -> None:
        """Back to the initial weights, with a new Adam of this learning rate."""

    def step(self, x: np.ndarray, c: np.ndarray) -> None:
        """One step of the optimizer on a batch."""

    def log_prob(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log p(x | c) in nats, ``[B]``."""

    def codes(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Codes, standard normal if the density is right, ``[B, D]``."""

    def state(self) -> Any:
        """A copy of the weights."""

    def restore(self, state: Any) -> None:
        """Sets the weights."""


def make(name: str, table: Table, seed: int) -> Contender:
    """A contender by name.

    Raises:
        ImportError: where its packages are not installed.
    """
    if name == "tfcnf":
        from benchmarks.table_tfcnf import TfcnfContender

        return TfcnfContender(table.train, seed)
    dims, conditions = table.train.x.shape[1], table.train.c.shape[1]
    from benchmarks.table_zuko import ZukoContender

    return ZukoContender(name, dims, conditions, seed)


def in_chunks(function: Any, rows: Rows) -> np.ndarray:
    """A function of x and c over all rows, some at a time."""
    starts = range(0, len(rows.x), CHUNK)
    parts = [function(rows.x[i : i + CHUNK], rows.c[i : i + CHUNK]) for i in starts]
    return np.concatenate(parts)


def nll(contender: Contender, rows: Rows) -> float:
    """Mean negative log-likelihood of standardised rows, nats."""
    return -float(np.mean(in_chunks(contender.log_prob, rows), dtype=np.float64))


def fit(contender: Contender, table: Table, seed: int, rate: float) -> dict[str, Any]:
    """Trains until the validation rows get no better, or the budget is spent.

    Returns:
        ``valid_nll`` of the best weights, which the contender then has; ``curve``, CPU
        seconds and validation NLL of each look that was the best so far; ``seconds``
        of CPU; ``steps``; ``cut``, true where the time ended the training.
    """
    size = min(BATCH, len(table.train.x))
    batches = _batches(table.train, size, seed)
    valid = Rows(table.valid.x[:VALID], table.valid.c[:VALID])
    contender.step(*next(batches))  # traced or compiled
    nll(contender, valid)
    contender.reset(rate)
    begin = time.process_time()
    curve: list[list[float]] = []
    best, kept, waited, steps, seconds = np.inf, None, 0, 0, 0.0
    every = min(EVERY, len(table.train.x) // size)
    patience = max(PATIENCE, LEAST // every)
    while steps < STEPS and waited < patience and seconds < LIMIT:
        contender.step(*next(batches))
        steps += 1
        seconds = time.process_time() - begin
        if steps % every == 0 or seconds >= LIMIT:
            found = nll(contender, valid)
            seconds, waited = time.process_time() - begin, waited + 1
            if found < best:
                best, kept, waited = found, contender.state(), 0
                curve.append([round(seconds, 2), found - table.log_scale])
    if kept is not None:
        contender.restore(kept)
    answer = {"rate": rate, "valid_nll": best - table.log_scale, "curve": curve}
    return answer | {"seconds": seconds, "steps": steps, "cut": seconds >= LIMIT}


def _batches(rows: Rows, size: int, seed: int) -> Iterator[Rows]:
    """Batches of one shuffled epoch after another, for ever."""
    rng = np.random.default_rng([seed, 2])
    while True:
        order = rng.permutation(len(rows.x))
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            yield Rows(rows.x[chosen], rows.c[chosen])


def tune(
    contender: Contender, table: Table, seed: int, rates: Sequence[float]
) -> dict[str, Any]:
    """The fit at the rate that the validation rows prefer, with its test measures."""
    fits, states = [], []
    for rate in rates:
        fits.append(fit(contender, table, seed, rate))
        states.append(contender.state())
    best = int(np.argmin([one["valid_nll"] for one in fits]))
    contender.restore(states[best])
    spent = sum(one["seconds"] for one in fits)
    return fits[best] | {
        "tried": {str(one["rate"]): one["valid_nll"] for one in fits},
        "start": time.process_time() - spent,  # imports, tracing
        "parameters": contender.num_parameters,
        "test_nll": nll(contender, table.test) - table.log_scale,
        "coverage": coverage(in_chunks(contender.codes, table.test)),
    }


def coverage(codes: np.ndarray) -> dict[str, float]:
    """Coverage by codes ``[n, D]`` with the spread of chance, and their width."""
    squares = np.square(codes, dtype=np.float64).sum(1)
    width, p_value = width_test(codes)
    found = dict(coverage_measures(levels_of(squares, codes.shape[1])))
    return found | {"width": width, "width/p_value": p_value}


def gaussian(table: Table) -> dict[str, Any]:
    """The linear Gaussian N(x; A c + b, S) by least squares, in closed form."""

    def design(rows: Rows) -> np.ndarray:
        return np.column_stack([rows.c, np.ones(len(rows.c))]).astype(np.float64)

    begin = time.process_time()
    weights, *_ = np.linalg.lstsq(design(table.train), table.train.x, rcond=None)
    gap = table.train.x - design(table.train) @ weights
    root = np.linalg.cholesky(gap.T @ gap / len(gap))
    seconds = time.process_time() - begin
    constant = np.log(np.diag(root)).sum() + 0.5 * len(root) * np.log(2 * np.pi)
    codes = [
        np.linalg.solve(root, (rows.x - design(rows) @ weights).T).T
        for rows in (table.valid, table.test)
    ]
    valid, test = (0.5 * np.square(z).sum(1).mean() + constant for z in codes)
    return {
        "valid_nll": float(valid) - table.log_scale,
        "test_nll": float(test) - table.log_scale,
        "seconds": seconds,
        "coverage": coverage(codes[1]),
    }


def main(name: str, table_name: str, seed: str, rates: str) -> None:
    """Fits and prints."""
    table = read(table_name, int(seed))
    if name == "gaussian":
        answer = gaussian(table)
    else:
        contender = make(name, table, int(seed))
        each = [float(rate) for rate in rates.split(",")]
        answer = tune(contender, table, int(seed), each)
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
