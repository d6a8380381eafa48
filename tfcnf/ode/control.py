"""The control around Runge-Kutta steps: error norm, first step, landing, bounds.

TensorFlow Probability takes the steps. What differs from its solver: the error ratio is
the root mean square of err / tol (it squares twice), the first step is chosen
automatically, the last step lands on the end time, components can be left out of the
error test, and every evaluation is counted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf
from tensorflow_probability.python.math.ode import runge_kutta_util

from tfcnf.ode.quadrature import (
    Quadrature,
    Time,
    accumulate,
    directed,
    duration,
    stage_of,
)
from tfcnf.ode.status import SOLVED, STEP_LIMIT, UNDERFLOW
from tfcnf.types import SolveStats, Tensor

if TYPE_CHECKING:
    from tfcnf.ode.solver import RungeKutta

SAFETY, SHRINK, GROW, WHOLE = 0.9, 0.2, 10.0, 0.03


class Solution(NamedTuple):
    """The result of a solve.

    Attributes:
        y: state at the end; NaN where the solve failed.
        total: the quadrature at the end.
        stats: `SolveStats`.
        step: the step size that its last accepted error would have allowed.
        trail: `Trail` of the accepted steps where it was asked for, or None.
    """

    y: Any
    total: Any
    stats: SolveStats
    step: Tensor
    trail: Any


class Trail(NamedTuple):
    """The S accepted steps of a solve: times since the start, sizes ``[S]``, states."""

    s: Tensor
    dt: Tensor
    y: Any


class Clock(NamedTuple):
    """Position of a solve in time.

    Attributes:
        s: time since the start.
        dt: next step size.
        step: the size that the last accepted step's error would have allowed.
        ratio: error ratio of the last accepted step.
        accepted: steps.
        rejected: steps.
        status: SOLVED until something fails.
    """

    s: Tensor
    dt: Tensor
    step: Tensor
    ratio: Tensor
    accepted: Tensor
    rejected: Tensor
    status: Tensor

    @classmethod
    def start(cls, dt: Tensor) -> Clock:
        """The clock of a solve that begins with a step dt."""
        zero, one = tf.zeros_like(dt), tf.ones_like(dt)
        return cls(zero, dt, dt, one, *[tf.zeros_like(dt, tf.int32)] * 3)

    def stats(self, begun: int, each: int, y: Tensor) -> SolveStats:
        """The cost of the solve, and where it stands.

        Args:
            begun: evaluations before the first step.
            each: evaluations of a step.
            y: the state.
        """
        return SolveStats(
            nfe=begun + each * (self.accepted + self.rejected),
            num_accepted=self.accepted,
            num_rejected=self.rejected,
            status=self.status,
            dt=self.dt,
            low=tf.reduce_min(y),
            high=tf.reduce_max(y),
        )


class _Progress(NamedTuple):
    """The variables of a solve's loop."""

    clock: Clock
    y: Any  # state
    f: Any  # its derivative
    q: Any  # integrand of the quadrature
    total: Any  # quadrature so far
    trail: Any  # TensorArrays of a `Trail`, or []


