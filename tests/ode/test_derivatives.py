"""Derivatives beyond the gradient: right, or refused."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.ode.dynamics import Dynamics
from tfcnf.ode.gradient import Gradient
from tfcnf.ode.solve import Method, solve
from tfcnf.ode.solvers.bosh3 import Bosh3
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.trace import Exact
from tfcnf.ode.trajectory import solve_on_grid

RATE = 0.7
GROWTH = np.exp(RATE)
Z = np.array([[0.5, -1.0], [2.0, 0.3]])


class Growth(NamedTuple):
    """dz/dt = theta z."""

    name: str = "growth"

    def value(self, theta, t, z):
        return theta[0] * z

    def jvp(self, theta, t, z, probes):
        return theta[0] * z, theta[0] * probes


def run(z, kind, field=None, theta=None, solver=None, tol=1e-8):
    """z(1) by a gradient method, or on a grid of times."""
    z, field = tf.convert_to_tensor(z), field or Growth()
    theta = [tf.constant(RATE, tf.float64)] if theta is None else theta
    tol = tf.constant(tol, tf.float64)
    if kind == "grid":
        times = tf.constant([1.0], tf.float64)
        return solve_on_grid(field, theta, z=z, times=times, tol=tol)[0][:, 0]
    probes = Exact().draw(z, [0, 0])
    probe = tf.zeros([], tf.float64)
    method = Method(solver=solver or Dopri5(), gradient=Gradient.get(kind))
    return solve(
        field,
        theta,
        z=z,
        probes=probes,
        tol=tol,
        adjoint_tol=tol,
        nfe_backward_probe=probe,
        method=method,
    )[0]


KINDS = ["adjoint", "checkpoint", "store", "grid"]


def test_jacobians_are_vectorized():
    z = tf.constant(Z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        z1 = run(z, "adjoint", solver=Bosh3(), tol=1e-7)  # fewer stages to vectorize
    jacobian = tape.batch_jacobian(z1, z)
    expected = np.tile(GROWTH * np.eye(2), (2, 1, 1))
    np.testing.assert_allclose(jacobian, expected, rtol=1e-6, atol=1e-9)


@pytest.fixture
def eagerly():
    """Functions are not traced, which is faster where they run once."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_right_or_refused(kind):
    z = tf.constant(Z)
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            value = tf.reduce_sum(run(z, kind) ** 2)
        slope = inner.gradient(value, z)
    np.testing.assert_allclose(slope, 2 * GROWTH**2 * Z, rtol=1e-6)
    if kind == "store":
        second = outer.gradient(slope, z)
        np.testing.assert_allclose(second, np.full((2, 2), 2 * GROWTH**2), rtol=1e-6)
    else:
        error = tf.errors.InvalidArgumentError
        with pytest.raises(error, match="only the gradient `store` has"):
            outer.gradient(slope, z)


def test_second_derivatives_are_refused_in_graphs():
    @tf.function
    def second(z):
        value = tf.reduce_sum(run(z, "checkpoint", solver=Bosh3()) ** 2)
        return tf.gradients(tf.gradients(value, z), z)

    error = tf.errors.InvalidArgumentError
    with pytest.raises(error, match="only the gradient `store` has"):
        second(tf.constant(Z))


@pytest.mark.parametrize("kind", KINDS)
def test_forward_mode_is_refused(kind):
    z = tf.constant(Z)
    with (
        tf.autodiff.ForwardAccumulator(z, tf.ones_like(z)),
        pytest.raises(ValueError, match=r"no forward-mode .* Received: tf\.autodiff"),
    ):
        run(z, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_of_the_first_tensorflow_solve_too(kind):
    # there == between tensors compares objects
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        z1 = session.run(run(tf.constant(Z), kind))
    np.testing.assert_allclose(z1, GROWTH * Z, rtol=1e-6)


class Foreign(Dynamics):
    """Dynamics with a variable that Keras does not know."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.rate = tf.Variable(RATE, dtype=tf.float64)

    def call(self, t, z):
        return self.rate * z


def test_a_gradient_past_the_weights_is_refused():
    dynamics = Foreign()
    dynamics.build((None, 2))
    z1 = run(tf.constant(Z), "adjoint", *dynamics.prepare())
    np.testing.assert_allclose(z1, GROWTH * Z, rtol=1e-6)
    with (
        tf.GradientTape() as tape,
        pytest.raises(ValueError, match=r"add_weight.* Received: Variable"),
    ):
        tape.gradient(run(Z, "adjoint", *dynamics.prepare()), dynamics.rate)
