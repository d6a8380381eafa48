"""One CNF solve with gradients: (z, log_det) forward, one of three ways back.

``adjoint``, the default, is the papers' (Chen et al. 2018): a backward solve for
``a_z``, the gradient with respect to z(t), together with a recomputed z(t), in memory
that does not grow with the number of steps. Only these two take part in its error
test; the parameter gradient is a quadrature along the way, and the log-determinant,
whose adjoint is constant, is not integrated again. The equations are linear in the
adjoints, so they are solved for adjoints scaled to unit size: the tolerance then means
the same whatever the scale of the loss. ``checkpoint`` and ``store`` differentiate the
discrete solution, see `tfcnf.ode.discrete`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.ode import discrete
from tfcnf.ode.conventions import make_solver
from tfcnf.ode.divergence import Probes, adjoint_dynamics, value_and_divergence
from tfcnf.ode.quadrature import Quadrature
from tfcnf.ode.solver import Solution
from tfcnf.ode.status import check_solved
from tfcnf.types import SolveStats, Tensor

GRADIENTS = ("adjoint", "checkpoint", "store")


class Method(NamedTuple):
    """How a solve is done; one traced graph for each.

    Attributes:
        start: time of the given state.
        end: time of the wanted state, after or before the start.
        max_num_steps: bound on the attempted steps, each way.
        gradient: ``"adjoint"``, ``"checkpoint"`` or ``"store"``.
        solver: one of `tfcnf.ode.conventions.SOLVERS`.
        pi_control: whether a step size also looks at the error of the step before.
    """

    start: float = 0.0
    end: float = 1.0
    max_num_steps: int = 1000
    gradient: str = "adjoint"
    solver: str = "tfcnf"
    pi_control: bool = False


def solve(
    field: Any,
    theta: Sequence[Tensor],
    z: Tensor,
    probes: Probes,
    tol: Tensor,
    adjoint_tol: Tensor,
    nfe_backward_probe: Tensor,
    method: Method,
    name: str = "solve",
) -> tuple[Tensor, Tensor, SolveStats]:
    """Moves z along a field and accumulates the log-determinant (InfoCNF Eq. 2).

    Solves of the same shapes share one traced graph, whatever their batch size.

    Args:
        field: a hashable field, see `tfcnf.ode.fields`.
        theta: its parameters; gradients reach them.
        z: state at the start, ``[B, ...]``.
        probes: directions of the trace, fixed for the solve and its adjoint.
        tol: tolerance of the forward solve, scalar.
        adjoint_tol: tolerance of the backward solve, scalar.
        nfe_backward_probe: scalar whose "gradient" is the number of evaluations
            of the backward solve.
        method: times, bound, solver and gradient.
        name: named in error messages.

    Returns:
        State at the end, log |det dz(end)/dz(start)| ``[B]`` and `SolveStats`.

    Raises:
        tf.errors.InvalidArgumentError: ``SolverError: ...`` where a solve fails.
    """
    z = _check_gradient(z, name, adjoint_tol)
    label = tf.constant(name)  # an argument, so that layers share a graph
    scalars = [label, tol, adjoint_tol, nfe_backward_probe, probes.weight]
    specs = [tf.TensorSpec((), x.dtype) for x in scalars]
    num_probes, event = probes.directions.shape[0], z.shape[1:]
    specs += [
        tf.TensorSpec((num_probes, None, *event), z.dtype),
        tf.TensorSpec((None, *event), z.dtype),
        *(tf.TensorSpec(x.shape, x.dtype) for x in theta),
    ]
    graph = _graph(field, method, tuple(specs))
    z1, log_det, stats = graph(*scalars, probes.directions, z, *theta)
    with tf.control_dependencies(check_solved(stats, label, tol)):
        z1 = tf.identity(z1)
    z1, log_det = tf.ensure_shape(z1, z.shape), tf.ensure_shape(log_det, z.shape[:1])
    return z1, log_det, stats


@functools.cache
def _graph(
    field: Any, method: Method, specs: tuple[tf.TensorSpec, ...]
) -> Callable[..., Any]:
    """The traced solve of all layers with this field and these shapes."""
    solve = functools.partial(_solve, field, method)
    return tf.function(solve, input_signature=specs, autograph=False)


def _solve(
    field: Any,
    method: Method,
    name: Tensor,
    tol: Tensor,
    adjoint_tol: Tensor,
    nfe_backward_probe: Tensor,
    weight: Tensor,
    directions: Tensor,
    z: Tensor,
    *theta: Tensor,
) -> Any:
    probes = Probes(directions, weight)
    initial = (z, tf.zeros(tf.shape(z)[:1], z.dtype))

    # functions of the graph: traced once and called by each stage of a step
    @tf.function(autograph=False)
    def ode_fn(theta: Any, t: Tensor, y: Any) -> Any:
        with tf.name_scope("dynamics"):  # what `tfcnf.reporting.profile` looks for
            return value_and_divergence(field, theta, t, y[0], probes)

    if method.gradient == "store":
        solver = discrete.DifferentiableDormandPrince(
            tol, method.max_num_steps, method.pi_control
        )
        solution = solver.integrate(
            solver.bind(ode_fn, theta), method.start, method.end, initial
        )
        z1, log_det = solution.y
        return z1, log_det + 0.0 * nfe_backward_probe, solution.stats

    @tf.custom_gradient
    def run(z: Tensor, probe: Tensor, *theta: Tensor) -> Any:
        solver = make_solver(
            method.solver, tol, method.max_num_steps, method.pi_control
        )
        solution = solver.integrate(
            functools.partial(ode_fn, theta),
            method.start,
            method.end,
            initial,
            keep_trail=method.gradient == "checkpoint",
        )

        def gradient(dz1: Tensor, dlog_det: Tensor, *_: Tensor) -> tuple[Any, ...]:
            if method.gradient == "checkpoint":
                (dz, _), nfe, dtheta = discrete.backward(
                    ode_fn,
                    theta,
                    method.start,
                    method.end,
                    solution.trail,
                    (dz1, dlog_det),
                )
            else:
                # the forward steps tell how long the first one back may be
                first_step = solution.step * (adjoint_tol / tol) ** 0.2
                dz, nfe, dtheta = _solve_adjoint(
                    field,
                    method,
                    probes,
                    theta,
                    solution,
                    name,
                    adjoint_tol,
                    first_step,
                    dz1,
                    dlog_det,
                )
            return dz, tf.cast(nfe, probe.dtype), *dtheta

        return (*solution.y, solution.stats), gradient

    return run(z, nfe_backward_probe, *theta)


def _solve_adjoint(
    field: Any,
    method: Method,
    probes: Probes,
    theta: Sequence[Tensor],
    solution: Solution,
    name: Tensor,
    adjoint_tol: Tensor,
    first_step: Tensor | None,
    dz1: Tensor,
    dlog_det: Tensor,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients in z and theta from the backward solve, and its evaluations."""
    is_reference = method.solver == "reference"
    scale = tf.ones([], dz1.dtype)
    if method.solver == "tfcnf":
        largest = tf.maximum(_rms(dz1), _rms(dlog_det))
        scale = tf.where(largest > 0, largest, scale)
    z1, log_det = solution.y
    kept = (z1, log_det) if is_reference else (z1,)

    def derivatives(
        wrt_theta: bool, theta: Any, a_log_det: Tensor, t: Tensor, y: Any
    ) -> Any:
        with tf.name_scope("dynamics"):
            (dz, divergence), grad_z, grad_theta = adjoint_dynamics(
                field, theta, t, y[0], probes, y[-1], a_log_det, wrt_theta
            )
        dy = (*(dz, divergence)[: len(kept)], -grad_z)
        return (dy, tuple(-g for g in grad_theta)) if wrt_theta else dy

    # traced once each and called by the stages of a step
    plain = tf.function(functools.partial(derivatives, False), autograph=False)
    full = tf.function(functools.partial(derivatives, True), autograph=False)
    a_log_det = dlog_det / scale
    solver = make_solver(
        method.solver, adjoint_tol, method.max_num_steps, method.pi_control
    )
    back = solver.integrate(
        functools.partial(plain, theta, a_log_det),
        method.end,
        method.start,
        (*kept, dz1 / scale),
        Quadrature(
            functools.partial(full, theta, a_log_det),
            tuple(tf.zeros_like(x) for x in theta),
        ),
        first_step,
    )
    name = tf.strings.join(["gradient of ", name])
    with tf.control_dependencies(check_solved(back.stats, name, adjoint_tol)):
        gradients = [scale * g for g in back.total]
        return scale * back.y[-1], back.stats.nfe, gradients


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
            tf.debugging.Assert(finite, [message, adjoint_tol])
            return dz

        return tf.identity(z), gradient

    return identity(z)


def _rms(x: Tensor) -> Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(x)))
