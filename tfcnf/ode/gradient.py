"""Ways to differentiate a CNF solve, as records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from tfcnf.ode.control import Solution
from tfcnf.ode.derivatives import check_captured, first_order_only
from tfcnf.ode.solver import Solver, check_keeps_steps
from tfcnf.ode.trace import Probes
from tfcnf.registry import Record
from tfcnf.types import SolveStats, Tensor


class CNFSolve(NamedTuple):
    """One CNF solve, as a gradient sees it.

    Attributes:
        ode_fn: ``(theta, t, (z, log_det)) -> (dz, divergence)``.
        field: a hashable field, see `tfcnf.ode.fields`.
        probes: directions of the trace.
        solver: record of the solver.
        start: time of the given state.
        end: time of the wanted state.
        tol: tolerance of the forward solve.
        adjoint_tol: tolerance of a backward solve.
        name: of the layer, for messages.
    """

    ode_fn: Callable[..., Any]
    field: Any
    probes: Probes
    solver: Any
    start: Tensor
    end: Tensor
    tol: Tensor
    adjoint_tol: Tensor
    name: Tensor

    def integrate(self, integrator: Any, ode_fn: Any, z: Tensor, **options: Any) -> Any:
        """The solution from state z with log-determinant 0, both of the start."""
        initial = (z, tf.zeros(tf.shape(z)[:1], z.dtype))
        return integrator.integrate(ode_fn, self.start, self.end, initial, **options)


@dataclass(frozen=True)
class Gradient(Record, kind="gradient"):
    """A way to differentiate a solve; a subclass defines `backward` (or `run`).

    ```python
    assert tfcnf.Gradient.get("store") == tfcnf.Store()
    ```

    Attributes:
        needs_steps: it needs a solver that keeps its steps.
        keeps_trail: `backward` gets the accepted steps.
    """

    needs_steps: ClassVar[bool] = False
    keeps_trail: ClassVar[bool] = False

    def check(self, solver: Solver) -> None:
        """Raises a ValueError for a solver that cannot be differentiated like this."""
        if self.needs_steps:
            check_keeps_steps(f"gradient={str(self)!r}", solver)

    def run(
        self, solve: CNFSolve, z: Tensor, nfe_probe: Tensor, theta: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, SolveStats]:
        """State at the end, log-determinant and stats, with their gradient.

        Args:
            solve: the solve.
            z: state at the start, ``[B, ...]``.
            nfe_probe: scalar whose "gradient" is the number of evaluations that the
                gradient takes.
            theta: parameters of the field.
        """

        @tf.custom_gradient
        def forward(z: Tensor, nfe_probe: Tensor, *theta: Tensor) -> Any:
            inputs = z, *theta
            # the gradient is the one below, not that of the solver's operations
            z, theta = tf.nest.map_structure(tf.stop_gradient, (z, theta))

            def ode_fn(t: Tensor, y: Any) -> Any:
                return solve.ode_fn(theta, t, y)

            integrator = solve.solver.integrator(solve.tol)
            keep = self.keeps_trail
            solution = solve.integrate(integrator, ode_fn, z, keep_trail=keep)

            def gradient(
                dz: Tensor, dlog_det: Tensor, *_: Tensor, variables: Any = ()
            ) -> Any:
                check_captured(variables)
                adjoint = (dz, dlog_det)
                dz, nfe, dtheta = self.backward(solve, theta, solution, adjoint)
                gradients = dz, tf.cast(nfe, nfe_probe.dtype), *dtheta
                return first_order_only(gradients, [*adjoint, *inputs])

            return (*solution.y, solution.stats), gradient

        return forward(z, nfe_probe, *theta)

    def backward(
        self,
        solve: CNFSolve,
        theta: Sequence[Tensor],
        solution: Solution,
        adjoint: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Gradient in z, evaluations that it took, and gradients in theta.

        Args:
            solve: the solve.
            theta: parameters of the field.
            solution: of the solve.
            adjoint: gradients in the state at the end and in the log-determinant.
        """
        raise NotImplementedError
