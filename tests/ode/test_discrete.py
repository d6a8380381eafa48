"""The exact gradients of the discrete solution, against unrolled backpropagation."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.ode.discrete import Checkpoint
from tfcnf.ode.dynamics import DenseDynamics
from tfcnf.ode.gradient import Gradient
from tfcnf.ode.solve import Method, solve
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.trace import Exact, value_and_divergence

TOL = tf.constant(1e-4, tf.float64)


@pytest.fixture(scope="module")
def dynamics():
    keras.utils.set_random_seed(3)
    layer = DenseDynamics((6,), dtype="float64")
    layer.build((None, 3))
    for variable in layer.trainable_variables:  # lively enough for several steps
        variable.assign(4.0 * variable)
    return layer


def state():
    return tf.constant(np.random.default_rng(0).normal(size=(4, 3)))


def objective(z1, log_det):
    return tf.reduce_sum(tf.sin(z1)) + tf.reduce_sum(log_det * [0.5, 1.0, 2.0, 3.0])


def gradients(dynamics, gradient, start=0.0, tol=TOL):
    z, probe = state(), tf.zeros([], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([z, probe])
        field, theta = dynamics.prepare()
        probes = Exact().draw(z, [0, 0])
        method = Method(start, 1.0 - start, gradient=Gradient.get(gradient))
        z1, log_det, stats = solve(
            field,
            theta,
            z=z,
            probes=probes,
            tol=tol,
            adjoint_tol=tol,
            nfe_backward_probe=probe,
            method=method,
        )
        value = objective(z1, log_det)
    weights = dynamics.trainable_variables
    dz, nfe, *dtheta = tape.gradient(value, [z, probe, *weights])
    return [dz, *dtheta], stats, int(nfe)


def unrolled(dynamics, start):
    """Backpropagation through the same accepted steps, written out."""
    z, tableau = state(), Dopri5.tableau
    sign = 1.0 - 2.0 * start
    probes = Exact().draw(z, [0, 0])
    field, theta = dynamics.prepare()
    trail = (
        Dopri5()
        .integrator(TOL)
        .integrate(
            lambda t, y: value_and_divergence(field, theta, t=t, z=y[0], probes=probes),
            start,
            1.0 - start,
            (z, tf.zeros([4], tf.float64)),
            keep_trail=True,
        )
        .trail
    )
    with tf.GradientTape() as tape:
        tape.watch(z)
        field, theta = dynamics.prepare()
        y, log_det = z, tf.zeros([4], tf.float64)
        for s, dt in zip(trail.s.numpy(), trail.dt.numpy(), strict=True):
            stages = []
            for a, row in zip(tableau.c[:-1], [(), *tableau.a[:-1]], strict=True):
                at = y
                for weight, (dz, _) in zip(row, stages, strict=True):
                    at = at + sign * dt * weight * dz
                t = tf.constant(start + sign * (s + a * dt), tf.float64)
                stages.append(
                    value_and_divergence(field, theta, t=t, z=at, probes=probes)
                )
            for weight, (dz, divergence) in zip(tableau.b, stages, strict=False):
                y = y + sign * dt * weight * dz
                log_det = log_det + sign * dt * weight * divergence
        value = objective(y, log_det)
    return tape.gradient(value, [z, *dynamics.trainable_variables]), len(trail.s)


@pytest.mark.parametrize("gradient", ["checkpoint", "store"])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_gradients_are_those_of_unrolled_backpropagation(dynamics, gradient, start):
    expected, count = unrolled(dynamics, start)
    found, stats, nfe = gradients(dynamics, gradient, start)
    assert count == int(stats.num_accepted) > 1
    assert nfe == (6 * count if gradient == "checkpoint" else 0)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-13)


def test_all_ways_tend_to_the_same_gradient(dynamics):
    tight = tf.constant(1e-11, tf.float64)
    adjoint, _, _ = gradients(dynamics, "adjoint", tol=tight)
    for way in ("checkpoint", "store"):
        found, _, _ = gradients(dynamics, way, tol=tight)
        for x, y in zip(found, adjoint, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-10)


class Cliff(NamedTuple):
    """dz/dt = a z, infinite beyond |z| = 3, where only a rejected stage goes."""

    def jvp(self, theta, t, z, probes):
        slope = theta[0] * (1.0 + tf.exp(1000.0 * (tf.abs(z) - 3.0)))
        return slope * z, slope * probes


@pytest.mark.parametrize("gradient", ["checkpoint", "store"])
def test_a_rejected_step_that_overflows_leaves_the_gradient_finite(gradient):
    z, rate = tf.constant([[0.5], [1.0]], tf.float64), tf.constant(-6.0, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(rate)
        z1, _, stats = solve(
            Cliff(),
            [rate],
            z=z,
            probes=Exact().draw(z, [0, 0]),
            tol=TOL,
            adjoint_tol=TOL,
            nfe_backward_probe=tf.zeros([], tf.float64),
            method=Method(gradient=Gradient.get(gradient)),
        )
        value = tf.reduce_sum(z1)
    assert int(stats.num_rejected) > 0
    slope = tape.gradient(value, rate)
    np.testing.assert_allclose(slope, 1.5 * np.exp(-6.0), rtol=0.05)  # 1.5 exp(a)


class Counted(NamedTuple):
    """dz/dt = a z, counting its calls."""

    calls: int = 0

    def jvp(self, theta, t, z, probes):
        COUNT.append(t)
        return theta[0] * z, theta[0] * probes


COUNT: list = []


def test_checkpoint_counts_are_the_true_calls():
    z, rate = state(), tf.constant(1.5, tf.float64)
    probe = tf.zeros([], tf.float64)
    COUNT.clear()
    tf.config.run_functions_eagerly(True)
    try:
        with tf.GradientTape() as tape:
            tape.watch([probe, rate])
            z1, log_det, stats = solve(
                Counted(),
                [rate],
                z=z,
                probes=Exact().draw(z, [0, 0]),
                tol=tf.constant(1e-7, tf.float64),
                adjoint_tol=TOL,
                nfe_backward_probe=probe,
                method=Method(gradient=Checkpoint()),
            )
            value = tf.reduce_sum(z1) + tf.reduce_sum(log_det)
        assert len(COUNT) == int(stats.nfe)
        COUNT.clear()
        nfe = tape.gradient(value, probe)
    finally:
        tf.config.run_functions_eagerly(False)
    assert len(COUNT) == int(nfe) > 6
