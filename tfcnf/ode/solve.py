"""One CNF solve with its gradient: (z, log_det) in a graph that layers share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.ode.adjoint import Adjoint
from tfcnf.ode.cost import Cost
from tfcnf.ode.derivatives import check_forward_mode
from tfcnf.ode.fields import parameter_specs
from tfcnf.ode.gradient import CNFSolve, Gradient
from tfcnf.ode.solver import Solver
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.status import check_solved
from tfcnf.ode.trace import Probes, value_and_divergence
from tfcnf.types import Tensor

UNBOUNDED = 2**62


class Method(NamedTuple):
    """Options of a solve; each solver and gradient has one traced graph.

    Attributes:
        start: time of the given state.
        end: time of the wanted state, after or before the start; a float or a scalar
            without gradient.
        solver: record of the solver.
        gradient: record of how it is differentiated.
        costs: records of the costs that are taken along.
        max_attempts: bound on the examples times their attempted steps, an integer
            or scalar, beside the solver's own bound on steps.
    """

    start: float = 0.0
    end: float | Tensor = 1.0
    solver: Solver = Dopri5()
    gradient: Gradient = Adjoint()
    costs: tuple[Cost, ...] = ()
    max_attempts: int | Tensor = UNBOUNDED


def solve(
    field: Any,
    theta: Sequence[Tensor],
    *,
    z: Tensor,
    probes: Probes,
    tol: Tensor,
    adjoint_tol: Tensor,
    nfe_backward_probe: Tensor,
    method: Method,
    name: str = "solve",
) -> tuple[Any, ...]:
    """Move z along a field and accumulate the log-determinant (InfoCNF Eq. 2).

    Solves of the same field and shapes share one traced graph, whatever their batch
    size and direction; those of a field with ``any_shape`` whatever their shapes too.

    Args:
        field: a hashable field, see `tfcnf.ode.fields`.
        theta: its parameters; gradients reach them.
        z: state at the start, ``[B, ...]``.
        probes: directions of the trace, fixed for the solve and its adjoint.
        tol: tolerance of the forward solve, scalar.
        adjoint_tol: tolerance of the backward solve, scalar.
        nfe_backward_probe: scalar whose "gradient" is the number of evaluations
            of the backward solve.
        method: times, solver, gradient and costs.
        name: named in error messages.

    Returns:
        State at the end, log |det dz(end)/dz(start)| ``[B]``, each of the costs ``[B]``
        and `SolveStats`: ``z1, log_det, *costs, stats``.

    Raises:
        tf.errors.InvalidArgumentError: ``SolverError: ...`` where a solve fails.
        ValueError: for a derivative that there is not, see `tfcnf.ode.derivatives`.
    """
    check_forward_mode([z, *theta])
    z = _check_gradient(z, name, adjoint_tol)
    label = tf.constant(name)  # an argument, so that layers share a graph
    start, end = (tf.convert_to_tensor(t, z.dtype) for t in (method.start, method.end))
    scalars = [label, start, end, tol, adjoint_tol, nfe_backward_probe, probes.weight]
    scalars.append(tf.cast(method.max_attempts, tf.int64))
    specs = [tf.TensorSpec((), x.dtype) for x in scalars]
    any_shape = getattr(field, "any_shape", False)
    state = [None, *(None if any_shape else size for size in z.shape[1:])]
    specs += [
        tf.TensorSpec([probes.directions.shape[0], *state], z.dtype),
        tf.TensorSpec(state, z.dtype),
        *parameter_specs(field, theta, any_shape),
    ]
    options = method.solver, method.gradient, method.costs
    graph = _graph(field, *options, tuple(specs))
    z1, log_det, *costs, stats = graph(*scalars, probes.directions, z, *theta)
    with tf.control_dependencies(check_solved(stats, label, tol)):
        z1 = tf.identity(z1)
    z1, log_det = tf.ensure_shape(z1, z.shape), tf.ensure_shape(log_det, z.shape[:1])
    costs = [tf.ensure_shape(x, z.shape[:1]) for x in costs]
    return z1, log_det, *costs, stats


@functools.cache
def _graph(
    field: Any,
    solver: Solver,
    gradient: Gradient,
    costs: tuple[Cost, ...],
    specs: tuple[tf.TensorSpec, ...],
) -> Callable[..., Any]:
    """The traced solve of all layers with this field and these shapes.

    The runtime does not copy it into its callers, and so prepares it once for all.
    """
    return tf.function(
        functools.partial(_solve, field, solver, gradient, costs),
        input_signature=specs,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def _solve(
    field: Any,
    solver: Solver,
    gradient: Gradient,
    costs: tuple[Cost, ...],
    name: Tensor,
    start: Tensor,
    end: Tensor,
    tol: Tensor,
    adjoint_tol: Tensor,
    nfe_backward_probe: Tensor,
    weight: Tensor,
    max_attempts: Tensor,
    directions: Tensor,
    z: Tensor,
    *theta: Tensor,
) -> Any:
    probes = Probes(directions, weight)

    # functions of the graph: traced once and called by each stage of a step
    @tf.function(autograph=False)
    def ode_fn(theta: Any, t: Tensor, y: Any) -> Any:
        with tf.name_scope("dynamics"):  # what `benchmarks.profile` looks for
            dz, divergence, *integrands = value_and_divergence(
                field, theta, t=t, z=y[0], probes=probes, costs=costs
            )
            # costs grow whatever the direction
            return dz, divergence, *(context.direction * c for c in integrands)

    context = CNFSolve(
        ode_fn=ode_fn,
        field=field,
        probes=probes,
        costs=costs,
        solver=solver,
        start=start,
        end=end,
        tol=tol,
        adjoint_tol=adjoint_tol,
        name=name,
        max_attempts=max_attempts,
    )
    return gradient.run(context, z, nfe_backward_probe, theta)


def _check_gradient(z: Tensor, name: str, adjoint_tol: Tensor) -> Tensor:
    """z itself, whose gradient raises where the backward solve failed."""

    @tf.custom_gradient
    def identity(z: Tensor) -> Any:
        def gradient(dz: Tensor) -> Tensor:
            message = (
                f"SolverError: gradient of {name}: the backward solve failed or was "
                "given a gradient that is not finite; try a larger `max_num_steps`, a "
                "larger `adjoint_tol`, a smaller learning rate or gradient clipping. "
                "Received: adjoint_tol="
            )
            finite = tf.reduce_all(tf.math.is_finite(dz))
            tf.raw_ops.Assert(condition=finite, data=[message, adjoint_tol])
            return dz

        return tf.identity(z), gradient

    return identity(z)
