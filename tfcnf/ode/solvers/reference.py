"""The conventions of the authors' code, to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf
from tensorflow_probability.python.math.ode import runge_kutta_util

from tfcnf.ode.control import (
    GROW,
    SAFETY,
    SHRINK,
    Clock,
    Integrator,
    Solution,
    max_rms,
)
from tfcnf.ode.quadrature import Quadrature, Time, duration, joint
from tfcnf.ode.solver import Solver
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.status import SOLVED
from tfcnf.types import Tensor


@dataclass(frozen=True)
class Reference(Solver):
    """The conventions of the authors' code (an early torchdiffeq).

    Only the first two tensors of the state take part in the error test: the state and
    the log-determinant, in both directions. Hairer's first step looks at all of them.
    The parameter gradients are components of the state of the backward solve. No step
    is shortened to meet the end; the solution there is interpolated. The authors count
    one evaluation more a backward solve, for the gradient of the end time, which is not
    needed here.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), solver="reference")
    ```

    Args:
        max_num_steps: bound on attempted steps of a solve.
    """

    tests_log_det: ClassVar[bool] = True

    def integrator(self, tol: Tensor) -> ReferenceIntegrator:
        """The integrator to this tolerance."""
        return ReferenceIntegrator(Dopri5(self.max_num_steps), tol)


class _Reference(NamedTuple):
    """The variables of a reference solve's loop."""

    clock: Clock
    y: Any
    f: Any


class ReferenceIntegrator(Integrator):
    """`Reference` at a tolerance."""

    TESTED = 2

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
        """As `Integrator.integrate`; ``first_step`` and trail are not supported."""
        derivatives, y = joint(
            ode_fn,
            quadrature,
            initial_time=initial_time,
            final_time=final_time,
            initial_state=initial_state,
        )
        end = duration(initial_time, final_time, y[0].dtype)
        f = derivatives(tf.zeros_like(end), y)
        p = _Reference(Clock.start(self._first_step(derivatives, y, f, end)), y, f)
        (p,) = tf.while_loop(
            lambda p: (p.clock.s < end) & tf.equal(p.clock.status, SOLVED),
            lambda p: [self._try(derivatives, end, p)],
            [p],
            parallel_iterations=1,
        )
        clock, count = p.clock, len(initial_state)
        stats = clock.stats(2, self.tableau.evaluations, p.y[0])
        nan = tf.constant(float("nan"), end.dtype)
        y = tuple(tf.where(tf.equal(clock.status, SOLVED), x, nan) for x in p.y)
        return Solution(y[:count], y[count:], stats, clock.step, None)

    def _try(
        self, derivatives: Callable[..., Any], end: Tensor, p: _Reference
    ) -> _Reference:
        dt, s, tableau = p.clock.dt, p.clock.s, self.tableau.for_tfp
        y, f, err, k = runge_kutta_util.runge_kutta_step(
            derivatives, p.y, p.f, s, dt, tableau
        )
        first = slice(self.TESTED)
        ratio = self._ratio(p.y[first], y[first], err[first])
        lands = s + dt >= end
        accept, clock = self._judge(p.clock, end, dt=dt, lands=lands, ratio=ratio)
        # growth up to 10, shrinking up to 5, and none after an accepted step
        floor = tf.where(ratio < 1.0, tf.ones_like(ratio), SHRINK)
        factor = tf.clip_by_value(SAFETY * ratio**-0.2, floor, GROW)
        factor = tf.where(tf.math.is_finite(ratio), factor, SHRINK)
        coefficients = runge_kutta_util.rk_fourth_order_interpolation_coefficients(
            p.y, y, k, dt, tableau
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
