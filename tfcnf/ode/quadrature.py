"""Integrals that a solve takes along, outside its error test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability.python.math.ode import runge_kutta_util

from tfcnf.ode.runge_kutta import TABLEAU
from tfcnf.types import Tensor


class Quadrature(NamedTuple):
    """An integral dq/dt = g(t, y) taken along a solve, outside its error test.

    Attributes:
        ode_fn: ``(t, y) -> (dy, dq)``, called where the integrand is needed: at five
            of the seven stages of a step. The solve's own ``ode_fn`` serves the rest.
        initial: tuple of tensors, the integral at the start.
    """

    ode_fn: Callable[[Tensor, Any], tuple[Any, Any]]
    initial: Any


def directed(
    ode_fn: Callable[..., Any],
    quadrature: Quadrature | None,
    initial_time: float,
    final_time: float,
    dtype: tf.DType,
) -> tuple[Callable[..., Any], Callable[..., Any], Any]:
    """Derivatives by the time since the start, without and with the quadrature's."""
    sign = 1.0 if final_time >= initial_time else -1.0
    start = tf.constant(initial_time, dtype)

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
    index: int,
    lands: Tensor,
    s: Tensor,
    y: Any,
    zero: Any,
) -> tuple[Any, Any]:
    """Derivative and integrand of a stage; no integrand where its weight is 0.

    The last stage's integrand is the next step's first: the last step needs none.
    """
    if not tf.nest.flatten(zero):
        return plain(s, y), ()
    if index == len(TABLEAU.c_sol) - 1:
        return tf.cond(lands, lambda: (plain(s, y), zero), lambda: full(s, y))
    if TABLEAU.c_sol[index] == 0:
        return plain(s, y), zero
    return full(s, y)


def accumulate(total: Any, dt: Tensor, stages: list[Any]) -> Any:
    """The quadrature after a step, by the weights of the solution."""
    if not tf.nest.flatten(total):
        return total
    weights = [1.0, *(dt * c if c else 0.0 for c in TABLEAU.c_sol)]
    return runge_kutta_util.weighted_sum(weights, [total, *stages])


def _scale(factor: float, structure: Any) -> Any:
    return tf.nest.map_structure(lambda x: factor * x, structure)