class Integrator:
    """A Runge-Kutta solver that works to a tolerance.

    A step is accepted when, for each tensor of the state or, by ``norm="joint"``, over
    all of them, the root mean square of ``err / (tol + tol * |state|)`` is at most 1.
    The first step follows Hairer, Norsett and Wanner, Solving ODEs I, II.4, but is
    bolder. When less than two steps remain the remainder is split evenly, so the last
    step lands on the end time.

    Args:
        solver: the pair and its options.
        tol: scalar, absolute and relative tolerance; a tensor never retraces.

    Attributes:
        max_steps: bound on attempted steps; the solver's until it is set.
    """

    def __init__(self, solver: RungeKutta, tol: Tensor):
        self.solver, self.tableau, self.tol = solver, solver.tableau, tol
        self.max_steps: Any = solver.max_num_steps

    def integrate(
        self,
        ode_fn: Callable[[Tensor, Any], Any],
        initial_time: Time,
        final_time: Time,
        initial_state: Any,
        quadrature: Quadrature | None = None,
        first_step: Tensor | None = None,
        keep_trail: bool = False,
    ) -> Solution:
        """Solve dy/dt = f(t, y), and dq/dt = g(t, y) along with it.

        Args:
            ode_fn: ``(t, y) -> dy``.
            initial_time: start.
            final_time: end, before or after the start.
            initial_state: tuple of tensors of one dtype.
            quadrature: integral to take along.
            first_step: size of the first step, where something is known about it;
                saves the evaluation that the automatic choice takes.
            keep_trail: whether to return the accepted steps.
        """
        dtype = initial_state[0].dtype
        end = duration(initial_time, final_time, dtype)
        plain, full, initial_total = directed(
            ode_fn,
            quadrature,
            initial_time=initial_time,
            final_time=final_time,
            dtype=dtype,
        )
        f0, q0 = full(tf.zeros([], dtype), initial_state)
        dt = first_step
        if dt is None:
            dt = self._first_step(plain, initial_state, f0, end)
        trail = _empty_trail(initial_state) if keep_trail else []
        is_free = quadrature is not None and quadrature.is_free
        is_positive = quadrature is not None and quadrature.is_positive
        weights = self.tableau.positive if is_positive else self.tableau.b
        stage = functools.partial(
            stage_of, plain, full, weights=weights, is_free=is_free
        )
        attempt = functools.partial(self._attempt, stage, weights, end)
        progress = _Progress(
            Clock.start(dt), initial_state, f0, q0, initial_total, trail
        )
        (progress,) = tf.while_loop(
            lambda p: (p.clock.s < end) & tf.equal(p.clock.status, SOLVED),
            lambda p: [attempt(p)],
            [progress],
            parallel_iterations=1,
        )
        clock = progress.clock
        begun = self.solver.begun if first_step is None else 1
        stats = clock.stats(begun, self.tableau.evaluations, progress.y[0])
        failed = tf.not_equal(clock.status, SOLVED)
        nan = tf.constant(float("nan"), dtype)
        y = tf.nest.map_structure(lambda x: tf.where(failed, nan, x), progress.y)
        kept = _stack_trail(progress.trail, clock.accepted) if keep_trail else None
        return Solution(y, progress.total, stats, clock.step, kept)

    def _attempt(
        self,
        evaluate: Callable[..., Any],
        weights: Sequence[float],
        end: Tensor,
        p: _Progress,
    ) -> _Progress:
        """One step from p, accepted or not."""
        dt, lands = self._step_size(p.clock, end)
        integrands = [p.q]

        def stage(s: Tensor, y: Any) -> Any:
            index = len(integrands)
            dy, dq = evaluate(index=index, lands=lands, s=s, y=y, zero=p.q)
            integrands.append(dq)
            return dy

        y, f, err = self._step(stage, p, dt)
        accept, clock = self._judge(
            p.clock, end, dt=dt, lands=lands, ratio=self._ratio(p.y, y, err)
        )
        # a rejected step is overwritten by the next
        kept = zip(p.trail, (p.clock.s, dt, *p.y), strict=False)
        trail = [x.write(p.clock.accepted, value) for x, value in kept]
        taken = (
            y,
            f,
            integrands[-1],
            accumulate(p.total, dt, weights, integrands),
        )
        y, f, q, total = runge_kutta_util.nest_where(
            accept, taken, (p.y, p.f, p.q, p.total)
        )
        return _Progress(clock, y, f, q, total, trail)

    def _step(self, ode_fn: Callable[..., Any], p: _Progress, dt: Tensor) -> Any:
        """State and derivative after a step from p, and the error estimate."""
        return runge_kutta_util.runge_kutta_step(
            ode_fn, p.y, p.f, p.clock.s, dt, self.tableau.for_tfp
        )[:3]

    def _ratio(self, y0: Any, y1: Any, err: Any) -> Tensor:
        """The error of a step, 1 being the largest that is accepted."""
        scale = tf.nest.map_structure(
            lambda a, b: self.tol * (1.0 + tf.maximum(tf.abs(a), tf.abs(b))), y0, y1
        )
        return self._norm(err, scale)

    def _norm(self, x: Any, scale: Any) -> Tensor:
        """The size of x in units of the scale."""
        return NORMS[self.solver.norm](x, scale)

    def _step_size(self, clock: Clock, end: Tensor) -> tuple[Tensor, Tensor]:
        """The step size to try, and whether it lands on the end."""
        remaining = end - clock.s
        lands = clock.dt >= remaining
        return tf.where(lands, remaining, tf.minimum(clock.dt, remaining / 2)), lands

    def _judge(
        self, clock: Clock, end: Tensor, *, dt: Tensor, lands: Tensor, ratio: Tensor
    ) -> tuple[Tensor, Clock]:
        """Judges a step by its error ratio: accepted or not, and the clock after it."""
        accept = ratio <= 1.0
        now, before = self.solver.exponents
        factor = SAFETY * ratio**-now * clock.ratio**before
        factor = tf.clip_by_value(factor, SHRINK, GROW)
        next_dt = tf.where(tf.math.is_finite(ratio), dt * factor, dt * SHRINK)
        s = tf.where(accept, tf.where(lands, end, clock.s + dt), clock.s)
        accepted = clock.accepted + tf.cast(accept, tf.int32)
        rejected = clock.rejected + tf.cast(~accept, tf.int32)
        exhausted = (accepted + rejected >= self.max_steps) & (s < end)
        status = tf.where(exhausted, STEP_LIMIT, SOLVED)
        status = tf.where((s + next_dt > s) | (s >= end), status, UNDERFLOW)
        allowed = dt * tf.minimum(ratio**-self.tableau.exponent, GROW)
        step = tf.where(accept, allowed, clock.step)
        last = tf.where(accept, tf.maximum(ratio, 1e-4), clock.ratio)
        return accept, Clock(
            s=s,
            dt=next_dt,
            step=step,
            ratio=last,
            accepted=accepted,
            rejected=rejected,
            status=status,
        )

    def _first_step(
        self, ode_fn: Callable[..., Any], y: Any, f: Any, end: Tensor
    ) -> Tensor:
        """The first step to try, see `RungeKutta`.

        The whole interval is tried where Hairer's cautious guess reaches a small part
        of it (`WHOLE`), or where f vanishes: what a rejected first try costs is less
        than what a long first step saves on the smooth dynamics of flows.
        """
        scale = tf.nest.map_structure(lambda x: self.tol * (1.0 + tf.abs(x)), y)
        d0, d1 = self._norm(y, scale), self._norm(f, scale)
        if self.solver.first_step == "whole":
            return end + tf.zeros_like(d0)
        tiny = tf.constant(1e-6, end.dtype)
        h0 = tf.where(tf.minimum(d0, d1) < 1e-5, tiny, 0.01 * d0 / d1)
        h0 = tf.minimum(h0, end)
        y1 = tf.nest.map_structure(lambda x, dx: x + h0 * dx, y, f)
        f1 = ode_fn(h0, y1)
        d2 = self._norm(tf.nest.map_structure(tf.subtract, f1, f), scale) / h0
        largest = tf.maximum(d1, d2)
        step = tf.minimum(100.0 * h0, (0.01 / largest) ** self.tableau.exponent)
        return tf.where((largest < 1e-15) | (step > WHOLE * end), end, step)


