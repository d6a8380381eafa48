"""The coefficients of an embedded Runge-Kutta pair."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability.python.math.ode import runge_kutta_util

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Tableau:
    """An explicit pair of s stages, the last of them at the new state (FSAL).

    That stage is the first of the next step, so that a step takes s - 1 evaluations. A
    pair without this property gets it by one stage more: a row equal to the weights of
    the solution, and weight 0.

    ```python
    assert tfcnf.Bosh3.tableau.order == 3
    ```

    Args:
        order: of the solution.
        embedded_order: of the solution that it is compared with.
        c: time of each stage in the step, ``[s]``; the first 0, the last 1.
        a: weights of the earlier stages in each stage but the first, ``s - 1`` rows.
        b: weights of the solution, ``[s]``.
        error: weights of the error estimate, ``[s]``.
        mid: weights of the state in the middle of the step, ``[s]``, which makes the
            solution between two steps a quartic. Without them it is the cubic Hermite
            polynomial, of order 3.

    Raises:
        ValueError: for coefficients that do not fit each other.
    """

    order: int
    embedded_order: int
    c: Row
    a: tuple[Row, ...]
    b: Row
    error: Row
    mid: Row = ()

    def __post_init__(self) -> None:
        stages = len(self.b)
        mid = self.mid
        if not mid:  # (y0 + y1) / 2 + dt (f0 - f1) / 8
            slopes = [1 / 8, *[0.0] * (stages - 2), -1 / 8]
            mid = tuple(w / 2 + slope for w, slope in zip(self.b, slopes, strict=True))
        rows = {"c": self.c, "a": self.a, "b": self.b, "error": self.error, "mid": mid}
        for name, row in rows.items():
            # Python's floats would be cast through float32 by TFP
            object.__setattr__(self, name, tf.nest.map_structure(np.float64, row))
        triangle = [len(row) for row in self.a] == list(range(1, stages))
        sizes = {len(self.c), len(self.error), len(mid)} == {stages}
        if not triangle or not sizes:
            raise ValueError(
                "c, b, error and mid must have an entry for each stage, the rows of a "
                "1, 2, 3, ... entries. "
                f"Received: {stages} stages, a={self.a}"
            )
        sums = [0.0, *(sum(row) for row in self.a)]
        if not np.allclose(sums, self.c) or not np.isclose(sum(self.b), 1):
            raise ValueError(
                "each row of a must add up to c, and b to 1. "
                f"Received: c={self.c}, a={self.a}, b={self.b}"
            )
        if self.b != (*self.a[-1], 0.0):
            raise ValueError(
                "the last stage must be at the new state: its row of a must be b, and "
                "its own weight in b 0; add such a stage. "
                f"Received: a[-1]={self.a[-1]}, b={self.b}"
            )

    @functools.cached_property
    def positive(self) -> Row:
        """Weights of the stages, ``[s]``, none of them negative, for running costs.

        Those of the solution, unless one of them is negative, as in `Dopri5` and
        `Tsit5`: a positive cost can then come out negative, and a training that pays
        for it, with the gradient of the steps, makes it so. In their place are weights
        that fulfil the conditions of the highest order that they can have, and miss
        those of the higher ones, up to 4, by the smallest sum.
        """
        if min(self.b) >= 0:
            return self.b
        from scipy.optimize import linprog

        stages = self.evaluations
        a = np.zeros([stages, stages])
        for i, row in enumerate(self.a[:-1], 1):
            a[i, :i] = row
        c = np.asarray(self.c[:-1])
        # a sum for each rooted tree of at most four nodes, and what it must be
        trees = [c**0, c, c**2, a @ c, c**3, c * (a @ c), a @ c**2, a @ a @ c]
        sums = 1 / np.array([1, 2, 3, 6, 4, 8, 12, 24])
        for exact in (8, 4, 2):
            missed = np.eye(8)[:, exact:]
            found = linprog(
                [0.0] * stages + [1.0] * (2 * missed.shape[1]),
                A_eq=np.hstack([trees, missed, -missed]),
                b_eq=sums,
            )
            if found.success:
                break
        return (*found.x[:stages], np.float64(0.0))

    @property
    def evaluations(self) -> int:
        """Evaluations of a step after the first."""
        return len(self.b) - 1

    @property
    def exponent(self) -> float:
        """1/k, where the error estimate of a step falls with the step size to the k."""
        return 1 / (min(self.order, self.embedded_order) + 1)

    @property
    def for_tfp(self) -> runge_kutta_util.ButcherTableau:
        """The same, for the functions of TensorFlow Probability."""
        rows = [list(row) for row in self.a]
        last = (list(self.b), list(self.mid), list(self.error))
        return runge_kutta_util.ButcherTableau(list(self.c[1:]), rows, *last)
