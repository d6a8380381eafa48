"""Gradients of the discrete solution: the accepted steps differentiated exactly.

The step sizes count as constants. Unlike the adjoint method there is no backward solve
and so no backward error, and memory grows with the number of steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf

from tfcnf.ode.control import Integrator, Solution
from tfcnf.ode.gradient import CNFSolve, Gradient
from tfcnf.ode.runge_kutta import advance, back_along, moved, pull_back
from tfcnf.types import Tensor


@dataclass(frozen=True)
class Checkpoint(Gradient):
    """Keeps the state at each accepted step and computes its stages again.

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=8, gradient="checkpoint")
    ```
    """

    needs_steps: ClassVar[bool] = True
    keeps_trail: ClassVar[bool] = True

    def backward(
        self,
        solve: CNFSolve,
        theta: Sequence[Tensor],
        solution: Solution,
        adjoint: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Takes an adjoint back along the accepted steps, one after another."""
        trail, tableau = solution.trail, solve.solver.tableau
        sign = solve.direction

        def step(s: Tensor, dt: Tensor, y: Any, theta: Sequence[Tensor]) -> Any:
            stage, t = functools.partial(solve.ode_fn, theta), solve.start + sign * s
            after, stages = advance(
                tableau, stage, t=t, dt=sign * dt, y=y, f=stage(t, y)
            )
            if not solve.costs:
                return after
            rates = [k[2:] for k in stages]
            return *after[:2], *moved(y[2:], sign * dt, tableau.positive[:-1], rates)

        @tf.function(autograph=False)
        def step_back(
            theta: Sequence[Tensor], s: Tensor, dt: Tensor, y: Any, adjoint: Any
        ) -> tuple[Any, list[Tensor]]:
            return pull_back(functools.partial(step, s, dt), [y, theta], adjoint)

        def take_back(i: Tensor, adjoint: Any) -> tuple[Any, list[Tensor]]:
            y = (*(x[i] for x in trail.y), *solve.nothing(adjoint[0]))
            return step_back(theta, trail.s[i], trail.dt[i], y, adjoint)

        count = tf.shape(trail.s)[0]
        (dz, *_), total = back_along(count, take_back, adjoint, theta)
        # the last stage is for the error estimate and the next step alone
        return dz, tableau.evaluations * count, total


@dataclass(frozen=True)
class Store(Gradient):
    """Keeps the stages' activations too and computes nothing again.

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=8, gradient=tfcnf.Store())
    ```
    """

    needs_steps: ClassVar[bool] = True

    def run(
        self, solve: CNFSolve, z: Tensor, nfe_probe: Tensor, theta: Sequence[Tensor]
    ) -> tuple[Any, ...]:
        """As `Gradient.run`; TensorFlow differentiates the loop."""
        integrator = DifferentiableIntegrator(solve.solver, solve.tol)
        ode_fn = integrator.bind(solve.ode_fn, theta)
        solution = solve.integrate(integrator, ode_fn, z, is_discrete=True)
        z1, log_det = solution.y
        log_det += 0.0 * nfe_probe
        return z1, log_det, *solution.total, solution.stats


class DifferentiableIntegrator(Integrator):
    """An integrator whose loop TensorFlow differentiates, activations kept.

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
        step = super()._step(ode_fn, p._replace(clock=clock, y=y, f=f), dt)
        self._gated_theta = self._theta
        return step

    def _step_size(self, *args: Any) -> tuple[Tensor, Tensor]:
        dt, lands = super()._step_size(*args)
        return tf.stop_gradient(dt), lands

    def _judge(self, *args: Any, **options: Any) -> tuple[Tensor, Any]:
        accept, clock = super()._judge(*args, **options)
        self._verdict.append(accept)
        return accept, clock

    def _ratio(self, *args: Any) -> Tensor:
        return super()._ratio(*tf.nest.map_structure(tf.stop_gradient, args))

    def _first_step(self, ode_fn: Any, y: Any, f: Any, end: Tensor) -> Tensor:
        y, f = tf.nest.map_structure(tf.stop_gradient, (y, f))
        return tf.stop_gradient(super()._first_step(ode_fn, y, f, end))
