"""One CNF solve with adjoint gradients: (z, log_det) forward, (z, a_z) backward.

The backward solve integrates ``a_z`` (the gradient with respect to z(t)) together
with a recomputed z(t). Only these two take part in its error test; the parameter
gradient is a quadrature along the way, and the log-determinant, whose adjoint is
constant, is not integrated again. The equations are linear in the adjoints, so
they are solved for adjoints scaled to unit size: the tolerance then means the
same whatever the scale of the loss.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcnf.ode.divergence import Probes, adjoint_dynamics, value_and_divergence
from tfcnf.ode.solver import DormandPrince, check_solved
from tfcnf.types import SolveStats, Tensor


@tf.function(autograph=False)
def solve(
    field: Any,
    theta: Any,
    z: Tensor,
    probes: Probes,
    tol: Tensor,
    adjoint_tol: Tensor,
    nfe_backward_probe: Tensor,
    name: Tensor,
    initial_time: float = 0.0,
    final_time: float = 1.0,
    max_num_steps: int = 1000,
) -> tuple[Tensor, Tensor, SolveStats]:
    """Moves z along a field and accumulates the log-determinant (InfoCNF Eq. 2).

    Args:
        field: a hashable field, see `tfcnf.ode.dynamics`.
        theta: its parameters; gradients reach them.
        z: state at ``initial_time``, ``[B, ...]``.
        probes: directions of the trace, fixed for the solve and its adjoint.
        tol: tolerance of the forward solve, scalar.
        adjoint_tol: tolerance of the backward solve, scalar.
        nfe_backward_probe: scalar whose "gradient" is the number of evaluations
            of the backward solve.
        name: scalar string tensor for error messages.
        initial_time: start of the interval.
        final_time: end of the interval; before the start, the flow is inverted.
        max_num_steps: bound on attempted steps, each way.

    Returns:
        State at the end, log |det dz(final)/dz(initial)| ``[B]`` and `SolveStats`.

    Raises:
        tf.errors.InvalidArgumentError: ``SolverError: ...`` where a solve fails.
    """

    @tf.custom_gradient
    def run(z: Tensor, _: Tensor, *flat_theta: Tensor) -> Any:
        theta_ = tf.nest.pack_sequence_as(theta, flat_theta)
        log_det = tf.zeros(tf.shape(z)[:1], z.dtype)
        (z1, log_det), _, stats = DormandPrince(tol, max_num_steps).integrate(
            lambda t, y: (value_and_divergence(field, theta_, t, y[0], probes), ()),
            initial_time,
            final_time,
            (z, log_det),
        )
        check_solved(stats, name, tol)

        def gradient(dz1: Tensor, dlog_det: Tensor, *_: Tensor) -> tuple[Any, ...]:
            dz0, dtheta, back = _solve_adjoint(theta_, z1, dz1, dlog_det)
            nfe = tf.cast(back.nfe, nfe_backward_probe.dtype)
            return dz0, nfe, *tf.nest.flatten(dtheta)

        return (z1, log_det, stats), gradient

    def _solve_adjoint(
        theta_: Any, z1: Tensor, dz1: Tensor, dlog_det: Tensor
    ) -> tuple[Tensor, Any, SolveStats]:
        scale = tf.maximum(_rms(dz1), _rms(dlog_det))
        scale = tf.where(scale > 0, scale, tf.ones_like(scale))
        a_log_det = dlog_det / scale

        def backward(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Any, Any]:
            dz, grad_z, grad_theta = adjoint_dynamics(
                field, theta_, t, y[0], probes, y[1], a_log_det
            )
            return (dz, -grad_z), grad_theta

        solver = DormandPrince(adjoint_tol, max_num_steps)
        (_, a_z), total, stats = solver.integrate(
            backward, final_time, initial_time, (z1, dz1 / scale)
        )
        check_solved(stats, tf.strings.join(["gradient of ", name]), adjoint_tol)
        dtheta = tf.nest.map_structure(lambda g: -scale * g, total)
        return scale * a_z, dtheta, stats

    return run(z, nfe_backward_probe, *tf.nest.flatten(theta))


def _rms(x: Tensor) -> Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(x)))
