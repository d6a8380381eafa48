from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import solve_ivp

from tfcnf.ode import solve as solving
from tfcnf.ode.dynamics import DenseDynamics
from tfcnf.ode.solve import Method, solve
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.trace import Exact

DIMS, BATCH = 3, 4


@pytest.fixture(scope="module")
def dynamics():
    keras.utils.set_random_seed(3)
    layer = DenseDynamics((6,), init="uniform", dtype="float64")
    layer.build((None, DIMS))
    for variable in layer.trainable_variables:  # livelier than at the start
        variable.assign(2.0 * variable)
    return layer


def state(seed=0, batch=BATCH):
    return tf.constant(np.random.default_rng(seed).normal(size=(batch, DIMS)))


def run(dynamics, z, tol, probe=None, adjoint_tol=None, **interval):
    field, theta = dynamics.prepare()
    return solve(
        field,
        theta,
        z=z,
        probes=Exact().draw(z, [0, 0]),
        tol=tf.constant(tol, tf.float64),
        adjoint_tol=tf.constant(adjoint_tol or tol, tf.float64),
        nfe_backward_probe=tf.zeros([], tf.float64) if probe is None else probe,
        method=Method(**interval),
    )


def loss(dynamics, z, tol, probe=None, scale=1.0):
    z1, log_det, _ = run(dynamics, z, tol, probe)
    weights = tf.linspace(tf.constant(0.5, tf.float64), 1.5, BATCH)
    return scale * (
        tf.reduce_sum(weights[:, None] * tf.sin(z1)) + tf.reduce_sum(weights * log_det)
    )


def gradients(dynamics, tol, scale=1.0):
    z, probe = state(), tf.zeros([], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([z, probe])
        value = loss(dynamics, z, tol, probe, scale)
    weights = dynamics.trainable_variables
    dz, nfe, *dtheta = tape.gradient(value, [z, probe, *weights])
    return dz, nfe, dtheta


def test_state_and_log_det_against_scipy(dynamics):
    z = state()
    z1, log_det, _ = run(dynamics, z, 1e-9)

    @tf.function
    def derivatives(t, y):
        with tf.GradientTape() as tape:
            tape.watch(y)
            dy = dynamics(t, y)
        return dy, tf.linalg.trace(tape.batch_jacobian(dy, y))

    def field(t, flat):
        y = tf.constant(flat[: z.shape.num_elements()].reshape(z.shape))
        dy, trace = derivatives(tf.constant(t, tf.float64), y)
        return np.concatenate([dy.numpy().ravel(), trace.numpy()])

    start = np.concatenate([z.numpy().ravel(), np.zeros(BATCH)])
    end = solve_ivp(field, (0, 1), start, "DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(z1.numpy().ravel(), end[:-BATCH], rtol=1e-7)
    np.testing.assert_allclose(log_det, end[-BATCH:], rtol=1e-7)


def test_gradients_against_finite_differences(dynamics):
    dz, _, dtheta = gradients(dynamics, 1e-10)
    z, step = state(), 1e-5
    direction = tf.constant(np.random.default_rng(5).normal(size=z.shape))
    slope = loss(dynamics, z + step * direction, 1e-10)
    slope = (slope - loss(dynamics, z - step * direction, 1e-10)) / (2 * step)
    np.testing.assert_allclose(tf.reduce_sum(dz * direction), slope, rtol=1e-5)
    for variable, gradient in zip(dynamics.trainable_variables, dtheta, strict=True):
        saved = variable.numpy()
        direction = np.random.default_rng(6).normal(size=saved.shape)
        values = []
        for sign in (1, -1):
            variable.assign(saved + sign * step * direction)
            values.append(loss(dynamics, z, 1e-10).numpy())
        variable.assign(saved)
        slope = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5)


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_gradients_follow_the_tolerance(dynamics, tol):
    _, _, exact = gradients(dynamics, 1e-11)
    _, _, loose = gradients(dynamics, tol)
    norm = np.sqrt(sum(np.sum(g.numpy() ** 2) for g in exact))
    error = np.sqrt(
        sum(np.sum((a - b).numpy() ** 2) for a, b in zip(exact, loose, strict=True))
    )
    assert error < 10 * tol * norm


def test_the_scale_of_the_loss_changes_neither_steps_nor_gradient(dynamics):
    dz, nfe, _ = gradients(dynamics, 1e-5)
    small_dz, small_nfe, _ = gradients(dynamics, 1e-5, scale=1e-6)
    assert float(nfe) == float(small_nfe)
    np.testing.assert_allclose(1e6 * small_dz, dz, rtol=1e-9)


def test_inverse_undoes_forward_and_negates_log_det(dynamics):
    z = state()
    z1, log_det, _ = run(dynamics, z, 1e-9)
    back, inverse_log_det, _ = run(dynamics, z1, 1e-9, start=1.0, end=0.0)
    np.testing.assert_allclose(back, z, atol=1e-7)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-7)


