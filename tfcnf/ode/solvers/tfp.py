"""The solver of TensorFlow Probability as it comes, to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.ode.control import Solution
from tfcnf.ode.quadrature import Quadrature, Time, duration, joint
from tfcnf.ode.solver import Solver
from tfcnf.ode.status import SOLVED
from tfcnf.types import SolveStats, Tensor


@dataclass(frozen=True)
class StockTFP(Solver, key="tfp"):
    """``tfp.math.ode.DormandPrince`` with its own control of the step size.

    The quadrature is part of the state and of the error test, as in TFP's adjoint. A
    solve that fails raises TFP's own error.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), solver=tfcnf.StockTFP())
    ```

    Args:
        max_num_steps: bound on attempted steps of a solve.
    """

    def integrator(self, tol: Tensor) -> StockIntegrator:
        """The integrator to this tolerance."""
        return StockIntegrator(self, tol)


class StockIntegrator:
    """`StockTFP` at a tolerance."""

    def __init__(self, solver: StockTFP, tol: Tensor):
        self.solver, self.tol = solver, tol
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
        """As `Integrator.integrate`; ``first_step`` and trail are not supported."""
        derivatives, state = joint(
            ode_fn,
            quadrature,
            initial_time=initial_time,
            final_time=final_time,
            initial_state=initial_state,
        )
        solver = tfp.math.ode.DormandPrince(
            self.tol, self.tol, max_num_steps=self.max_steps
        )
        end = duration(initial_time, final_time, state[0].dtype)
        results = solver.solve(derivatives, tf.zeros_like(end), state, [end])
        # TFP does not count the evaluation at the start
        nfe = tf.cast(results.diagnostics.num_ode_fn_evaluations, tf.int32) + 1
        steps = (nfe - 1) // solver.ODE_FN_EVALS_PER_STEP
        zero = tf.zeros_like(nfe)
        y = tuple(x[0] for x in results.states)
        stats = SolveStats(
            nfe=nfe,
            num_accepted=steps,
            num_rejected=zero,
            status=tf.constant(SOLVED),
            dt=end,
            low=tf.reduce_min(y[0]),
            high=tf.reduce_max(y[0]),
        )
        count = len(initial_state)
        return Solution(y[:count], y[count:], stats, end, None)
