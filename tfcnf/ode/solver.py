"""Dormand-Prince 5(4) on TFP's solver: error norm, first step, landing, bounds.

What differs from ``tfp.math.ode.DormandPrince``, whose tableau and Runge-Kutta step
are used: the error ratio is the root mean square of err / tol (TFP squares it
twice), the first step is chosen automatically, the last step lands on the end
time, components can be left out of the error test, and every evaluation is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.math.ode import runge_kutta_util
from tensorflow_probability.python.math.ode.dormand_prince import _TABLEAU

from tfcnf.types import SolveStats, Tensor

# TFP casts the Python floats of its tableau through float32, which limits solves in
# float64 to errors of 1e-8; NumPy's floats keep their precision
TABLEAU = tf.nest.map_structure(np.float64, _TABLEAU)
SOLVED, STEP_LIMIT, UNDERFLOW = 0, 1, 2
SAFETY, SHRINK, GROW, WHOLE = 0.9, 0.2, 10.0, 0.03


class SolverError(RuntimeError):
    """An ODE solve that did not reach its end time."""


class _Progress(NamedTuple):
    """Where a solve stands: the variables of its loop."""

    s: Tensor  # time since the start
    dt: Tensor  # next step size
    y: Any  # state
    f: Any  # its derivative
    q: Any  # integrand of the quadrature
    total: Any  # quadrature so far
    accepted: Tensor
    rejected: Tensor
    status: Tensor


class DormandPrince(tfp.math.ode.DormandPrince):
    """An adaptive solver for one interval.

    A step is accepted when, for each tensor of the state, the root mean square of
    ``err / (tol + tol * |state|)`` is at most 1. The first step follows Hairer,
    Norsett and Wanner, Solving ODEs I, II.4, more boldly. When less than two steps
    remain the remainder is split evenly, so the last step lands on the end time.

    Args:
        tol: scalar, absolute and relative tolerance; a tensor never retraces.
        max_num_steps: bound on attempted steps.
    """

    def __init__(self, tol: Tensor, max_num_steps: int = 1000):
        super().__init__(rtol=tol, atol=tol, max_num_steps=max_num_steps)
        self.tol = tol

    def integrate(
        self,
        ode_fn: Callable[[Tensor, Any], tuple[Any, Any]],
        initial_time: float,
        final_time: float,
        initial_state: Any,
    ) -> tuple[Any, Any, SolveStats]:
        """Solves dy/dt = f(t, y) and integrates dq/dt = g(t, y) along with it.

        Args:
            ode_fn: ``(t, y) -> (dy, dq)``. The quadrature ``q`` does not enter the
                right-hand side and takes no part in the error test; use ``()`` for
                none.
            initial_time: start.
            final_time: end, before or after the start.
            initial_state: tuple of tensors of one dtype.

        Returns:
            State at the end, integral of dq, and `SolveStats`. Where the status is
            not 0 the state is NaN, so that it cannot be mistaken for a solution.
        """
        dtype = initial_state[0].dtype
        start, span = tf.constant(initial_time, dtype), final_time - initial_time
        sign, span = (1.0, span) if span >= 0 else (-1.0, -span)
        end = tf.constant(span, dtype)

        def directed(s: Tensor, y: Any) -> tuple[Any, Any]:
            dy, dq = ode_fn(start + sign * s, y)
            return _scale(sign, dy), _scale(sign, dq)

        f0, q0 = directed(tf.zeros([], dtype), initial_state)
        progress = _Progress(
            s=tf.zeros([], dtype),
            dt=self._first_step(directed, initial_state, f0, end),
            y=initial_state,
            f=f0,
            q=q0,
            total=_scale(0.0, q0),
            accepted=tf.constant(0),
            rejected=tf.constant(0),
            status=tf.constant(SOLVED),
        )
        (progress,) = tf.while_loop(
            lambda p: (p.s < end) & (p.status == SOLVED),
            lambda p: [self._attempt(directed, end, p)],
            [progress],
            parallel_iterations=1,
        )
        nfe = 2 + self.ODE_FN_EVALS_PER_STEP * (progress.accepted + progress.rejected)
        stats = SolveStats(nfe, progress.accepted, progress.rejected, progress.status)
        failed = progress.status != SOLVED
        nan = tf.constant(float("nan"), dtype)
        y = tf.nest.map_structure(lambda x: tf.where(failed, nan, x), progress.y)
        return y, progress.total, stats

    def _attempt(
        self, ode_fn: Callable[..., tuple[Any, Any]], end: Tensor, p: _Progress
    ) -> _Progress:
        """One step from p, accepted or not."""
        remaining = end - p.s
        lands = p.dt >= remaining
        dt = tf.where(lands, remaining, tf.minimum(p.dt, remaining / 2))
        quadratures = [p.q]

        def stage(s: Tensor, y: Any) -> Any:
            dy, dq = ode_fn(s, y)
            quadratures.append(dq)
            return dy

        y, f, err, _ = runge_kutta_util.runge_kutta_step(
            stage, p.y, p.f, p.s, dt, TABLEAU
        )
        ratio = _error_ratio(p.y, y, err, self.tol)
        accept = ratio <= 1.0
        factor = tf.clip_by_value(SAFETY * ratio**-0.2, SHRINK, GROW)
        next_dt = tf.where(tf.math.is_finite(ratio), dt * factor, dt * SHRINK)
        taken = (
            tf.where(lands, end, p.s + dt),
            y,
            f,
            quadratures[-1],
            _accumulate(p.total, dt, quadratures),
        )
        s, y, f, q, total = runge_kutta_util.nest_where(
            accept, taken, (p.s, p.y, p.f, p.q, p.total)
        )
        accepted = p.accepted + tf.cast(accept, tf.int32)
        rejected = p.rejected + tf.cast(~accept, tf.int32)
        exhausted = (accepted + rejected >= self._max_num_steps) & (s < end)
        status = tf.where(exhausted, STEP_LIMIT, SOLVED)
        status = tf.where((s + next_dt > s) | (s >= end), status, UNDERFLOW)
        return _Progress(s, next_dt, y, f, q, total, accepted, rejected, status)

    def _first_step(
        self, ode_fn: Callable[..., Any], y: Any, f: Any, end: Tensor
    ) -> Tensor:
        """Hairer's automatic first step, or the whole interval; one evaluation.

        The whole interval is tried where Hairer's cautious guess reaches a small part
        of it (`WHOLE`), or where f vanishes: what a rejected first try costs is less
        than what a long first step saves on the smooth dynamics of flows.
        """
        scale = tf.nest.map_structure(lambda x: self.tol * (1.0 + tf.abs(x)), y)
        d0, d1 = _max_rms(y, scale), _max_rms(f, scale)
        tiny = tf.constant(1e-6, end.dtype)
        h0 = tf.where(tf.minimum(d0, d1) < 1e-5, tiny, 0.01 * d0 / d1)
        h0 = tf.minimum(h0, end)
        y1 = tf.nest.map_structure(lambda x, dx: x + h0 * dx, y, f)
        f1, _ = ode_fn(h0, y1)
        d2 = _max_rms(tf.nest.map_structure(tf.subtract, f1, f), scale) / h0
        largest = tf.maximum(d1, d2)
        step = tf.minimum(100.0 * h0, (0.01 / largest) ** 0.2)
        return tf.where((largest < 1e-15) | (step > WHOLE * end), end, step)


ADVICE = {
    STEP_LIMIT: "the step limit was reached before the end time: the dynamics are "
    "stiff or the tolerance too tight; try a larger `max_num_steps`, a larger `tol` or "
    "a smaller learning rate",
    UNDERFLOW: "the step size became too small to advance: the dynamics returned NaN "
    "or infinity, or blow up; look for bad inputs, or try a smaller learning rate or "
    "gradient clipping",
}


def check_solved(stats: SolveStats, name: str, tol: Tensor) -> None:
    """Raises where a solve failed, with what to do about it.

    Raises:
        tf.errors.InvalidArgumentError: with ``SolverError: ...`` in its message (an
            assertion of the graph; absent under XLA, where the solution is NaN).
    """
    for status, advice in ADVICE.items():
        message = f"SolverError: {name}: {advice}. Received: tol, evaluations ="
        tf.debugging.Assert(stats.status != status, [message, tol, stats.nfe])


def _error_ratio(y0: Any, y1: Any, err: Any, tol: Tensor) -> Tensor:
    scale = tf.nest.map_structure(
        lambda a, b: tol * (1.0 + tf.maximum(tf.abs(a), tf.abs(b))), y0, y1
    )
    return _max_rms(err, scale)


def _accumulate(total: Any, dt: Tensor, stages: list[Any]) -> Any:
    """The quadrature after a step, by the weights of the solution."""
    if not tf.nest.flatten(total):
        return total
    weights = [1.0, *(dt * c for c in TABLEAU.c_sol)]
    return runge_kutta_util.weighted_sum(weights, [total, *stages])


def _max_rms(x: Any, scale: Any) -> Tensor:
    """Over the tensors of a structure, the largest root mean square of x / scale."""
    norms = [
        tf.sqrt(tf.reduce_mean(tf.square(a / b)))
        for a, b in zip(tf.nest.flatten(x), tf.nest.flatten(scale), strict=True)
    ]
    return tf.reduce_max(tf.stack(norms))


def _scale(factor: float, structure: Any) -> Any:
    return tf.nest.map_structure(lambda x: factor * x, structure)
