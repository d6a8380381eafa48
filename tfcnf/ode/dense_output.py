"""The accepted steps of a solve and the solution between them (dense output)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcnf.ode.control import Clock, Integrator, growing_array
from tfcnf.ode.status import SOLVED
from tfcnf.types import SolveStats, Tensor

# the quartic in x, from 0 to 1 within a step, that agrees with y0, y1, y_mid, dt * f0
# and dt * f1 (as in tfp.math.ode): a row each, of coefficients of x^4, x^3, x^2, x, 1
POLYNOMIAL = np.array(
    [
        [-8.0, 18.0, -11.0, 0.0, 1.0],
        [-8.0, 14.0, -5.0, 0.0, 0.0],
        [16.0, -32.0, 16.0, 0.0, 0.0],
        [-2.0, 5.0, -4.0, 1.0, 0.0],
        [2.0, -3.0, 1.0, 0.0, 0.0],
    ]
)


class Steps(NamedTuple):
    """The S accepted steps of a solve.

    Attributes:
        s: times since the start, ``[S + 1]``.
        y: states at these times, ``[S + 1, B, D]``.
        f: their derivatives with respect to s.
        mid: states in the middle of each step, ``[S, B, D]``.
    """

    s: Tensor
    y: Tensor
    f: Tensor
    mid: Tensor


class GridIntegrator(Integrator):
    """An integrator that keeps its steps for a dense output.

    It steps freely, landing on the last time alone.
    """

    def steps(
        self,
        step: Callable[..., Any],
        dynamics: Callable[[Tensor, Tensor], Tensor],
        end: Tensor,
        y: Tensor,
    ) -> tuple[Steps, SolveStats]:
        """Solve dy/ds = f(s, y) from s = 0 to ``end``.

        Args:
            step: ``(s, dt, y, f) -> (y1, f1, mid, error)``.
            dynamics: ``(s, y) -> f``.
            end: last time, positive.
            y: state at s = 0, ``[B, D]``.
        """
        zero = tf.zeros([], y.dtype)
        f = dynamics(zero, y)
        first = self._first_step(
            lambda s, state: (dynamics(s, *state),), (y,), (f,), end
        )
        kept = [growing_array(x, 1).write(0, x) for x in (zero, y, f)]
        kept.append(growing_array(y, 1))

        def attempt(clock: Clock, y: Tensor, f: Tensor, kept: list[Any]) -> Any:
            at = clock.accepted  # a rejected step is overwritten by the next
            dt, lands = self._step_size(clock, end)
            y1, f1, mid, error = step(clock.s, dt, y, f)
            ratio = self._ratio((y,), (y1,), (error,))
            accept, clock = self._judge(clock, end, dt=dt, lands=lands, ratio=ratio)
            y, f = tf.where(accept, y1, y), tf.where(accept, f1, f)
            written = [(at + 1, clock.s), (at + 1, y), (at + 1, f), (at, mid)]
            kept = [a.write(*w) for a, w in zip(kept, written, strict=True)]
            return clock, y, f, kept

        clock, last, _, kept = tf.while_loop(
            lambda clock, *_: (clock.s < end) & tf.equal(clock.status, SOLVED),
            attempt,
            [Clock.start(first), y, f, kept],
            parallel_iterations=1,
        )
        count = tf.maximum(clock.accepted, 1)  # a failed first step is there too
        sizes = (count + 1, count + 1, count + 1, count)
        steps = Steps(
            *(a.gather(tf.range(size)) for a, size in zip(kept, sizes, strict=True))
        )
        return steps, clock.stats(self.solver.begun, self.tableau.evaluations, last)


def interpolate(steps: Steps, s: Tensor) -> Tensor:
    """The solution at times s, ``[T]`` or ``[B, T]``, as ``[B, T, ...]``.

    It is linear in the kept states; the weights are a matrix times x steps, which is
    multiplied with all states at once.
    """
    count, dtype = tf.shape(steps.mid)[0], steps.y.dtype
    k = tf.searchsorted(steps.s, tf.reshape(s, [-1]), side="right") - 1
    k = tf.reshape(tf.clip_by_value(k, 0, count - 1), tf.shape(s))
    dt = tf.gather(steps.s, k + 1) - tf.gather(steps.s, k)
    x = (s - tf.gather(steps.s, k)) / dt
    powers = tf.stack([x**4, x**3, x**2, x, tf.ones_like(x)], -1)
    weights = tf.matmul(powers, tf.constant(POLYNOMIAL, dtype), transpose_b=True)
    y0, y1, mid, f0, f1 = tf.unstack(weights[..., None, :], axis=-1)
    here = tf.one_hot(k, count + 1, dtype=dtype)
    there = tf.one_hot(k + 1, count + 1, dtype=dtype)
    event = steps.y.shape[2:]
    y, f, middle = (
        tf.reshape(part, [tf.shape(part)[0], tf.shape(part)[1], math.prod(event)])
        for part in (steps.y, steps.f, steps.mid)
    )
    pairs = [
        (y0 * here + y1 * there, y),
        (dt[..., None] * (f0 * here + f1 * there), f),
        ((mid * here)[..., :-1], middle),
    ]
    equation = "ts,sbd->btd" if len(s.shape) == 1 else "bts,sbd->btd"
    flat = tf.add_n([tf.einsum(equation, matrix, part) for matrix, part in pairs])
    return tf.reshape(flat, [tf.shape(flat)[0], tf.shape(s)[-1], *event])
