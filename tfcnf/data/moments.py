"""Mean and covariance of a table's numbers of unit size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcnf.data.columns import Column

ENOUGH = 10  # rows for each number, so that a covariance is close to the true one


def moments(
    columns: Sequence[Column],
    x: np.ndarray,
    conditions: Sequence[Column],
    context: np.ndarray | None,
) -> dict[str, list[Any]] | None:
    """Moments of the condition's and then the columns' numbers, as a model has them.

    Args:
        columns: of the examples, with their units.
        x: training examples ``[n, D]``.
        conditions: columns of the context, with their units.
        context: their values ``[n, C]``, or None.

    Returns:
        ``mean`` and ``covariance``, see `tfcnf.flows.whitening.Whitening`; None where
        there are less than `ENOUGH` rows for each number.
    """
    given = [] if context is None else list(zip(conditions, context.T, strict=True))
    real = [pair for pair in given if pair[0].kind != "category"]
    named = [pair for pair in given if pair[0].kind == "category"]
    parts = [_unit(column, values) for column, values in real]
    parts += [_one_hot(column, values) for column, values in named]
    parts += [_unit(*pair) for pair in zip(columns, x.T, strict=True)]
    joint = np.concatenate([part.mean(2) for part in parts], 1)
    if len(joint) < ENOUGH * joint.shape[1]:
        return None
    # the noise of integers is independent of all else
    noise = np.concatenate([part.var(2).mean(0) for part in parts])
    gap = joint - joint.mean(0)
    covariance = gap.T @ gap / len(gap) + np.diag(noise)
    return {"mean": joint.mean(0).tolist(), "covariance": covariance.tolist()}


def _unit(column: Column, values: np.ndarray) -> np.ndarray:
    """Numbers of unit size, ``[n, 1, P]`` with P points of an integer's interval."""
    line = column.stretch(values).reshape([len(values), 1, -1])
    return (line - column.mean) / column.scale


def _one_hot(column: Column, values: np.ndarray) -> np.ndarray:
    return np.eye(len(column.names))[values.astype(int)][:, :, None]
