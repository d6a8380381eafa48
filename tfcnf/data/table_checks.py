"""Tables whose columns have no density: constant, repeated, or functions of others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

RESIDUAL = 1e-6  # deviation, of a column of unit size, that others leave unexplained
ENOUGH = 20  # rows from which on equal ranks are no accident


def check_density(
    x: Mapping[str, np.ndarray], context: Mapping[str, np.ndarray]
) -> None:
    """Refuses columns that others, or the condition, determine.

    A constant column, a column that is a linear function of others, a product of powers
    of others or a monotonic function of another has no density beside them.

    Args:
        x: columns of real numbers to model, float64 ``[n]``, by name.
        context: columns of the condition.

    Raises:
        ValueError: naming the column and those that determine it.
    """
    for name, values in x.items():
        if not np.ptp(values) > 0:
            raise ValueError(
                f"column {name!r} is constant, so that it has no density; leave it "
                f"out. Received: {name}={values[0]}"
            )
    known = {k: v for k, v in context.items() if np.ptp(v) > 0}
    _check_ranks(x, known)
    _check_linear(x, known, "a linear function")
    logs = {
        name: {k: np.log(v) for k, v in part.items() if v.min() > 0}
        for name, part in (("x", x), ("context", known))
    }
    _check_linear(logs["x"], logs["context"], "a product of powers")


def _check_ranks(
    x: Mapping[str, np.ndarray], context: Mapping[str, np.ndarray]
) -> None:
    ranks = {name: _ranks(values) for name, values in {**context, **x}.items()}
    for first, second in itertools.combinations(ranks, 2):
        a, b = ranks[first], ranks[second]
        different = second in x and len(a) >= ENOUGH and len(np.unique(a)) >= ENOUGH
        if different and (np.array_equal(a, b) or np.array_equal(a, b.max() - b)):
            raise ValueError(
                f"column {second!r} is a function of {first!r}, so that it has no "
                f"density beside it; leave one out. Received: x with {second!r}"
            )


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _check_linear(
    x: Mapping[str, np.ndarray], context: Mapping[str, np.ndarray], what: str
) -> None:
    names = [*context, *x]
    count = len(next(iter(x.values()), ()))
    if count <= len(names) + 1:  # so few rows fit exactly
        return
    columns = [np.ones(count)]
    for name in names:
        values = context[name] if name in context else x[name]
        unit = (values - values.mean()) / (values.std() or 1.0)
        basis = np.stack(columns, 1)
        weights = np.linalg.lstsq(basis, unit, rcond=None)[0]
        left = unit - basis @ weights
        if name in x and left.std() < RESIDUAL:
            others = ["1", *names]
            used = [others[i] for i in np.flatnonzero(np.abs(weights) > 1e-6) if i]
            raise ValueError(
                f"column {name!r} is {what} of {', '.join(used)}, so that it has no "
                f"density beside them; leave one out. Received: x with {name!r}"
            )
        columns.append(unit)
