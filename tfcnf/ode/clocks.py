"""Step control for each example by itself: clocks of whole batches.

The control is that of `tfcnf.ode.control`. Its times, step sizes and errors are tensors
``[B, 1, ...]`` of the state's rank. The examples that have not arrived are gathered for
each attempt, in whole groups of `GROUP` rows; those that have cost nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.ode.control import Clock, Integrator
from tfcnf.ode.runge_kutta import advance, increment
from tfcnf.ode.status import SOLVED, STEP_LIMIT
from tfcnf.types import Tensor

GROUP = 8


class _Progress(NamedTuple):
    """The variables of the loop, a row for each example."""

    clock: Clock
    y: tuple[Tensor, Tensor]
    f: tuple[Tensor, Tensor]


class EachIntegrator(Integrator):
    """An integrator with a clock ``[B, 1, ...]``, of states of the same rank."""

    def _norm(self, x: Any, scale: Any) -> Tensor:
        """The norm of each example by itself, ``[B, 1, ...]``."""
        ratios = [a / b for a, b in zip(x, scale, strict=True)]
        means = [
            tf.reduce_mean(tf.square(r), range(1, len(r.shape)), keepdims=True)
            for r in ratios
        ]
        if self.solver.norm == "joint":
            sizes = [math.prod(r.shape[1:]) for r in ratios]
            parts = [m * n for m, n in zip(means, sizes, strict=True)]
            return tf.sqrt(tf.add_n(parts) / sum(sizes))
        return tf.reduce_max(tf.stack([tf.sqrt(mean) for mean in means]), 0)

    def solve(
        self,
        ode_fn: Callable[[Tensor, Tensor, Any], Any],
        end: Tensor,
        y: Any,
        count: Tensor,
        max_attempts: Tensor,
    ) -> tuple[Any, Clock]:
        """The states at the end and the clocks, from states at time 0.

        Args:
            ode_fn: ``(rows, s, y) -> dy/ds``; ``rows`` are the examples of y.
            end: time of the end, positive.
            y: ``(z, log_det)``, whole groups of rows of one rank.
            count: of the rows that are solved; the others are padding.
            max_attempts: bound on the attempted steps of all rows together.
        """
        everyone = tf.range(tf.shape(y[0])[0])
        f = ode_fn(everyone, tf.zeros_like(y[1]), y)
        plain = functools.partial(ode_fn, everyone)
        clock = Clock.start(self._first_step(plain, y, f, end))
        solved = tf.reshape(everyone < count, tf.shape(y[1]))
        clock = clock._replace(s=tf.where(solved, clock.s, end))

        def running(p: _Progress) -> Tensor:
            return (p.clock.s < end) & tf.equal(p.clock.status, SOLVED)

        def attempt(p: _Progress, attempts: Tensor) -> tuple[_Progress, Tensor]:
            rows = tf.cast(tf.where(tf.reshape(running(p), [-1]))[:, 0], tf.int32)
            number = tf.size(rows)
            places = tf.minimum(tf.range(number + missing(number)), number - 1)
            taken = tf.gather(rows, places)
            part = take(p, taken)
            part = self._advance(functools.partial(ode_fn, taken), end, part)
            return _put(p, rows, part), attempts + tf.cast(number, tf.int64)

        p, _ = tf.while_loop(
            lambda p, attempts: tf.reduce_any(running(p)) & (attempts < max_attempts),
            attempt,
            [_Progress(clock, y, f), tf.zeros([], tf.int64)],
            parallel_iterations=1,
        )
        status = tf.where(running(p), STEP_LIMIT, p.clock.status)
        return p.y, p.clock._replace(status=status)

    def _advance(
        self, ode_fn: Callable[[Tensor, Any], Any], end: Tensor, p: _Progress
    ) -> _Progress:
        """One step of each example, accepted or not."""
        dt, lands = self._step_size(p.clock, end)
        s = p.clock.s
        y, stages = advance(self.tableau, ode_fn, t=s, dt=dt, y=p.y, f=p.f)
        f = ode_fn(s + dt, y)
        error = increment(dt, self.tableau.error, [*stages, f])
        ratio = self._ratio(p.y, y, error)
        accept, clock = self._judge(p.clock, end, dt=dt, lands=lands, ratio=ratio)
        y, f = tf.nest.map_structure(
            functools.partial(tf.where, accept), (y, f), (p.y, p.f)
        )
        return _Progress(clock, y, f)


def missing(count: Tensor) -> Tensor:
    """The number of rows that make whole groups, at least one, of ``count`` rows."""
    return tf.where(count > 0, -count % GROUP, GROUP)


def take(structure: Any, rows: Tensor) -> Any:
    """These rows of every tensor of a structure."""
    return tf.nest.map_structure(lambda x: tf.gather(x, rows), structure)


def _put(structure: Any, rows: Tensor, values: Any) -> Any:
    """The structure with the first of the values in these rows."""
    index, count = rows[:, None], tf.size(rows)
    return tf.nest.map_structure(
        lambda x, new: tf.tensor_scatter_nd_update(x, index, new[:count]),
        structure,
        values,
    )
