"""Running costs: closed forms, the augmented state, gradients, and what they change."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm

import tfcnf
from tfcnf.ode.cost import Cost, Evaluation
from tfcnf.ode.dynamics import DenseDynamics
from tfcnf.ode.gradient import Gradient
from tfcnf.ode.solve import Method, solve
from tfcnf.ode.trace import Exact, Hutchinson, value_and_divergence

DIMS, BATCH = 3, 4
COSTS = (tfcnf.KineticEnergy(), tfcnf.JacobianNorm())
A = np.array([[0.3, -1.2, 0.4], [0.9, -0.5, 0.2], [0.1, 0.7, -0.8]])


class Linear(NamedTuple):
    """dz/dt = z A^T, of theta [A], counting its calls."""

    calls: tuple = ("linear",)

    def jvp(self, theta, t, z, probes):
        COUNT.append(t)
        along = tf.einsum("ij,pbj->pbi", theta[0], probes)
        return tf.matmul(z, theta[0], transpose_b=True), along


COUNT: list = []


@pytest.fixture(scope="module")
def dynamics():
    layer = DenseDynamics((5,), seed=3, dtype="float64")
    layer.build((None, DIMS))
    for variable in layer.trainable_variables:  # lively enough for several steps
        variable.assign(3.0 * variable)
    return layer


def state():
    return tf.constant(np.random.default_rng(0).normal(size=(BATCH, DIMS)))


def run(field, theta, tol=1e-9, probe=None, z=None, **method):
    z = state() if z is None else z
    return solve(
        field,
        theta,
        z=z,
        probes=Exact().draw(z, [0, 0]),
        tol=tf.constant(tol, tf.float64),
        adjoint_tol=tf.constant(tol, tf.float64),
        nfe_backward_probe=tf.zeros([], tf.float64) if probe is None else probe,
        method=Method(**({"costs": COSTS} | method)),
    )


@pytest.mark.parametrize(
    ("start", "gradient", "rel"),
    [(0.0, "adjoint", 1e-8), (1.0, "adjoint", 1e-8), (1.0, "checkpoint", 1e-4)],
)
def test_costs_of_a_linear_field_in_closed_form(start, gradient, rel):
    way = {"gradient": Gradient.get(gradient), "start": start, "end": 1.0 - start}
    _, _, energy, norm, _ = run(Linear(), [tf.constant(A)], **way)
    sign = 1.0 - 2.0 * start
    for z, found in zip(state().numpy(), energy.numpy(), strict=True):
        expected = quad(lambda t, z=z: np.sum((A @ expm(sign * t * A) @ z) ** 2), 0, 1)
        assert found == pytest.approx(expected[0], rel=rel)
    np.testing.assert_allclose(norm, np.sum(A**2), rtol=1e-12)


def test_costs_are_those_of_an_augmented_state(dynamics):
    @tf.function
    def derivatives(t, y):
        with tf.GradientTape() as tape:
            tape.watch(y)
            dy = dynamics(t, y)
        jacobian = tape.batch_jacobian(dy, y)
        return dy, tf.reduce_sum(dy**2, 1), tf.reduce_sum(jacobian**2, [1, 2])

    def augmented(t, flat):
        y = tf.constant(flat[: BATCH * DIMS].reshape(BATCH, DIMS))
        parts = derivatives(tf.constant(t, tf.float64), y)
        return np.concatenate([part.numpy().ravel() for part in parts])

    first = np.concatenate([state().numpy().ravel(), np.zeros(2 * BATCH)])
    last = solve_ivp(augmented, (0, 1), first, "DOP853", rtol=1e-10, atol=1e-10)
    field, theta = dynamics.prepare()
    _, _, energy, norm, _ = run(field, theta)
    found = np.concatenate([energy, norm])
    np.testing.assert_allclose(found, last.y[BATCH * DIMS :, -1], rtol=1e-6)


@pytest.mark.parametrize("solver", [tfcnf.Dopri5(), tfcnf.Tsit5(), tfcnf.Bosh3()])
def test_no_weight_of_a_cost_is_negative(solver):
    weights, c = np.array(solver.tableau.positive), np.array(solver.tableau.c)
    assert (weights >= 0).all()
    moments = [weights @ c**k for k in range(3)]
    exact = 2 if isinstance(solver, tfcnf.Tsit5) else 3  # Tsit5 misses the third
    np.testing.assert_allclose(moments[:exact], [1, 1 / 2, 1 / 3][:exact])
    assert moments[2] == pytest.approx(1 / 3, abs=0.01)


def test_a_solve_without_costs_does_not_ask_for_their_weights(dynamics, monkeypatch):
    def refuse(tableau):
        raise AssertionError("weights of costs")

    monkeypatch.setattr(type(tfcnf.Dopri5.tableau), "positive", property(refuse))
    field, theta = dynamics.prepare()
    way = {"gradient": Gradient.get("checkpoint"), "costs": ()}
    with tf.GradientTape() as tape:
        tape.watch(theta)
        z1, log_det, _ = run(field, theta, tol=1e-3, **way)
        value = tf.reduce_sum(z1) + tf.reduce_sum(log_det)
    assert all(np.abs(g).max() > 0 for g in tape.gradient(value, theta))


class Late(NamedTuple):
    """dz/dt = theta[0] from t = 0.85 to 0.95, and 0 elsewhere."""

    name: str = "late"

    def jvp(self, theta, t, z, probes):
        on = tf.cast((t > 0.85) & (t < 0.95), z.dtype)
        return on * theta[0] + tf.zeros_like(z), tf.zeros_like(probes)


@pytest.mark.parametrize("gradient", ["checkpoint", "store"])
def test_a_training_by_steps_cannot_make_an_energy_negative(gradient):
    # the stage of Dopri5 at t = 8/9 has a negative weight in the solution
    theta = tf.constant(2.0, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        z1, _, energy, _, _ = run(
            Late(), [theta], tol=1e3, gradient=Gradient.get(gradient)
        )
    assert (z1.numpy() < state().numpy()).all()
    assert (energy.numpy() >= 0).all()
    assert float(tape.gradient(energy, theta)) >= 0


def objective(dynamics, z, gradient, start, tol):
    field, theta = dynamics.prepare()
    way = {"gradient": Gradient.get(gradient), "start": start, "end": 1.0 - start}
    z1, log_det, energy, norm, _ = run(field, theta, tol=tol, z=z, **way)
    weights = tf.constant([0.5, 1.0, 2.0, 3.0], tf.float64)
    each = 0.1 * tf.reduce_sum(tf.sin(z1), 1) + log_det + energy + tf.square(norm)
    return tf.reduce_sum(weights * each)


@pytest.mark.parametrize(
    ("gradient", "start"),
    [
        ("adjoint", 0.0),
        ("adjoint", 1.0),
        ("checkpoint", 1.0),
        pytest.param("store", 1.0, marks=pytest.mark.slow),  # a long graph
    ],
)
def test_gradients_are_those_of_finite_differences(dynamics, gradient, start):
    z, weights = state(), dynamics.trainable_variables
    # weights that are not negative are of order 3, and the differences see each step
    tol = 1e-8 if gradient == "adjoint" else 1e-12
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = objective(dynamics, z, gradient, start, tol)
    gradients = tape.gradient(value, [z, *weights])
    rng, step = np.random.default_rng(5), 1e-5
    along = [rng.normal(size=x.shape) for x in (z, *weights)]
    saved = [w.numpy() for w in weights]
    values = []
    for sign in (1, -1):
        for weight, old, direction in zip(weights, saved, along[1:], strict=True):
            weight.assign(old + sign * step * direction)
        moved = z + sign * step * along[0]
        values.append(float(objective(dynamics, moved, gradient, start, tol)))
    for weight, old in zip(weights, saved, strict=True):
        weight.assign(old)
    slope = (values[0] - values[1]) / (2 * step)
    found = sum(np.sum(g * d) for g, d in zip(gradients, along, strict=True))
    assert found == pytest.approx(slope, rel=1e-5)


def test_costs_change_neither_the_solve_nor_its_evaluations(dynamics):
    field, theta = dynamics.prepare()
    z1, log_det, energy, _, stats = run(field, theta, tol=1e-4)
    plain_z1, plain_log_det, plain_stats = run(field, theta, tol=1e-4, costs=())
    assert float(tf.reduce_min(energy)) > 0.1
    assert int(stats.num_rejected) + int(stats.num_accepted) > 1
    assert int(stats.nfe) == int(plain_stats.nfe)
    np.testing.assert_array_equal(z1, plain_z1)
    np.testing.assert_array_equal(log_det, plain_log_det)


@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
def test_counts_with_costs_are_the_true_calls(gradient):
    rate, probe = tf.constant(A), tf.zeros([], tf.float64)
    COUNT.clear()
    tf.config.run_functions_eagerly(True)
    try:
        with tf.GradientTape() as tape:
            tape.watch([probe, rate])
            way = Gradient.get(gradient)
            *_, energy, norm, stats = run(
                Linear(("eager",)), [rate], tol=1e-3, probe=probe, gradient=way
            )
            value = tf.reduce_sum(energy) + tf.reduce_sum(norm)
        assert len(COUNT) == int(stats.nfe)
        COUNT.clear()
        nfe_backward, slope = tape.gradient(value, [probe, rate])
    finally:
        tf.config.run_functions_eagerly(False)
    assert len(COUNT) == int(nfe_backward) > 0
    assert np.linalg.norm(slope) > 1.0


def test_hutchinsons_estimate_of_the_norm_is_unbiased():
    z, count = state()[:1], 4000
    probes = Hutchinson(count).draw(z, [0, 1])
    (each,) = tf.matmul(probes.directions[:, 0], A, transpose_b=True)[None]
    square = tf.reduce_sum(each**2, 1).numpy()
    *_, found = value_and_divergence(
        Linear(),
        [tf.constant(A)],
        t=tf.zeros([], tf.float64),
        z=z,
        probes=probes,
        costs=COSTS[1:],
    )
    assert float(found[0]) == pytest.approx(square.mean())
    error = square.std() / count**0.5
    assert 0 < error < 0.1
    assert abs(square.mean() - np.sum(A**2)) < 4 * error


def test_the_exact_norm_of_a_convolution_is_that_of_its_jacobian():
    dynamics = tfcnf.ConvDynamics((2,), seed=0, dtype="float64")
    layer = tfcnf.CNFLayer(
        dynamics, trace="exact", costs=["jacobian_norm"], dtype="float64"
    )
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 7, 7, 1)))
    layer.build(x.shape)
    probes = layer._probes(x, tfcnf.Control(), [0, 0], layer.costs)
    t = tf.constant(0.3, tf.float64)
    field, theta = dynamics.prepare()
    *_, found = value_and_divergence(
        field, theta, t=t, z=x, probes=probes, costs=layer.costs
    )
    with tf.GradientTape() as tape:
        tape.watch(x)
        dx = dynamics(t, x)
    expected = tf.reduce_sum(tape.batch_jacobian(dx, x) ** 2)
    np.testing.assert_allclose(found[0], expected, rtol=1e-10)


@pytest.mark.slow  # the compiler
def test_costs_of_a_failed_solve_are_no_numbers():
    def graph(z):
        *_, energy, _, _ = run(Linear(), [tf.constant(A)], z=z)
        return energy

    failed = tf.function(graph, jit_compile=True)(state() * float("nan"))
    assert np.isnan(failed).all()


def test_a_cost_of_your_own_is_one_class():
    class Passed(Cost, key="passed"):
        def integrand(self, at: Evaluation):
            return 2.0 * at.t * tf.ones_like(at.z[:, 0])

    try:
        layer = tfcnf.CNFLayer(DenseDynamics((2,)), costs=["passed", "kinetic_energy"])
        out = layer(tf.ones([3, 2]))
    finally:
        del Cost.known["passed"]
    np.testing.assert_allclose(out.costs["passed"], 1.0, rtol=1e-6)
    assert set(out.costs) == {"passed", "kinetic_energy"}


@pytest.mark.parametrize("costs", [["energy"], ["kinetic_energy", COSTS[0]]])
def test_unknown_and_doubled_costs_are_refused(costs):
    with pytest.raises(ValueError, match=r"Received: costs?="):
        tfcnf.CNFLayer(DenseDynamics((2,)), costs=costs)


def test_a_layer_with_costs_is_rebuilt_from_its_configuration():
    layer = tfcnf.CNFLayer(DenseDynamics((2,)), costs=COSTS, steer=0.25)
    twin = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert (twin.costs, twin.steer) == (COSTS, 0.25)