class Counted(NamedTuple):
    """dz/dt = a z, counting its calls."""

    calls: tuple

    def jvp(self, theta, t, z, probes):
        COUNT[self.calls[0]] += 1
        return theta[0] * z, theta[0] * probes


COUNT = {"counted": 0}


def test_forward_and_backward_counts_are_the_true_calls():
    z, rate = state(), tf.constant(1.5, tf.float64)
    probe = tf.zeros([], tf.float64)
    tf.config.run_functions_eagerly(True)
    try:
        with tf.GradientTape() as tape:
            tape.watch([probe, rate])
            z1, log_det, stats = solve(
                Counted(("counted",)),
                [rate],
                z=z,
                probes=Exact().draw(z, [0, 0]),
                tol=tf.constant(1e-4, tf.float64),
                adjoint_tol=tf.constant(1e-7, tf.float64),
                nfe_backward_probe=probe,
                method=Method(),
            )
            value = tf.reduce_sum(z1) + tf.reduce_sum(log_det)
        assert COUNT["counted"] == int(stats.nfe)
        COUNT["counted"] = 0
        nfe_backward, slope = tape.gradient(value, [probe, rate])
    finally:
        tf.config.run_functions_eagerly(False)
    assert COUNT["counted"] == int(nfe_backward)
    assert int(nfe_backward) > int(stats.nfe)  # its tolerance is tighter
    # d/da [exp(a) sum z + B D a] in closed form
    expected = np.exp(1.5) * np.sum(z) + BATCH * DIMS
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_tolerances_and_batch_sizes_share_one_trace(dynamics):
    solving._graph.cache_clear()
    counts = set()
    for tol, batch in [(1e-3, 2), (1e-6, 2), (1e-4, 5)]:
        _, _, stats = run(dynamics, state(batch=batch), tol)
        counts.add(int(stats.nfe))
    assert len(counts) > 1
    assert solving._graph.cache_info().misses == 1
    twin = DenseDynamics((6,), init="uniform", dtype="float64")
    twin.build((None, DIMS))
    run(twin, state(), 1e-3)
    assert solving._graph.cache_info().misses == 1


def test_failed_solves_name_the_layer(dynamics):
    field, theta = dynamics.prepare()
    z = state() * float("nan")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"SolverError.*my_layer"):
        solve(
            field,
            theta,
            z=z,
            probes=Exact().draw(z, [0, 0]),
            tol=tf.constant(1e-3, tf.float64),
            adjoint_tol=tf.constant(1e-3, tf.float64),
            nfe_backward_probe=tf.zeros([], tf.float64),
            method=Method(),
            name="my_layer",
        )


def test_failed_gradients_name_the_layer(dynamics):
    field, theta = dynamics.prepare()
    z = state()
    with tf.GradientTape() as tape:
        tape.watch(z)
        z1, _, _ = solve(
            field,
            theta,
            z=z,
            probes=Exact().draw(z, [0, 0]),
            tol=tf.constant(1e-2, tf.float64),
            adjoint_tol=tf.constant(1e-13, tf.float64),
            nfe_backward_probe=tf.zeros([], tf.float64),
            method=Method(solver=Dopri5(10)),
            name="my_layer",
        )
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="SolverError: gradient of my_layer"
    ):
        tape.gradient(z1, z)


def test_xla_gives_the_same_and_nan_where_a_solve_fails(dynamics):
    def value_and_gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(dynamics, z, 1e-6)
        return value, tape.gradient(value, z)

    compiled = tf.function(value_and_gradient, jit_compile=True)
    for result, expected in zip(
        compiled(state()), value_and_gradient(state()), strict=True
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-9)
    assert np.isnan(compiled(state() * float("nan"))[0])
