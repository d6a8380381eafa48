"""The solution of an ODE on a grid of times: one adaptive solve, exact gradients.

The solver steps as far as its tolerance allows, whatever the observation times, and
the solution between two steps is Shampine's quartic polynomial (the dense output that
`tfp.math.ode` uses). So the number of evaluations does not depend on the number of
observation times.

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
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcnf.ode.solver import SOLVED, TABLEAU, Clock, DormandPrince, check_solved
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


def solve_on_grid(
    field: Any,
    theta: Sequence[Tensor],
    z: Tensor,
    times: Tensor,
    tol: Tensor,
    start: float = 0.0,
    direction: int = 1,
    max_num_steps: int = 1000,
    nfe_backward_probe: Tensor | None = None,
    name: str = "solve",
) -> tuple[Tensor, SolveStats]:
    """Moves z along a field and returns it at the given times.

    Args:
        field: a hashable field with ``value``, see `tfcnf.ode.fields`.
        theta: its parameters; gradients reach them.
        z: state at the start, ``[B, D]``; gradients reach it.
        times: ``[T]``, the same for the batch, or ``[B, T]``, in any order, none on
            the other side of the start; no gradients.
        tol: tolerance, scalar.
        start: time of z.
        direction: 1 to solve forwards in time, -1 backwards.
        max_num_steps: bound on attempted steps.
        nfe_backward_probe: scalar whose "gradient" is the number of evaluations that
            the gradient took.
        name: named in error messages.

    Returns:
        States ``[B, T, D]`` and `SolveStats`.

    Raises:
        tf.errors.InvalidArgumentError: ``SolverError: ...`` where the solve fails.
    """
    probe = nfe_backward_probe
    probe = tf.zeros([], z.dtype) if probe is None else probe
    s = tf.stop_gradient(direction * (tf.cast(times, z.dtype) - start))
    specs = [
        tf.TensorSpec((), z.dtype),
        tf.TensorSpec((), z.dtype),
        tf.TensorSpec([None] * len(s.shape), z.dtype),
        tf.TensorSpec((None, *z.shape[1:]), z.dtype),
        *(tf.TensorSpec(x.shape, x.dtype) for x in theta),
    ]
    graph = _graph(field, start, direction, max_num_steps, tuple(specs))
    states, stats = graph(tf.cast(tol, z.dtype), probe, s, z, *theta)
    check_solved(stats, name, tol)
    return tf.ensure_shape(states, [z.shape[0], s.shape[-1], *z.shape[1:]]), stats


@functools.cache
def _graph(
    field: Any,
    start: float,
    direction: int,
    max_num_steps: int,
    specs: tuple[tf.TensorSpec, ...],
) -> Callable[..., Any]:
    """The traced solve of all states with this field and these shapes."""
    solve = functools.partial(_solve, field, start, direction, max_num_steps)
    return tf.function(solve, input_signature=specs, autograph=False)


def _solve(
    field: Any,
    start: float,
    direction: int,
    max_num_steps: int,
    tol: Tensor,
    probe: Tensor,
    s: Tensor,
    z: Tensor,
    *theta: Tensor,
) -> tuple[Tensor, SolveStats]:
    # functions of the graph: traced once and called by each stage of a step
    @tf.function(autograph=False)
    def dynamics(theta: Any, s: Tensor, y: Tensor) -> Tensor:
        return direction * field.value(theta, start + direction * s, y)

    step = tf.function(functools.partial(_step, dynamics), autograph=False)
    pull_back = tf.function(functools.partial(_pull_back, step), autograph=False)
    end = tf.reduce_max(s)
    end = tf.where(end > 0, end, tf.ones_like(end))  # all at the start: any step

    @tf.custom_gradient
    def run(z: Tensor, probe: Tensor, *theta: Tensor) -> Any:
        solver = GridSolver(tol, max_num_steps)
        steps, stats = solver.steps(
            functools.partial(step, theta), functools.partial(dynamics, theta), end, z
        )

        def gradient(_: Tensor, dy: Tensor, df: Tensor, dmid: Tensor, *__: Any) -> Any:
            dz, dtheta = _backward(pull_back, dynamics, theta, steps, dy, df, dmid)
            nfe = tf.cast(1 + 6 * stats.num_accepted, probe.dtype)
            return dz, nfe, *dtheta

        return (*steps, *stats), gradient

    results = run(z, probe, *theta)
    stats = SolveStats(*results[4:])
    states = interpolate(Steps(*results[:4]), s)
    nan = tf.constant(float("nan"), z.dtype)
    return tf.where(stats.status == SOLVED, states, nan), stats


class GridSolver(DormandPrince):
    """`DormandPrince` that keeps its steps for a dense output.

    It steps freely, landing on the last time alone.
    """

    def steps(
        self,
        step: Callable[..., Any],
        dynamics: Callable[[Tensor, Tensor], Tensor],
        end: Tensor,
        y: Tensor,
    ) -> tuple[Steps, SolveStats]:
        """Solves dy/ds = f(s, y) from s = 0 to ``end``.

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
        kept = [_array(x).write(0, x) for x in (zero, y, f)] + [_array(y)]

        def attempt(clock: Clock, y: Tensor, f: Tensor, kept: list[Any]) -> Any:
            at = clock.accepted  # a rejected step is overwritten by the next
            dt, lands = self._step_size(clock, end)
            y1, f1, mid, error = step(clock.s, dt, y, f)
            ratio = self._ratio((y,), (y1,), (error,))
            accept, clock = self._judge(clock, end, dt, lands, ratio)
            y, f = tf.where(accept, y1, y), tf.where(accept, f1, f)
            written = [(at + 1, clock.s), (at + 1, y), (at + 1, f), (at, mid)]
            kept = [a.write(*w) for a, w in zip(kept, written, strict=True)]
            return clock, y, f, kept

        clock, _, _, kept = tf.while_loop(
            lambda clock, *_: (clock.s < end) & (clock.status == SOLVED),
            attempt,
            [Clock.start(first), y, f, kept],
            parallel_iterations=1,
        )
        count = tf.maximum(clock.accepted, 1)  # a failed first step is there too
        sizes = (count + 1, count + 1, count + 1, count)
        steps = Steps(
            *(a.gather(tf.range(size)) for a, size in zip(kept, sizes, strict=True))
        )
        nfe = 2 + self.ODE_FN_EVALS_PER_STEP * (clock.accepted + clock.rejected)
        return steps, SolveStats(nfe, clock.accepted, clock.rejected, clock.status)


