"""The solver by name: ours, TFP's as it comes, and the authors' code's conventions.

The last two are there to compare with. In both the parameter gradients are components
of the state of the backward solve, and the end is overshot and interpolated back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.math.ode import runge_kutta_util

from tfcnf.ode.quadrature import Quadrature, directed
from tfcnf.ode.runge_kutta import TABLEAU
from tfcnf.ode.solver import (
    GROW,
    SAFETY,
    SHRINK,
    Clock,
    DormandPrince,
    Solution,
    max_rms,
)
from tfcnf.ode.status import SOLVED
from tfcnf.types import SolveStats, Tensor

SOLVERS = ("tfcnf", "tfp", "reference")


def make_solver(
    name: str, tol: Tensor, max_num_steps: int, pi_control: bool = False
) -> DormandPrince:
    """The solver of this name, one of `SOLVERS`."""
    if name == "tfcnf":
        return DormandPrince(tol, max_num_steps, pi_control)
    solvers = {"tfp": StockDormandPrince, "reference": ReferenceDormandPrince}
    return solvers[name](tol, max_num_steps)


class StockDormandPrince(DormandPrince):
    """``tfp.math.ode.DormandPrince`` with its own control of the step size.

    The quadrature is part of the state and of the error test, as in TFP's adjoint. A
    solve that fails raises TFP's own error.
    """

    def integrate(
        self,
        ode_fn: Callable[[Tensor, Any], Any],
        initial_time: float,
        final_time: float,
        initial_state: Any,
        quadrature: Quadrature | None = None,
        first_step: Tensor | None = None,
        keep_trail: bool = False,
    ) -> Solution:
        """As `DormandPrince.integrate`; ``first_step`` and trail are not supported."""
        joint, state = _joint(
            ode_fn, quadrature, initial_time, final_time, initial_state
        )
        solver = tfp.math.ode.DormandPrince(
            self.tol, self.tol, max_num_steps=self._max_num_steps
        )
        end = tf.constant(abs(final_time - initial_time), state[0].dtype)
        results = solver.solve(joint, tf.zeros_like(end), state, [end])
        # TFP does not count the evaluation at the start
        nfe = tf.cast(results.diagnostics.num_ode_fn_evaluations, tf.int32) + 1
        steps = (nfe - 1) // self.ODE_FN_EVALS_PER_STEP
        zero = tf.zeros_like(nfe)
        y = tuple(x[0] for x in results.states)
        ends = tf.reduce_min(y[0]), tf.reduce_max(y[0])
        stats = SolveStats(nfe, steps, zero, tf.constant(SOLVED), end, *ends)
        count = len(initial_state)
        return Solution(y[:count], y[count:], stats, end, None)


class _Reference(NamedTuple):
    """The variables of a reference solve's loop."""

    clock: Clock
    y: Any
    f: Any


