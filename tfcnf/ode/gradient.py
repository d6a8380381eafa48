"""Ways to differentiate a CNF solve, as records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from tfcnf.ode.control import Solution
from tfcnf.ode.cost import Cost
from tfcnf.ode.derivatives import check_captured, first_order_only
from tfcnf.ode.quadrature import Quadrature, direction
from tfcnf.ode.solver import Solver, check_keeps_steps
from tfcnf.ode.status import SOLVED
from tfcnf.ode.trace import Probes
from tfcnf.registry import Record
from tfcnf.types import Tensor


class CNFSolve(NamedTuple):
    """One CNF solve, as a gradient sees it.

    Attributes:
        ode_fn: ``(theta, t, (z, ...)) -> (dz, divergence, *integrands)``, the latter
            with the sign of the solve's direction.
        field: a hashable field, see `tfcnf.ode.fields`.
        probes: directions of the trace.
        costs: records of the costs.
        solver: record of the solver.
        start: time of the given state.
        end: time of the wanted state.
        tol: tolerance of the forward solve.
        adjoint_tol: tolerance of a backward solve.
        name: of the layer, for messages.
        max_attempts: see `tfcnf.ode.solve.Method`.
    """

    ode_fn: Callable[..., Any]
    field: Any
    probes: Probes
    costs: tuple[Cost, ...]
    solver: Any
    start: Tensor
    end: Tensor
    tol: Tensor
    adjoint_tol: Tensor
    name: Tensor
    max_attempts: Tensor

    @property
    def direction(self) -> Tensor:
        """1 forward in time, -1 backward."""
        return direction(self.start, self.end)

    def nothing(self, z: Tensor) -> tuple[Tensor, ...]:
        """The costs at the start, ``[B]`` each."""
        zero = tf.zeros(tf.shape(z)[:1], z.dtype)
        return (zero,) * len(self.costs)

    def integrate(
        self,
        integrator: Any,
        ode_fn: Any,
        z: Tensor,
        is_discrete: bool = False,
        **options: Any,
    ) -> Solution:
        """The solution from state z with log-determinant 0, both of the start.

        The costs are its quadrature; NaN where the solve failed. Where the gradient is
        that of the steps, ``is_discrete``, its weights are `Tableau.positive`.
        """
        count = tf.shape(z)[:1]
        initial = (z, tf.zeros(count, z.dtype))
        each = self.max_attempts // tf.cast(tf.maximum(count[0], 1), tf.int64)
        steps = tf.minimum(each, self.solver.max_num_steps)
        integrator.max_steps = tf.cast(steps, tf.int32)
        if not self.costs:
            return integrator.integrate(
                ode_fn, self.start, self.end, initial, **options
            )

        def full(t: Tensor, y: Any) -> tuple[Any, Any]:
            derivatives = ode_fn(t, y)
            return derivatives[:2], derivatives[2:]

        solution = integrator.integrate(
            lambda t, y: full(t, y)[0],
            self.start,
            self.end,
            initial,
            quadrature=Quadrature(full, self.nothing(z), True, is_discrete),
            **options,
        )
        failed = tf.not_equal(solution.stats.status, SOLVED)
        nan = tf.constant(float("nan"), z.dtype)
        total = tuple(tf.where(failed, nan, x) for x in solution.total)
        return solution._replace(total=total)


@dataclass(frozen=True)
class Gradient(Record, kind="gradient"):
    """A way to differentiate a solve; a subclass defines `backward` (or `run`).

    ```python
    assert tfcnf.Gradient.get("store") == tfcnf.Store()
    ```

    Attributes:
        needs_steps: it needs a solver that keeps its steps.
        keeps_trail: `backward` gets the accepted steps.
        compiles: XLA compiles it.
    """

    needs_steps: ClassVar[bool] = False
    keeps_trail: ClassVar[bool] = False
    compiles: ClassVar[bool] = False

    def check(self, solver: Solver) -> None:
        """Raises a ValueError for a solver that cannot be differentiated like this."""
        if self.needs_steps:
            check_keeps_steps(f"gradient={str(self)!r}", solver)

    def run(
        self, solve: CNFSolve, z: Tensor, nfe_probe: Tensor, theta: Sequence[Tensor]
    ) -> tuple[Any, ...]:
        """State at the end, log-determinant, costs and stats, with their gradient.

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
            solution = solve.integrate(
                integrator, ode_fn, z, is_discrete=keep, keep_trail=keep
            )

            def gradient(*adjoints: Tensor, variables: Any = ()) -> Any:
                check_captured(variables)
                adjoint = adjoints[: 2 + len(solve.costs)]  # others are of stats
                dz, nfe, dtheta = self.backward(solve, theta, solution, adjoint)
                gradients = dz, tf.cast(nfe, nfe_probe.dtype), *dtheta
                return first_order_only(gradients, [*adjoint, *inputs])

            return (*solution.y, *solution.total, solution.stats), gradient

        return forward(z, nfe_probe, *theta)

    def backward(
        self,
        solve: CNFSolve,
        theta: Sequence[Tensor],
        solution: Solution,
        adjoint: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Gradient in z, evaluations that it took, and gradients in theta.

        Args:
            solve: the solve.
            theta: parameters of the field.
            solution: of the solve.
            adjoint: gradients in the state at the end, the log-determinant and the
                costs.
        """
        raise NotImplementedError
