"""One CNF solve with adjoint gradients: (z, log_det) forward, (z, a_z) backward.

The backward solve integrates ``a_z`` (the gradient with respect to z(t)) together
with a recomputed z(t). Only these two take part in its error test; the parameter
gradient is a quadrature along the way, and the log-determinant, whose adjoint is
constant, is not integrated again. The equations are linear in the adjoints, so
they are solved for adjoints scaled to unit size: the tolerance then means the
same whatever the scale of the loss.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.ode.divergence import Probes, adjoint_dynamics, value_and_divergence
from tfcnf.ode.solver import DormandPrince, check_solved
from tfcnf.types import SolveStats, Tensor


class Interval(NamedTuple):
    """Start and end of a solve, the end possibly before the start, and its bound."""

    start: float = 0.0
    end: float = 1.0
    max_num_steps: int = 1000


def solve(
    field: Any,
    theta: Sequence[Tensor],
    z: Tensor,
    probes: Probes,
    tol: Tensor,
    adjoint_tol: Tensor,
    nfe_backward_probe: Tensor,
    interval: Interval,
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
        interval: times and bound on the attempted steps, each way.
        name: named in error messages.

    Returns:
        State at the end, log |det dz(end)/dz(start)| ``[B]`` and `SolveStats`.

    Raises:
        tf.errors.InvalidArgumentError: ``SolverError: ...`` where a solve fails.
    """
    z = _check_gradient(z, name, adjoint_tol)
    scalars = [tol, adjoint_tol, nfe_backward_probe, probes.weight]
    specs = [tf.TensorSpec((), x.dtype) for x in scalars]
    num_probes, event = probes.directions.shape[0], z.shape[1:]
    specs += [
        tf.TensorSpec((num_probes, None, *event), z.dtype),
        tf.TensorSpec((None, *event), z.dtype),
        *(tf.TensorSpec(x.shape, x.dtype) for x in theta),
    ]
    graph = _graph(field, interval, tuple(specs))
    z1, log_det, stats = graph(*scalars, probes.directions, z, *theta)
    check_solved(stats, name, tol)
    z1, log_det = tf.ensure_shape(z1, z.shape), tf.ensure_shape(log_det, z.shape[:1])
    return z1, log_det, stats


@functools.cache
def _graph(
    field: Any, interval: Interval, specs: tuple[tf.TensorSpec, ...]
) -> Callable[..., Any]:
    """The traced solve of all layers with this field and these shapes."""
    solve = functools.partial(_solve, field, interval)
    return tf.function(solve, input_signature=specs, autograph=False)


def _solve(
    field: Any,
    interval: Interval,
    tol: Tensor,
    adjoint_tol: Tensor,
    nfe_backward_probe: Tensor,
    weight: Tensor,
    directions: Tensor,
    z: Tensor,
    *theta: Tensor,
) -> Any:
    probes = Probes(directions, weight)

    # functions of the graph: traced once and called by each stage of a step
    @tf.function(autograph=False)
    def dynamics(theta: Any, t: Tensor, y: Any) -> Any:
        return value_and_divergence(field, theta, t, y[0], probes), ()

    @tf.function(autograph=False)
    def backward_dynamics(theta: Any, a_log_det: Tensor, t: Tensor, y: Any) -> Any:
        dz, grad_z, grad_theta = adjoint_dynamics(
            field, theta, t, y[0], probes, y[1], a_log_det
        )
        return (dz, -grad_z), grad_theta

    @tf.custom_gradient
    def run(z: Tensor, probe: Tensor, *theta: Tensor) -> Any:
        initial = (z, tf.zeros(tf.shape(z)[:1], z.dtype))
        (z1, log_det), _, stats = DormandPrince(tol, interval.max_num_steps).integrate(
            functools.partial(dynamics, theta), interval.start, interval.end, initial
        )

        def gradient(dz1: Tensor, dlog_det: Tensor, *_: Tensor) -> tuple[Any, ...]:
            scale = tf.maximum(_rms(dz1), _rms(dlog_det))
            scale = tf.where(scale > 0, scale, tf.ones_like(scale))
            solver = DormandPrince(adjoint_tol, interval.max_num_steps)
            (_, a_z), total, back = solver.integrate(
                functools.partial(backward_dynamics, theta, dlog_det / scale),
                interval.end,
                interval.start,
                (z1, dz1 / scale),
            )
            nfe = tf.cast(back.nfe, probe.dtype)
            return scale * a_z, nfe, *(-scale * g for g in total)

        return (z1, log_det, stats), gradient

    return run(z, nfe_backward_probe, *theta)


def _check_gradient(z: Tensor, name: str, adjoint_tol: Tensor) -> Tensor:
    """z itself, whose gradient raises where the backward solve failed."""

    @tf.custom_gradient
    def identity(z: Tensor) -> Any:
        def gradient(dz: Tensor) -> Tensor:
            message = (
                f"SolverError: gradient of {name}: the backward solve failed or was "
                "given a gradient that is not finite; try a larger `max_num_steps`, a "
                "larger `adjoint_tol`, a smaller learning rate or gradient clipping. "
                "Received: adjoint_tol ="
            )
            finite = tf.reduce_all(tf.math.is_finite(dz))
            tf.debugging.Assert(finite, [message, adjoint_tol])
            return dz

        return tf.identity(z), gradient

    return identity(z)


def _rms(x: Tensor) -> Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(x)))
