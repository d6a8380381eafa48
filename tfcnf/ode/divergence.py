"""The trace of df/dz: Hutchinson's estimate or the exact sum, and its adjoint.

Both are one formula, ``weight * sum_p e_p^T (df/dz) e_p``: random probes with
weight 1/P (Hutchinson; FFJORD, Eq. 7) or unit vectors with weight 1 (exact). Where
values far apart do not depend on each other, one direction is the sum of many unit
vectors (Curtis, Powell and Reid 1974): a convolutional field of reach r needs
(r + 1)^2 directions a channel, whatever the size of the image.
The probes are drawn once a solve and shared with its adjoint solve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.seeds import normal, signs
from tfcnf.types import Tensor

TRACES = ("rademacher", "gaussian", "exact")


class Probes(NamedTuple):
    """Directions ``[P, B, ...]`` and the weight of each in the trace."""

    directions: Tensor
    weight: Tensor


def draw_probes(
    z: Tensor,
    trace: str,
    num_probes: int,
    seed: Tensor,
    reach: int | None = None,
    share: bool = False,
    rows: Tensor = None,
) -> Probes:
    """Directions for the trace of one solve.

    Args:
        z: the state they are for, ``[B, ...]``; only shape and dtype are used.
        trace: ``"rademacher"``, ``"gaussian"``, ``"exact"``, or ``"none"`` for no
            directions at all.
        num_probes: random probes P to average; unused by the exact trace.
        seed: ``[2]`` integers.
        reach: see `tfcnf.ode.dynamics.Dynamics`; for the exact trace.
        share: whether all examples get the same random probes.
        rows: see `tfcnf.types.Control`.
    """
    batch, event = tf.shape(z)[0], z.shape[1:]
    if trace == "none":
        return Probes(tf.zeros([0, batch, *event], z.dtype), tf.ones([], z.dtype))
    if trace == "exact":
        units = _units(tuple(event), reach, z.dtype)
        return Probes(tf.repeat(units, batch, axis=1), tf.ones([], z.dtype))
    if share:
        probes = draw_probes(z[:1], trace, num_probes, seed)
        return probes._replace(directions=tf.repeat(probes.directions, batch, axis=1))
    draw = normal if trace == "gaussian" else signs
    if rows is None:
        noise = draw([num_probes, batch, *event], seed, z.dtype)
    else:
        first, total = tf.unstack(rows)
        each = [first + i * total for i in range(num_probes)]
        noise = tf.stack([draw([batch, *event], seed, z.dtype, row) for row in each])
    return Probes(noise, tf.constant(1.0 / num_probes, z.dtype))


def _units(event: tuple[int, ...], reach: int | None, dtype: tf.DType) -> Tensor:
    """Sums of unit vectors too far apart to depend on each other, ``[P, 1, *event]``.

    Every unit vector is in one of them.
    """
    dims = math.prod(event)
    group = tf.reshape(tf.range(dims), event)
    if reach is not None:
        height, width, channels = event
        rows, columns = min(reach + 1, height), min(reach + 1, width)
        dims = rows * columns * channels
        row, column, channel = tf.meshgrid(
            *(tf.range(height) % rows, tf.range(width) % columns, tf.range(channels)),
            indexing="ij",
        )
        group = (row * columns + column) * channels + channel
    numbers = tf.reshape(tf.range(dims), [dims] + [1] * len(event))
    return tf.cast(tf.equal(numbers, group), dtype)[:, None]


def value_and_divergence(
    field: Any, theta: Sequence[Tensor], t: Tensor, z: Tensor, probes: Probes
) -> tuple[Tensor, Tensor]:
    """f(t, z) and its divergence.

    Returns:
        ``dz`` of the shape of z, and ``weight * sum_p e_p^T (df/dz) e_p``, ``[B]``.
    """
    if probes.directions.shape[0] == 0:
        return field.value(theta, t, z), tf.zeros(tf.shape(z)[:1], z.dtype)
    dz, tangents = field.jvp(theta, t, z, probes.directions)
    axes = [0, *range(2, len(tangents.shape))]
    return dz, probes.weight * tf.reduce_sum(tangents * probes.directions, axes)


def adjoint_dynamics(
    field: Any,
    theta: Sequence[Tensor],
    t: Tensor,
    z: Tensor,
    probes: Probes,
    a_z: Tensor,
    a_log_det: Tensor,
    wrt_theta: bool = True,
) -> tuple[tuple[Tensor, Tensor], Tensor, list[Tensor]]:
    """f, its divergence and the products of the adjoints with their derivatives.

    Returns:
        ``(dz, divergence)``, and the gradients of
        ``<a_z, f> + <a_log_det, divergence>`` with respect to z and, ``wrt_theta``, to
        theta.
    """
    inputs = [z, *theta] if wrt_theta else [z]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        dz, divergence = value_and_divergence(field, theta, t, z, probes)
        product = tf.reduce_sum(a_z * dz) + tf.reduce_sum(a_log_det * divergence)
    grad_z, *grad_theta = tape.gradient(
        product, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return (dz, divergence), grad_z, grad_theta
