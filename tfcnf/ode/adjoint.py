"""The adjoint method: a gradient in memory that does not grow with the steps.

The papers' way (Chen et al. 2018): a backward solve for ``a_z``, the gradient with
respect to z(t), together with a recomputed z(t). Only these two take part in its error
test; the parameter gradient is a quadrature along the way, and the log-determinant and
the costs, whose adjoints are constant, are not integrated again. The equations are
linear in the adjoints, so they are solved for adjoints scaled to unit size: the
tolerance then means the same whatever the scale of the loss.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf

from tfcnf.ode.control import Solution
from tfcnf.ode.gradient import CNFSolve, Gradient
from tfcnf.ode.quadrature import Quadrature
from tfcnf.ode.solver import RungeKutta
from tfcnf.ode.status import check_solved
from tfcnf.ode.trace import adjoint_dynamics
from tfcnf.types import Tensor


@dataclass(frozen=True)
class Adjoint(Gradient):
    """The adjoint method, the default; its backward solve has a tolerance of its own.

    Solvers that are there to compare with keep their conventions, see `Solver`.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), gradient=tfcnf.Adjoint())
    ```
    """

    compiles: ClassVar[bool] = True

    def backward(
        self,
        solve: CNFSolve,
        theta: Sequence[Tensor],
        solution: Solution,
        adjoint: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Gradients in z and theta from the backward solve, and its evaluations."""
        solver, (dz1, dlog_det, *dcosts) = solve.solver, adjoint
        scale = tf.ones([], dz1.dtype)
        if solver.scales_adjoints:
            largest = functools.reduce(tf.maximum, map(_rms, adjoint))
            scale = tf.where(largest > 0, largest, scale)
        kept = solution.y if solver.tests_log_det else solution.y[:1]
        a_costs = [solve.direction * a / scale for a in dcosts]
        plain, full = _derivatives(
            solve, theta, dlog_det / scale, a_costs=a_costs, num_kept=len(kept)
        )
        zeros = tuple(tf.zeros_like(x) for x in theta)
        back = solver.integrator(solve.adjoint_tol).integrate(
            plain,
            solve.end,
            solve.start,
            (*kept, dz1 / scale),
            Quadrature(full, zeros),
            _first_step(solve, solution),
        )
        name = tf.strings.join(["gradient of ", solve.name])
        checks = check_solved(back.stats, name, solve.adjoint_tol)
        with tf.control_dependencies(checks):
            gradients = [scale * g for g in back.total]
            return scale * back.y[-1], back.stats.nfe, gradients


def _derivatives(
    solve: CNFSolve,
    theta: Sequence[Tensor],
    a_log_det: Tensor,
    *,
    a_costs: Sequence[Tensor],
    num_kept: int,
) -> tuple[Any, Any]:
    """Right-hand sides ``(t, y)`` of the backward solve, without and with theta's."""

    def derivatives(
        wrt_theta: bool, theta: Any, a_log_det: Tensor, a_costs: Any, t: Tensor, y: Any
    ) -> Any:
        with tf.name_scope("dynamics"):
            (dz, divergence), grad_z, grad_theta = adjoint_dynamics(
                solve.field,
                theta,
                t=t,
                z=y[0],
                probes=solve.probes,
                a_z=y[-1],
                a_log_det=a_log_det,
                costs=solve.costs,
                a_costs=a_costs,
                wrt_theta=wrt_theta,
            )
        dy = (*(dz, divergence)[:num_kept], -grad_z)
        return (dy, tuple(-g for g in grad_theta)) if wrt_theta else dy

    def traced(wrt_theta: bool) -> Any:
        # once, and called by the stages of a step
        once = tf.function(functools.partial(derivatives, wrt_theta), autograph=False)
        return functools.partial(once, theta, a_log_det, a_costs)

    return traced(False), traced(True)


def _first_step(solve: CNFSolve, solution: Solution) -> Tensor | None:
    """The step back that the error of the last step forward would have allowed."""
    if not isinstance(solve.solver, RungeKutta):
        return None
    exponent = solve.solver.tableau.exponent
    return solution.step * (solve.adjoint_tol / solve.tol) ** exponent


def _rms(x: Tensor) -> Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(x)))