class ReferenceDormandPrince(DormandPrince):
    """The conventions of the authors' code (an early torchdiffeq).

    Only the first two tensors of the state take part in the error test: the state and
    the log-determinant, in both directions. Hairer's first step looks at all of them.
    No step is shortened to meet the end; the solution there is interpolated. The
    authors count one evaluation more a backward solve, for the gradient of the end
    time, which is not needed here.
    """

    TESTED = 2

    def integrate(
        self,
        ode_fn: Callable[[Tensor, Any], Any],
        initial_time: float,
        final_time: float,
        initial_state: Any,
        quadrature: Quadrature | None = None,
        first_step: Tensor | None = None,
        keep_trail: bool = False,
    ) -> Solution:
        """As `DormandPrince.integrate`; ``first_step`` and trail are not supported."""
        joint, y = _joint(ode_fn, quadrature, initial_time, final_time, initial_state)
        end = tf.constant(abs(final_time - initial_time), y[0].dtype)
        f = joint(tf.zeros_like(end), y)
        p = _Reference(Clock.start(self._first_step(joint, y, f, end)), y, f)
        (p,) = tf.while_loop(
            lambda p: (p.clock.s < end) & (p.clock.status == SOLVED),
            lambda p: [self._try(joint, end, p)],
            [p],
            parallel_iterations=1,
        )
        clock, count = p.clock, len(initial_state)
        stats = clock.stats(2, p.y[0])
        nan = tf.constant(float("nan"), end.dtype)
        y = tuple(tf.where(clock.status == SOLVED, x, nan) for x in p.y)
        return Solution(y[:count], y[count:], stats, clock.step, None)

    def _try(self, joint: Callable[..., Any], end: Tensor, p: _Reference) -> _Reference:
        dt, s = p.clock.dt, p.clock.s
        y, f, err, k = runge_kutta_util.runge_kutta_step(
            joint, p.y, p.f, s, dt, TABLEAU
        )
        first = slice(self.TESTED)
        ratio = self._ratio(p.y[first], y[first], err[first])
        lands = s + dt >= end
        accept, clock = self._judge(p.clock, end, dt, lands, ratio)
        # growth up to 10, shrinking up to 5, and none after an accepted step
        floor = tf.where(ratio < 1.0, tf.ones_like(ratio), SHRINK)
        factor = tf.clip_by_value(SAFETY * ratio**-0.2, floor, GROW)
        factor = tf.where(tf.math.is_finite(ratio), factor, SHRINK)
        coefficients = runge_kutta_util.rk_fourth_order_interpolation_coefficients(
            p.y, y, k, dt, TABLEAU
        )
        at_end = runge_kutta_util.evaluate_interpolation(coefficients, s, s + dt, end)
        y = runge_kutta_util.nest_where(lands, at_end, y)
        y, f = runge_kutta_util.nest_where(accept, (y, f), (p.y, p.f))
        return _Reference(clock._replace(dt=dt * factor), y, f)

    def _first_step(
        self, ode_fn: Callable[..., Any], y: Any, f: Any, end: Tensor
    ) -> Tensor:
        """Hairer's, with the largest quotient of the tensors; one evaluation."""
        scale = tf.nest.map_structure(lambda x: self.tol * (1.0 + tf.abs(x)), y)
        d0 = [max_rms(a, b) for a, b in zip(y, scale, strict=True)]
        d1 = [max_rms(a, b) for a, b in zip(f, scale, strict=True)]
        tiny = (tf.reduce_max(d0) < 1e-5) | (tf.reduce_max(d1) < 1e-5)
        h0 = 0.01 * tf.reduce_max(tf.math.divide_no_nan(tf.stack(d0), tf.stack(d1)))
        h0 = tf.where(tiny, tf.constant(1e-6, end.dtype), h0)
        y1 = tf.nest.map_structure(lambda x, dx: x + h0 * dx, y, f)
        bend = tf.nest.map_structure(tf.subtract, ode_fn(h0, y1), f)
        largest = tf.maximum(tf.reduce_max(d1), max_rms(bend, scale) / h0)
        flat = tf.maximum(1e-3 * h0, tf.constant(1e-6, end.dtype))
        h1 = tf.where(largest <= 1e-15, flat, (0.01 / largest) ** 0.2)
        return tf.minimum(100.0 * h0, h1)


def _joint(
    ode_fn: Callable[..., Any],
    quadrature: Quadrature | None,
    initial_time: float,
    final_time: float,
    initial_state: Any,
) -> tuple[Callable[..., Any], Any]:
    """Derivatives and state with the quadrature as more components."""
    _, full, total = directed(
        ode_fn, quadrature, initial_time, final_time, initial_state[0].dtype
    )
    count = len(initial_state)

    def joint(s: Tensor, y: Any) -> Any:
        dy, dq = full(s, tuple(y[:count]))
        return (*dy, *dq)

    return joint, (*initial_state, *total)
