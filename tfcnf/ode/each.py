"""Solves in which every example has steps of its own, without gradient.

In a solve of shared steps the error norm is a mean over the batch, so that an answer
depends, within the tolerance and for an odd example beyond it, on the rest of its
batch. Here the same control judges each example alone, see `tfcnf.ode.clocks`.

An answer is then, to the bit, the same alone and in any batch, as far as the kernels
of the fields give a row the same result in every batch of whole groups. TensorFlow's
matrix products and convolutions on CPUs do; for a single row they have kernels of their
own, which do not. A test compares them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.ode.clocks import EachIntegrator, missing, take
from tfcnf.ode.control import Clock
from tfcnf.ode.fields import StackField, divide, parameter_specs
from tfcnf.ode.quadrature import directed
from tfcnf.ode.solve import Method
from tfcnf.ode.solver import RungeKutta, check_keeps_steps
from tfcnf.ode.status import SOLVED, check_solved
from tfcnf.ode.trace import Probes, value_and_divergence
from tfcnf.types import SolveStats, Tensor


def solve_each(
    field: Any,
    theta: Sequence[Tensor],
    *,
    z: Tensor,
    probes: Probes,
    tol: Tensor,
    method: Method,
    name: str = "solve",
) -> tuple[Tensor, Tensor, SolveStats]:
    """Move z along a field, each example by its own steps, with its log-determinant.

    Fields of your own are evaluated one example at a time, for the time of each is
    another; the stacks of `tfcnf.ode.fields` take all at once.

    Args:
        field: see `tfcnf.ode.solve.solve`.
        theta: its parameters.
        z: state at the start, ``[B, ...]``.
        probes: directions of the trace.
        tol: tolerance of every example, scalar.
        method: times and solver; its gradient and costs are not used.
        name: named in error messages.

    Returns:
        As `tfcnf.ode.solve.solve`; the counts, the status and the step size of
        `SolveStats` are ``[B]``.

    Raises:
        tf.errors.InvalidArgumentError: ``SolverError: ...`` where a solve fails.
        ValueError: for a solver that does not keep its steps, or from a gradient.
    """
    check_keeps_steps("steps='each'", method.solver)
    start, end = (tf.convert_to_tensor(t, z.dtype) for t in (method.start, method.end))
    max_attempts = tf.cast(method.max_attempts, tf.int64)
    scalars = [start, end, tol, probes.weight, max_attempts]
    state = [None, *z.shape[1:]]
    specs = (
        *(tf.TensorSpec((), x.dtype) for x in scalars),
        tf.TensorSpec([probes.directions.shape[0], *state], z.dtype),
        tf.TensorSpec(state, z.dtype),
        *parameter_specs(field, theta),
    )
    graph = _graph(field, method.solver, specs)

    @tf.custom_gradient
    def run(directions: Tensor, z: Tensor, *theta: Tensor) -> Any:
        def gradient(*_: Tensor, **__: Any) -> Any:
            raise ValueError(
                "a solve in which each example has its own steps has no gradient; "
                "take shared steps. Received: the gradient of steps='each'"
            )

        # the gradient is the one above, not that of the solver's operations
        inputs = tf.nest.map_structure(tf.stop_gradient, (directions, z, *theta))
        return graph(*scalars, *inputs), gradient

    z1, log_det, stats = run(probes.directions, z, *theta)
    stats = SolveStats(*stats)
    with tf.control_dependencies(check_solved(_worst(stats), name, tol)):
        z1 = tf.identity(z1)
    return tf.ensure_shape(z1, z.shape), log_det, stats


@functools.cache
def _graph(
    field: Any, solver: RungeKutta, specs: tuple[tf.TensorSpec, ...]
) -> Callable[..., Any]:
    """The traced solve of all layers with this field and these shapes."""
    return tf.function(
        functools.partial(_solve, field, solver),
        input_signature=specs,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def _solve(
    field: Any,
    solver: RungeKutta,
    start: Tensor,
    end: Tensor,
    tol: Tensor,
    weight: Tensor,
    max_attempts: Tensor,
    directions: Tensor,
    z: Tensor,
    *theta: Tensor,
) -> tuple[Tensor, Tensor, SolveStats]:
    count = tf.shape(z)[0]
    shared, own = divide(theta, getattr(field, "per_example", 0))
    z, directions = _padded(z, count), _padded(directions, count, 1)
    own = [_padded(x, count) for x in own]
    column = [-1] + [1] * (len(z.shape) - 1)

    # a function of the graph: traced once and called by each stage of a step
    @tf.function(autograph=False)
    def evaluate(own: Any, directions: Tensor, t: Tensor, z: Tensor) -> Any:
        with tf.name_scope("dynamics"):
            probes = Probes(directions, weight)
            dz, divergence = _at_own_times(field, [*shared, *own], t, z, probes)
            return dz, tf.reshape(divergence, column)

    def ode_fn(rows: Tensor, s: Tensor, y: Any) -> Any:
        mine = take(own, rows), tf.gather(directions, rows, axis=1)
        plain, _, _ = directed(
            lambda t, y: evaluate(*mine, t, y[0]),
            None,
            initial_time=start,
            final_time=end,
            dtype=z.dtype,
        )
        return plain(s, y)

    none = tf.zeros([tf.shape(z)[0], *column[1:]], z.dtype)
    integrator = EachIntegrator(solver, tol)
    y, clock = integrator.solve(
        ode_fn, tf.abs(end - start), (z, none), count=count, max_attempts=max_attempts
    )
    z1, log_det = y[0][:count], y[1][:count]
    nan = tf.constant(float("nan"), z.dtype)
    solved = tf.equal(clock.status[:count], SOLVED)
    clock = Clock(*(tf.reshape(x[:count], [-1]) for x in clock))
    stats = clock.stats(solver.begun, solver.tableau.evaluations, z1)
    z1, log_det = tf.where(solved, z1, nan), tf.where(solved, log_det, nan)
    return z1, tf.reshape(log_det, [-1]), stats


def _padded(x: Tensor, count: Tensor, axis: int = 0) -> Tensor:
    """x with rows of zeros behind its ``count`` rows, in whole groups."""
    sides = [[0, missing(count) if i == axis else 0] for i in range(len(x.shape))]
    return tf.pad(x, sides)


def _at_own_times(
    field: Any, theta: Sequence[Tensor], t: Tensor, z: Tensor, probes: Probes
) -> tuple[Tensor, Tensor]:
    """The field and its divergence where each example has a time of its own."""
    if isinstance(field, StackField):
        return value_and_divergence(field, theta, t=t, z=z, probes=probes)
    shared, own = divide(theta, getattr(field, "per_example", 0))

    def one(given: Any) -> tuple[Tensor, Tensor]:
        own, t, z, directions = given
        dz, divergence = value_and_divergence(
            field,
            [*shared, *(x[None] for x in own)],
            t=tf.reshape(t, []),
            z=z[None],
            probes=Probes(directions[:, None], probes.weight),
        )
        return dz[0], divergence[0]

    rows = list(own), t, z, tf.einsum("pb...->bp...", probes.directions)
    specs = tf.TensorSpec(z.shape[1:], z.dtype), tf.TensorSpec([], z.dtype)
    return tf.map_fn(one, rows, fn_output_signature=specs)


def _worst(stats: SolveStats) -> SolveStats:
    """The stats of a batch, as `check_solved` takes them."""
    return stats._replace(
        nfe=tf.reduce_max(stats.nfe),
        status=tf.reduce_max(stats.status),
        dt=tf.reduce_min(stats.dt),
    )
