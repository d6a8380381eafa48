"""Numbers that vanish where a flow is the ODE that it is told to be (Ott et al. 2021).

A flow is a density because its code is the exact solution of an ODE. With a solver that
is too coarse it is some other map: then the likelihood depends on the solver, decoding
does not undo encoding, the "density" has another mass than 1, and ways may cross.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.data.source import DataSource
from tfcnf.data.table_source import TableSource
from tfcnf.evaluation.solves import Solved, Solves, another_method, interpolates
from tfcnf.precision import tighter
from tfcnf.types import Tensor

TIMES = np.linspace(0.0, 1.0, 9)  # of positions on the way
Number = tuple[float, float]  # with its standard error


class Certifier:
    """The numbers of a flow at tolerances ``[N]``, each solve made once.

    Args:
        solves: passes of a batch.
        data: the data that the batch is of.
        tols: all tolerances that will be asked for.
        pairs: neighbours to follow, at most.
    """

    def __init__(
        self, solves: Solves, data: DataSource, tols: Sequence[np.ndarray], pairs: int
    ):
        self.solves, self.model = solves, solves.model
        self.kept: dict[Any, Any] = {}
        # bits/dim, of tables nats
        self.unit = 1.0
        if not isinstance(data, TableSource):
            self.unit = 1 / (self.model.num_dims * math.log(2))
        is_known = self.model.prior.has_marginal and solves.split.context is None
        self.box = data.density if is_known else None
        self.tightest = tighter(np.min(tols, 0), solves.dtype.name)
        self.samples: Any = None
        if self.box is None:
            self.samples = solves.sampled(self.tightest)
        followed = pairs if interpolates(self.model.flow) else 0
        self.pairs: np.ndarray = nearest_pairs(solves.line.numpy(), followed)
        with another_method(self.model.flow):
            self.other = Solves(self.model, solves.split)

    def numbers(self, tol: np.ndarray) -> dict[str, float]:
        """All numbers at a tolerance, with ``_se`` behind a name its standard error."""
        here, tight = self._solved(tol), self._reference(tol)
        with another_method(self.model.flow):
            other = self.other.solve(tol)
        found = {
            "change": self._change(here, tight),
            "method_change": self._change(here, other),
            "inversion": mean_of(self.solves.inversion(here.z, tol)),
            "mass_error": self._mass_error(tol),
        }
        if len(here.wrong):
            found["error_change"] = distance(here.wrong - tight.wrong)
            found["method_error_change"] = distance(here.wrong - other.wrong)
        if len(self.pairs):
            near, known = self._approach(tol), self._approach(self.tightest)
            found["approach"] = mean_of(near)
            found["approach_change"] = mean_of(np.abs(near - known))
        values = {name: number[0] for name, number in found.items()}
        errors = {f"{name}_se": number[1] for name, number in found.items()}
        known_ones = {"tolerance": float(np.max(tol)), "evaluations": here.nfe}
        return known_ones | values | errors

    def _solved(self, tol: np.ndarray) -> Solved:
        key = ("solve", *tol)
        if key not in self.kept:
            self.kept[key] = self.solves.solve(tol)
        return self.kept[key]

    def _reference(self, tol: np.ndarray) -> Solved:
        """At a tolerance at least 100 times tighter that takes more evaluations.

        Where both took the same steps the comparison would tell nothing (Ott et al.,
        Algorithm 3).
        """
        here = self._solved(tol)
        while True:
            tight = tighter(tol, self.solves.dtype.name)
            found = self._solved(tight)
            if found.nfe > here.nfe or np.array_equal(tight, tol):
                return found
            tol = tight

    def _change(self, here: Solved, other: Solved) -> Number:
        return distance(self.unit * (here.log_prob - other.log_prob))

    def _mass_error(self, tol: np.ndarray) -> Number:
        if self.box is not None:
            area, error = self.solves.area(self.box, tol)
            return abs(area - 1), error
        samples, log_q = self.samples
        return distance(self.solves.weights(samples, log_q, tol) - 1)

    def _approach(self, tol: np.ndarray) -> np.ndarray:
        key = ("approach", *tol)
        if key not in self.kept:
            self.kept[key] = closest_approach(self._ways(tol))
        return self.kept[key]

    def _ways(self, tol: np.ndarray) -> Tensor:
        """Positions of both of each pair, ``[pairs, 2, T, D]``, in one field."""
        split, (count, _) = self.solves.split, self.pairs.shape
        context = split.context
        if context is not None:
            context = context[np.repeat(self.pairs[:, 0], 2)]
        way = self.model.trajectory(
            split.x[self.pairs.ravel()], TIMES, tol=tf.constant(tol), context=context
        )
        return tf.reshape(way, [count, 2, len(TIMES), -1])


def distance(differences: np.ndarray) -> Number:
    """|mean| of differences ``[n]``, and the standard error of the mean."""
    value, error = mean_of(differences)
    return abs(value), error


def mean_of(values: np.ndarray) -> Number:
    """The mean of values ``[n]`` and its standard error."""
    values = np.asarray(values, np.float64)
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def nearest_pairs(x: np.ndarray, most: int) -> np.ndarray:
    """Examples ``[n, ...]`` and the nearest other one that is not equal, ``[m, 2]``.

    Args:
        x: the examples.
        most: pairs to give at most, those of the first examples.
    """
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    gaps: np.ndarray = np.linalg.norm(flat[:most, None] - flat[None], axis=-1)
    gaps[gaps == 0] = np.inf
    first = np.flatnonzero(np.isfinite(gaps.min(1, initial=np.inf)))
    return np.stack([first, gaps[first].argmin(1)], 1)


def closest_approach(ways: np.ndarray) -> np.ndarray:
    """Smallest distance of each pair on its way, in units of the first, ``[m]``.

    Args:
        ways: positions ``[m, 2, T, D]``.
    """
    ways = np.asarray(ways, np.float64)
    gaps: np.ndarray = np.linalg.norm(ways[:, 0] - ways[:, 1], axis=-1)
    return gaps.min(1) / np.maximum(gaps[:, 0], np.finfo(np.float64).tiny)
