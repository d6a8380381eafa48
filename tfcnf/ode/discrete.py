"""Gradients of the discrete solution: the accepted steps differentiated exactly.

The step sizes count as constants. Unlike the adjoint method there is no backward solve
and so no backward error, and memory grows with the number of steps:

* ``checkpoint`` keeps the state at each accepted step and computes its stages again.
* ``store`` keeps the stages' activations too and computes nothing again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.ode.runge_kutta import advance, back_along, pull_back
from tfcnf.ode.solver import DormandPrince, Trail
from tfcnf.types import Tensor

STAGES = 6  # of a step, without the one that only its error estimate needs


def backward(
    ode_fn: Callable[..., Any],
    theta: Sequence[Tensor],
    start: float,
    end: float,
    trail: Trail,
    adjoint: Any,
) -> tuple[Any, Tensor, list[Tensor]]:
    """Takes an adjoint back along the accepted steps, one after another.

    Args:
        ode_fn: ``(theta, t, y) -> dy``.
        theta: parameters.
        start: time at the start of the solve.
        end: time at its end.
        trail: the accepted steps.
        adjoint: gradient with respect to the state at the end.

    Returns:
        Gradient with respect to the state at the start, evaluations, and gradients
        with respect to theta.
    """
    sign = 1.0 if end >= start else -1.0

    def step(s: Tensor, dt: Tensor, y: Any, theta: Sequence[Tensor]) -> Any:
        stage, t = functools.partial(ode_fn, theta), start + sign * s
        return advance(stage, t, sign * dt, y, stage(t, y))[0]

    @tf.function(autograph=False)
    def step_back(
        theta: Sequence[Tensor], s: Tensor, dt: Tensor, y: Any, adjoint: Any
    ) -> tuple[Any, list[Tensor]]:
        return pull_back(functools.partial(step, s, dt), [y, theta], adjoint)

    def take_back(i: Tensor, adjoint: Any) -> tuple[Any, list[Tensor]]:
        y = tuple(x[i] for x in trail.y)
        return step_back(theta, trail.s[i], trail.dt[i], y, adjoint)

    count = tf.shape(trail.s)[0]
    adjoint, total = back_along(count, take_back, adjoint, theta)
    return adjoint, STAGES * count, total


class DifferentiableDormandPrince(DormandPrince):
    """`DormandPrince` whose loop TensorFlow differentiates, activations kept.

    Step sizes are constants of the gradient, and no gradient enters a rejected step,
    whose activations may not be finite.
    """

    def bind(self, ode_fn: Callable[..., Any], theta: Sequence[Tensor]) -> Any:
        """``(t, y) -> dy`` for `integrate` from ``(theta, t, y) -> dy``."""
        self._theta = self._gated_theta = list(theta)
        return lambda t, y: ode_fn(self._gated_theta, t, y)

    def _step(self, ode_fn: Callable[..., Any], p: Any, dt: Tensor) -> Any:
        verdict: list[Tensor] = []
        self._verdict = verdict

        @tf.custom_gradient
        def gate(*x: Tensor) -> Any:
            def gradient(*dx: Tensor) -> list[Tensor]:
                return [tf.where(verdict[0], d, tf.zeros_like(d)) for d in dx]

            return [tf.identity(v) for v in x], gradient

        y, f = tuple(gate(*p.y)), tuple(gate(*p.f))
        self._gated_theta = gate(*self._theta)
        clock = p.clock._replace(s=tf.stop_gradient(p.clock.s))
        step = super()._step(
            ode_fn, p._replace(clock=clock, y=y, f=f), tf.stop_gradient(dt)
        )
        self._gated_theta = self._theta
        return step

    def _judge(self, *args: Any) -> tuple[Tensor, Any]:
        accept, clock = super()._judge(*args)
        self._verdict.append(accept)
        return accept, clock

    def _ratio(self, *args: Any) -> Tensor:
        return super()._ratio(*tf.nest.map_structure(tf.stop_gradient, args))

    def _first_step(self, ode_fn: Any, y: Any, f: Any, end: Tensor) -> Tensor:
        y, f = tf.nest.map_structure(tf.stop_gradient, (y, f))
        return tf.stop_gradient(super()._first_step(ode_fn, y, f, end))
