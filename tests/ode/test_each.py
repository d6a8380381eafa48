"""Steps of its own for each example: those of a solve alone, and bits that agree."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.flows.cnf import CNFLayer
from tfcnf.ode.dynamics import ConvDynamics, Dynamics
from tfcnf.ode.solver import Solver
from tfcnf.types import Control, On

PAIRS = [
    made(
        pi_control=made.key == "tsit5",
        norm="joint" if made.key == "bosh3" else "largest",
        first_step="whole" if made.key == "bosh3" else "guess",
    )
    for made in Solver.known.values()
    if made.keeps_steps
]
SEED = tf.constant([0, 1])
RNG = np.random.default_rng(0)


def control(dtype, tol, context=None, each=True):
    return Control(
        tol=tf.constant(tol, dtype),
        seed=SEED,
        share_noise=On(),
        context=context,
        each=On() if each else None,
    )


@pytest.mark.parametrize("solver", PAIRS, ids=str)
def test_each_example_takes_the_steps_that_it_would_take_alone(solver):
    back = solver.key == "bosh3"
    dynamics = ConvDynamics(
        (3,), time="concatsquash", context_dims=1, seed=1, dtype="float64"
    )
    layer = CNFLayer(
        dynamics, trace="hutchinson:probes=2", solver=solver, seed=0, dtype="float64"
    )
    layer.build((None, 4, 4, 1))
    for row in dynamics.stack:
        row["context_gate"].assign(np.full(row["context_gate"].shape, 0.5))
    x = tf.constant(RNG.normal(size=[3, 4, 4, 1]))
    context = tf.constant([[0.0], [3.0], [-1.0]], tf.float64)
    out = layer(x, inverse=back, control=control("float64", 1e-6, context))
    for i in range(3):
        one = control("float64", 1e-6, context[i : i + 1], each=False)
        alone = layer(x[i : i + 1], inverse=back, control=one)
        np.testing.assert_allclose(out.z[i], alone.z[0], atol=1e-12)
        np.testing.assert_allclose(out.log_det[i], alone.log_det[0], atol=1e-12)
        assert out.nfe[0, i] == alone.nfe[0]
    assert len(set(out.nfe[0].numpy())) > 1


class Spin(Dynamics):
    """Turns the plane, faster and faster, farther out more."""

    def call(self, t, z):
        turned = tf.stack([-z[:, 1], z[:, 0]], 1)
        return tf.reshape(t, []) * tf.reduce_sum(z * z, 1, keepdims=True) * turned


@pytest.fixture(scope="module")
def spin():
    options = {"trace": "exact", "solver": "dopri5:max_num_steps=200"}
    return CNFLayer(Spin(dtype="float64"), dtype="float64", **options)


def test_fields_of_your_own_are_asked_for_one_example_at_its_time(spin):
    x = np.array([[0.1, 0.0], [1.0, 1.0], [3.0, 0.0]])
    out = spin(x, control=control("float64", 1e-9))
    z = (x[:, 0] + 1j * x[:, 1]) * np.exp(0.5j * (x**2).sum(1))
    np.testing.assert_allclose(out.z, np.stack([z.real, z.imag], 1), atol=1e-7)
    np.testing.assert_allclose(out.log_det, 0.0, atol=1e-7)
    assert out.nfe[0, 0] < out.nfe[0, 1] < out.nfe[0, 2]


def test_one_example_that_fails_is_named_and_a_gradient_refused(spin):
    x = tf.constant([[0.1, 0.0], [90.0, 90.0]], tf.float64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="SolverError: cnf"):
        spin(x, control=control("float64", 1e-9))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = spin(x / 900, control=control("float64", 1e-5)).z
    with pytest.raises(ValueError, match="no gradient"):
        tape.gradient(z, x)
