"""The solution of an ODE on a grid of times: one adaptive solve, exact gradients.

The solver steps as far as its tolerance allows, whatever the observation times, and
the solution between two steps is a polynomial, see `tfcnf.ode.tableau.Tableau`. So the
number of evaluations does not depend on the number of observation times.

Gradients are those of the discrete solution: the accepted steps' states are kept and
each step is differentiated, backwards, from its recomputed stages, with the step sizes
taken as constants. The alternative, the continuous adjoint equation, jumps at every
observation time, so that with a hundred of them it would be started anew a hundred
times. Here the backward pass costs one recomputed step and its derivative for each
forward step, is exact at any tolerance, and has no error of its own to control. The
memory is three states a step, not the graph of a step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.ode.dense_output import GridIntegrator, Steps, interpolate
from tfcnf.ode.derivatives import (
    check_captured,
    check_forward_mode,
    first_order_only,
)
from tfcnf.ode.fields import parameter_specs
from tfcnf.ode.runge_kutta import advance, back_along, increment, moved, pull_back
from tfcnf.ode.solver import RungeKutta, Solver, check_keeps_steps
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.status import SOLVED, check_solved
from tfcnf.ode.tableau import Tableau
from tfcnf.types import SolveStats, Tensor


def solve_on_grid(
    field: Any,
    theta: Sequence[Tensor],
    *,
    z: Tensor,
    times: Tensor,
    tol: Tensor,
    start: float = 0.0,
    direction: int = 1,
    solver: Solver = Dopri5(),  # noqa: B008, a frozen record
    nfe_backward_probe: Tensor | None = None,
    name: str = "solve",
) -> tuple[Tensor, SolveStats]:
    """Move z along a field and return it at the given times.

    Args:
        field: a hashable field with ``value``, see `tfcnf.ode.fields`.
        theta: its parameters; gradients reach them.
        z: state at the start, ``[B, D]``; gradients reach it.
        times: ``[T]``, the same for the batch, or ``[B, T]``, in any order, none on
            the other side of the start; no gradients.
        tol: tolerance, scalar.
        start: time of z.
        direction: 1 to solve forwards in time, -1 backwards.
        solver: a record that keeps its steps.
        nfe_backward_probe: scalar whose "gradient" is the number of evaluations that
            the gradient took.
        name: named in error messages.

    Returns:
        States ``[B, T, D]`` and `SolveStats`.

    Raises:
        ValueError: for a solver that does not keep its steps.
        tf.errors.InvalidArgumentError: ``SolverError: ...`` where the solve fails.
    """
    check_keeps_steps("a solution on a grid of times", solver)
    check_forward_mode([z, *theta])
    probe = nfe_backward_probe
    probe = tf.zeros([], z.dtype) if probe is None else probe
    s = tf.stop_gradient(direction * (tf.cast(times, z.dtype) - start))
    specs = [
        tf.TensorSpec((), z.dtype),
        tf.TensorSpec((), z.dtype),
        tf.TensorSpec([None] * len(s.shape), z.dtype),
        tf.TensorSpec((None, *z.shape[1:]), z.dtype),
        *parameter_specs(field, theta),
    ]
    graph = _graph(field, start, direction=direction, solver=solver, specs=tuple(specs))
    states, stats = graph(tf.cast(tol, z.dtype), probe, s, z, *theta)
    check_solved(stats, name, tol)
    return tf.ensure_shape(states, [z.shape[0], s.shape[-1], *z.shape[1:]]), stats


@functools.cache
def _graph(
    field: Any,
    start: float,
    *,
    direction: int,
    solver: RungeKutta,
    specs: tuple[tf.TensorSpec, ...],
) -> Callable[..., Any]:
    """The traced solve of all states with this field and these shapes."""
    solve = functools.partial(_solve, field, start, direction, solver)
    return tf.function(solve, input_signature=specs, autograph=False)


def _solve(
    field: Any,
    start: float,
    direction: int,
    solver: RungeKutta,
    tol: Tensor,
    probe: Tensor,
    s: Tensor,
    z: Tensor,
    *theta: Tensor,
) -> tuple[Tensor, SolveStats]:
    # functions of the graph: traced once and called by each stage of a step
    @tf.function(autograph=False)
    def dynamics(theta: Any, s: Tensor, y: Tensor) -> Tensor:
        with tf.name_scope("dynamics"):
            return direction * field.value(theta, start + direction * s, y)

    one = functools.partial(_step, solver.tableau, dynamics)
    step = tf.function(one, autograph=False)
    step_back = tf.function(functools.partial(_step_back, step), autograph=False)
    end = tf.reduce_max(s)
    end = tf.where(end > 0, end, tf.ones_like(end))  # all at the start: any step

    @tf.custom_gradient
    def run(z: Tensor, probe: Tensor, *theta: Tensor) -> Any:
        inputs = z, *theta
        # the gradient is the one below, not that of the solver's operations
        z, theta = tf.nest.map_structure(tf.stop_gradient, (z, theta))
        integrator = GridIntegrator(solver, tol)
        steps, stats = integrator.steps(
            functools.partial(step, theta), functools.partial(dynamics, theta), end, z
        )

        def gradient(
            _: Tensor,
            dy: Tensor,
            df: Tensor,
            dmid: Tensor,
            *__: Any,
            variables: Any = (),
        ) -> Any:
            check_captured(variables)
            dz, dtheta = _backward(
                step_back, dynamics, theta=theta, steps=steps, dy=dy, df=df, dmid=dmid
            )
            nfe = 1 + solver.tableau.evaluations * stats.num_accepted
            gradients = dz, tf.cast(nfe, probe.dtype), *dtheta
            return first_order_only(gradients, [dy, df, dmid, *inputs])

        return (*steps, *stats), gradient

    results = run(z, probe, *theta)
    stats = SolveStats(*results[4:])
    states = interpolate(Steps(*results[:4]), s)
    nan = tf.constant(float("nan"), z.dtype)
    return tf.where(tf.equal(stats.status, SOLVED), states, nan), stats


def _step(
    tableau: Tableau,
    dynamics: Callable[..., Tensor],
    theta: Sequence[Tensor],
    s: Tensor,
    dt: Tensor,
    y: Tensor,
    f: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One step: new state, its derivative, middle state, error."""
    stage = functools.partial(dynamics, theta)
    y1, stages = advance(tableau, stage, t=s, dt=dt, y=y, f=f)
    stages.append(stage(s + dt, y1))
    mid = moved(y, dt, tableau.mid, stages)
    return y1, stages[-1], mid, increment(dt, tableau.error, stages)