def interpolate(steps: Steps, s: Tensor) -> Tensor:
    """The solution at times s, ``[T]`` or ``[B, T]``, as ``[B, T, D]``.

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
    pairs = [
        (y0 * here + y1 * there, steps.y),
        (dt[..., None] * (f0 * here + f1 * there), steps.f),
        ((mid * here)[..., :-1], steps.mid),
    ]
    equation = "ts,sbd->btd" if len(s.shape) == 1 else "bts,sbd->btd"
    return tf.add_n([tf.einsum(equation, matrix, y) for matrix, y in pairs])


def _step(
    dynamics: Callable[..., Tensor],
    theta: Sequence[Tensor],
    s: Tensor,
    dt: Tensor,
    y: Tensor,
    f: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One Dormand-Prince step: new state, its derivative, middle state, error."""
    stages = [f]
    for a, row in zip(TABLEAU.a, TABLEAU.b, strict=True):
        y1 = y + _combine(dt, row, stages)
        stages.append(dynamics(theta, s + a * dt, y1))
    mid = y + _combine(dt, TABLEAU.c_mid, stages)
    return y1, stages[-1], mid, _combine(dt, TABLEAU.c_error, stages)


def _combine(dt: Tensor, weights: Sequence[float], stages: Sequence[Tensor]) -> Tensor:
    """dt times the weighted sum of the stages."""
    terms = [(w, k) for w, k in zip(weights, stages, strict=True) if w != 0]
    return tf.add_n([(w * dt) * k for w, k in terms])


def _pull_back(
    step: Callable[..., Any],
    theta: Sequence[Tensor],
    s: Tensor,
    dt: Tensor,
    y: Tensor,
    f: Tensor,
    a_y: Tensor,
    a_f: Tensor,
    a_mid: Tensor,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients of <a_y, y1> + <a_f, f1> + <a_mid, mid> in y, f and theta."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([y, f, *theta])
        y1, f1, mid, _ = step(theta, s, dt, y, f)
    dy, df, *dtheta = tape.gradient(
        [y1, f1, mid],
        [y, f, *theta],
        [a_y, a_f, a_mid],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return dy, df, dtheta


def _backward(
    pull_back: Callable[..., Any],
    dynamics: Callable[..., Tensor],
    theta: Sequence[Tensor],
    steps: Steps,
    dy: Tensor,
    df: Tensor,
    dmid: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """The gradients of the kept states pulled back to the first state and theta."""
    count = tf.shape(steps.mid)[0]

    def body(k: Tensor, a_y: Tensor, a_f: Tensor, total: list[Tensor]) -> Any:
        dt = steps.s[k + 1] - steps.s[k]
        a_y, a_f, dtheta = pull_back(
            theta, steps.s[k], dt, steps.y[k], steps.f[k], a_y, a_f, dmid[k]
        )
        total = [a + b for a, b in zip(total, dtheta, strict=True)]
        return k - 1, a_y + dy[k], a_f + df[k], total

    _, a_y, a_f, total = tf.while_loop(
        lambda k, *_: k >= 0,
        body,
        [count - 1, dy[count], df[count], [tf.zeros_like(x) for x in theta]],
        parallel_iterations=1,
    )
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        y = steps.y[0]
        tape.watch([y, *theta])
        f = dynamics(theta, tf.zeros([], y.dtype), y)
    first, *dtheta = tape.gradient(
        f, [y, *theta], a_f, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return a_y + first, [a + b for a, b in zip(total, dtheta, strict=True)]


def _array(x: Tensor) -> tf.TensorArray:
    return tf.TensorArray(
        x.dtype,
        size=1,
        dynamic_size=True,
        clear_after_read=False,
        element_shape=x.shape,
    )
