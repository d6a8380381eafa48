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
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.checks import check_choice, check_positive_integer
from tfcnf.ode.cost import Cost, Evaluation
from tfcnf.registry import Record
from tfcnf.seeds import normal, signs
from tfcnf.types import Tensor

NOISES = ("rademacher", "gaussian")


class Probes(NamedTuple):
    """Directions ``[P, B, ...]`` and the weight of each in the trace."""

    directions: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Trace(Record, kind="trace"):
    """A way to take the trace, with its options.

    ```python
    assert tfcnf.Trace.get("hutchinson:probes=2") == tfcnf.Hutchinson(probes=2)
    ```
    """

    def draw(
        self,
        z: Tensor,
        seed: Tensor,
        reach: int | None = None,
        share: bool = False,
        rows: Tensor = None,
    ) -> Probes:
        """Directions for the trace of one solve.

        Args:
            z: the state they are for, ``[B, ...]``; only shape and dtype are used.
            seed: ``[2]`` integers.
            reach: see `tfcnf.ode.dynamics.Dynamics`; for the exact trace.
            share: all examples get the same random probes.
            rows: see `tfcnf.types.Control`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Hutchinson(Trace):
    """Hutchinson's estimate, of random probes.

    ```python
    trace = tfcnf.Hutchinson(probes=4, noise="gaussian")
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), trace=trace)
    ```

    Args:
        probes: number of them that are averaged, P.
        noise: ``"rademacher"`` or ``"gaussian"``.

    Raises:
        ValueError: for an option out of range.
    """

    probes: int = 1
    noise: str = "rademacher"

    def __post_init__(self) -> None:
        check_positive_integer("probes", self.probes)
        check_choice("noise", self.noise, NOISES)

    def draw(
        self,
        z: Tensor,
        seed: Tensor,
        reach: int | None = None,
        share: bool = False,
        rows: Tensor = None,
    ) -> Probes:
        """As `Trace.draw`."""
        batch, event = tf.shape(z)[0], z.shape[1:]
        if share:
            shared = self.draw(z[:1], seed)
            return shared._replace(directions=tf.repeat(shared.directions, batch, 1))
        sample = normal if self.noise == "gaussian" else signs
        if rows is None:
            noise = sample([self.probes, batch, *event], seed, z.dtype)
        else:
            first, total = tf.unstack(rows)
            each = [first + i * total for i in range(self.probes)]
            noise = tf.stack(
                [sample([batch, *event], seed, z.dtype, row) for row in each]
            )
        return Probes(noise, tf.constant(1.0 / self.probes, z.dtype))


@dataclass(frozen=True)
class Exact(Trace):
    """The exact trace: D directional derivatives, or fewer for dynamics of a reach.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), trace=tfcnf.Exact())
    ```
    """

    def draw(
        self,
        z: Tensor,
        seed: Tensor,
        reach: int | None = None,
        share: bool = False,
        rows: Tensor = None,
    ) -> Probes:
        """As `Trace.draw`, without noise."""
        units = _units(tuple(z.shape[1:]), reach, z.dtype)
        directions = tf.repeat(units, tf.shape(z)[0], axis=1)
        return Probes(directions, tf.ones([], z.dtype))


@dataclass(frozen=True)
class NoTrace(Trace, key=None):
    """No directions at all, where the log-determinant is not needed."""

    def draw(
        self,
        z: Tensor,
        seed: Tensor,
        reach: int | None = None,
        share: bool = False,
        rows: Tensor = None,
    ) -> Probes:
        """As `Trace.draw`, of no directions."""
        shape = [0, tf.shape(z)[0], *z.shape[1:]]
        return Probes(tf.zeros(shape, z.dtype), tf.ones([], z.dtype))


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
    field: Any,
    theta: Sequence[Tensor],
    *,
    t: Tensor,
    z: Tensor,
    probes: Probes,
    costs: Sequence[Cost] = (),
) -> tuple[Tensor, ...]:
    """f(t, z), its divergence and the integrands of costs.

    Returns:
        ``dz`` of the shape of z, ``weight * sum_p e_p^T (df/dz) e_p``, ``[B]``, and for
        each of the costs ``[B]``.
    """
    if probes.directions.shape[0] == 0:
        return field.value(theta, t, z), tf.zeros(tf.shape(z)[:1], z.dtype)
    dz, tangents = field.jvp(theta, t, z, probes.directions)
    axes = [0, *range(2, len(tangents.shape))]
    divergence = probes.weight * tf.reduce_sum(tangents * probes.directions, axes)
    at = Evaluation(t, z, dz, probes.directions, tangents, probes.weight)
    return dz, divergence, *(cost.integrand(at) for cost in costs)


def adjoint_dynamics(
    field: Any,
    theta: Sequence[Tensor],
    *,
    t: Tensor,
    z: Tensor,
    probes: Probes,
    a_z: Tensor,
    a_log_det: Tensor,
    costs: Sequence[Cost] = (),
    a_costs: Sequence[Tensor] = (),
    wrt_theta: bool = True,
) -> tuple[tuple[Tensor, Tensor], Tensor, list[Tensor]]:
    """f, its divergence and the products of the adjoints with their derivatives.

    Returns:
        ``(dz, divergence)``, and the gradients of
        ``<a_z, f> + <a_log_det, divergence> + sum_k <a_costs[k], costs[k]>`` with
        respect to z and, ``wrt_theta``, to theta.
    """
    inputs = [z, *theta] if wrt_theta else [z]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        dz, divergence, *integrands = value_and_divergence(
            field, theta, t=t, z=z, probes=probes, costs=costs
        )
        product = tf.reduce_sum(a_z * dz) + tf.reduce_sum(a_log_det * divergence)
        for a_cost, integrand in zip(a_costs, integrands, strict=True):
            product += tf.reduce_sum(a_cost * integrand)
    grad_z, *grad_theta = tape.gradient(
        product, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return (dz, divergence), grad_z, grad_theta