def _step_back(
    step: Callable[..., Any],
    theta: Sequence[Tensor],
    s: Tensor,
    dt: Tensor,
    state: tuple[Tensor, Tensor],
    adjoint: tuple[Tensor, Tensor, Tensor],
) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
    """The adjoint of a step's new state, derivative and middle, pulled back."""

    def kept(state: Any, theta: Any) -> Any:
        return step(theta, s, dt, *state)[:3]

    return pull_back(kept, [state, theta], adjoint)


def _backward(
    step_back: Callable[..., Any],
    dynamics: Callable[..., Tensor],
    *,
    theta: Sequence[Tensor],
    steps: Steps,
    dy: Tensor,
    df: Tensor,
    dmid: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """The gradients of the kept states pulled back to the first state and theta."""
    count = tf.shape(steps.mid)[0]

    def take_back(k: Tensor, adjoint: tuple[Tensor, Tensor]) -> Any:
        dt, state = steps.s[k + 1] - steps.s[k], (steps.y[k], steps.f[k])
        (a_y, a_f), dtheta = step_back(
            theta, steps.s[k], dt, state, (*adjoint, dmid[k])
        )
        return (a_y + dy[k], a_f + df[k]), dtheta

    last = dy[count], df[count]
    (a_y, a_f), total = back_along(count, take_back, last, theta)

    def first(y: Tensor, theta: Sequence[Tensor]) -> Tensor:
        return dynamics(theta, tf.zeros([], y.dtype), y)

    dz, dtheta = pull_back(first, [steps.y[0], theta], a_f)
    return a_y + dz, [a + b for a, b in zip(total, dtheta, strict=True)]