def _empty_trail(y: Any) -> list[tf.TensorArray]:
    scalar = tf.zeros([], y[0].dtype)
    return [growing_array(x) for x in (scalar, scalar, *y)]


def growing_array(x: Tensor, size: int = 0) -> tf.TensorArray:
    """An array that tensors like x are written to, as many as there will be."""
    return tf.TensorArray(
        x.dtype,
        size=size,
        dynamic_size=True,
        clear_after_read=False,
        element_shape=x.shape,
    )


def _stack_trail(trail: list[tf.TensorArray], accepted: Tensor) -> Trail:
    s, dt, *y = (x.gather(tf.range(accepted)) for x in trail)
    return Trail(s, dt, tuple(y))


def max_rms(x: Any, scale: Any) -> Tensor:
    """Over the tensors of a structure, the largest root mean square of x / scale.

    It is 0 of tensors without entries: an empty batch is solved in one step.
    """
    pairs = zip(tf.nest.flatten(x), tf.nest.flatten(scale), strict=True)
    return tf.reduce_max(tf.stack([_rms(a / b) for a, b in pairs]))


def joint_rms(x: Any, scale: Any) -> Tensor:
    """Root mean square of x / scale over all numbers of all tensors; 0 without any."""
    pairs = zip(tf.nest.flatten(x), tf.nest.flatten(scale), strict=True)
    return _rms(tf.concat([tf.reshape(a / b, [-1]) for a, b in pairs], 0))


def _rms(x: Tensor) -> Tensor:
    return tf.where(tf.size(x) > 0, tf.sqrt(tf.reduce_mean(tf.square(x))), 0)


NORMS = {"largest": max_rms, "joint": joint_rms}
