"""Integrals that a solve takes along, outside its error test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability.python.math.ode import runge_kutta_util

from tfcnf.types import Tensor

Time = float | Tensor


class Quadrature(NamedTuple):
    """An integral dq/dt = g(t, y) taken along a solve, outside its error test.

    Attributes:
        ode_fn: ``(t, y) -> (dy, dq)``, called where the integrand is needed: at the
            stages with a weight in the solution, five of the seven of `Dopri5`. The
            solve's own ``ode_fn`` serves the rest.
        initial: tuple of tensors, the integral at the start.
        is_free: the integrand costs nothing beside dy, and may be computed at every
            stage.
        is_positive: take weights of the stages of which none is negative, see
            `Tableau.positive`, instead of those of the solution.
    """

    ode_fn: Callable[[Tensor, Any], tuple[Any, Any]]
    initial: Any
    is_free: bool = False
    is_positive: bool = False


def directed(
    ode_fn: Callable[..., Any],
    quadrature: Quadrature | None,
    *,
    initial_time: Time,
    final_time: Time,
    dtype: tf.DType,
) -> tuple[Callable[..., Any], Callable[..., Any], Any]:
    """Derivatives by the time since the start, without and with the quadrature's."""
    start = tf.convert_to_tensor(initial_time, dtype)
    sign = direction(start, tf.convert_to_tensor(final_time, dtype))

    def plain(s: Tensor, y: Any) -> Any:
        return _scale(sign, ode_fn(start + sign * s, y))

    def full(s: Tensor, y: Any) -> tuple[Any, Any]:
        if quadrature is None:
            return plain(s, y), ()
        return _scale(sign, quadrature.ode_fn(start + sign * s, y))

    return plain, full, quadrature.initial if quadrature else ()


def stage_of(
    plain: Callable[..., Any],
    full: Callable[..., Any],
    *,
    weights: Sequence[float],
    index: int,
    lands: Tensor,
    s: Tensor,
    y: Any,
    zero: Any,
    is_free: bool = False,
) -> tuple[Any, Any]:
    """Derivative and integrand of a stage; no integrand where its weight is 0.

    The last stage's integrand is the next step's first: the last step needs none.
    """
    if not tf.nest.flatten(zero):
        return plain(s, y), ()
    if is_free:
        return full(s, y)
    if index == len(weights) - 1:
        nothing = tf.nest.map_structure(tf.zeros_like, y), zero
        found = _where(lands, lambda: (plain(s, y), zero), nothing)
        return _where(~lands, lambda: full(s, y), found)
    if weights[index] == 0:
        return plain(s, y), zero
    return full(s, y)


def _where(condition: Tensor, function: Callable[[], Any], otherwise: Any) -> Any:
    """The function's results where a scalar condition holds.

    A loop of at most one pass: `tf.GradientTape.jacobian` vectorizes it, and fails on
    a conditional in which all rows take the same branch.
    """
    results, _ = tf.while_loop(
        lambda _, passed: condition & ~passed,
        lambda *_: (function(), tf.constant(True)),
        (otherwise, tf.constant(False)),
        maximum_iterations=1,
        parallel_iterations=1,
    )
    return results


def accumulate(
    total: Any, dt: Tensor, weights: Sequence[float], stages: list[Any]
) -> Any:
    """The quadrature after a step, by the weights of its stages."""
    if not tf.nest.flatten(total):
        return total
    factors = [1.0, *(dt * c if c else 0.0 for c in weights)]
    return runge_kutta_util.weighted_sum(factors, [total, *stages])


def joint(
    ode_fn: Callable[..., Any],
    quadrature: Quadrature | None,
    *,
    initial_time: Time,
    final_time: Time,
    initial_state: Any,
) -> tuple[Callable[..., Any], Any]:
    """Derivatives and state with the quadrature as more components."""
    _, full, total = directed(
        ode_fn,
        quadrature,
        initial_time=initial_time,
        final_time=final_time,
        dtype=initial_state[0].dtype,
    )
    count = len(initial_state)

    def derivatives(s: Tensor, y: Any) -> Any:
        dy, dq = full(s, tuple(y[:count]))
        return (*dy, *dq)

    return derivatives, (*initial_state, *total)


def direction(start: Tensor, end: Tensor) -> Tensor:
    """1 for a solve forward in time, and -1 backward."""
    one = tf.ones([], start.dtype)
    return tf.where(end >= start, one, -one)


def duration(start: Time, end: Time, dtype: tf.DType) -> Tensor:
    """Time from the start to the end of a solve, positive."""
    return tf.abs(tf.cast(end, dtype) - tf.cast(start, dtype))


def _scale(factor: Tensor, structure: Any) -> Any:
    return tf.nest.map_structure(lambda x: factor * x, structure)
