"""A Runge-Kutta step written out, and gradients back along many of them.

What the gradients of the discrete solution are made of, whether the end of a solve is
wanted (`tfcnf.ode.discrete`) or its states at many times (`tfcnf.ode.trajectory`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.ode.tableau import Tableau
from tfcnf.types import Tensor


def advance(
    tableau: Tableau,
    ode_fn: Callable[[Tensor, Any], Any],
    *,
    t: Tensor,
    dt: Tensor,
    y: Any,
    f: Any,
) -> tuple[Any, list[Any]]:
    """The state after a step of size dt, and the derivatives of its stages.

    Args:
        tableau: of the pair.
        ode_fn: ``(t, y) -> dy``, called for all stages but the first and the last.
        t: time at the start of the step.
        dt: its size.
        y: state there, a tensor or a structure of them.
        f: its derivative.
    """
    stages = [f]
    for c, row in zip(tableau.c[1:-1], tableau.a[:-1], strict=True):
        stages.append(ode_fn(t + c * dt, moved(y, dt, row, stages)))
    return moved(y, dt, tableau.a[-1], stages), stages


def moved(y: Any, dt: Tensor, weights: Sequence[float], stages: Sequence[Any]) -> Any:
    """y plus dt times the weighted sum of the stages."""
    return tf.nest.map_structure(tf.add, y, increment(dt, weights, stages))


def increment(dt: Tensor, weights: Sequence[float], stages: Sequence[Any]) -> Any:
    """dt times the weighted sum of the stages."""
    used = [(w * dt, k) for w, k in zip(weights, stages, strict=True) if w != 0]
    factors = [w for w, _ in used]

    def total(*parts: Tensor) -> Tensor:
        return tf.add_n([w * k for w, k in zip(factors, parts, strict=True)])

    return tf.nest.map_structure(total, *(k for _, k in used))


def pull_back(function: Callable[..., Any], inputs: list[Any], adjoint: Any) -> Any:
    """Gradients of <adjoint, function(*inputs)> in the inputs; zero where it has none.

    Args:
        function: of structures of tensors.
        inputs: its arguments.
        adjoint: of the structure of its results.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        results = function(*inputs)
    return tape.gradient(
        results, inputs, adjoint, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )


def back_along(
    count: Tensor,
    take_back: Callable[[Tensor, Any], tuple[Any, Sequence[Tensor]]],
    adjoint: Any,
    theta: Sequence[Tensor],
) -> tuple[Any, list[Tensor]]:
    """Takes an adjoint back along the steps of a solve, the last one first.

    Args:
        count: number of steps.
        take_back: ``(i, adjoint) -> (adjoint, gradients in theta)`` of step i.
        adjoint: of the state after the last step.
        theta: parameters.

    Returns:
        Adjoint of the state before the first step; the sum of the gradients in theta.
    """

    def body(i: Tensor, adjoint: Any, total: list[Tensor]) -> Any:
        adjoint, gradients = take_back(i, adjoint)
        return i - 1, adjoint, [a + b for a, b in zip(total, gradients, strict=True)]

    zeros = [tf.zeros_like(x) for x in theta]
    _, adjoint, total = tf.while_loop(
        lambda i, *_: i >= 0, body, [count - 1, adjoint, zeros], parallel_iterations=1
    )
    return adjoint, total
