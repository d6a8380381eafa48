import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import solve_ivp

from tfcnf.ode import trajectory
from tfcnf.ode.dynamics import DenseDynamics
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.trajectory import solve_on_grid

DIMS, BATCH = 3, 4
TIMES = np.array([0.0, 0.1, 0.35, 0.7, 1.3, 2.0])


@pytest.fixture(scope="module")
def dynamics():
    keras.utils.set_random_seed(3)
    layer = DenseDynamics((6,), activation="tanh", init="uniform", dtype="float64")
    layer.build((None, DIMS))
    for variable in layer.trainable_variables:  # livelier than at the start
        variable.assign(2.0 * variable)
    return layer


def state(seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=(BATCH, DIMS)))


def run(dynamics, z, tol, times=TIMES, **options):
    field, theta = dynamics.prepare()
    tol = tf.constant(tol, tf.float64)
    return solve_on_grid(
        field, theta, z=z, times=tf.constant(times), tol=tol, **options
    )


def truth(dynamics, z, times, start=0.0):
    """SciPy's solution at the times, ``[B, T, D]``."""

    def field(t, flat):
        y = tf.constant(flat.reshape(z.shape))
        return dynamics(tf.constant(t, tf.float64), y).numpy().ravel()

    end = times[np.argmax(np.abs(times - start))]
    solved = solve_ivp(
        field,
        (start, end),
        z.numpy().ravel(),
        "DOP853",
        rtol=1e-11,
        atol=1e-11,
        dense_output=True,
    )
    return solved.sol(times).T.reshape(len(times), *z.shape).swapaxes(0, 1)


@pytest.mark.parametrize("tol", [1e-4, 1e-8])
def test_states_on_the_grid_against_scipy(dynamics, tol):
    states, _ = run(dynamics, state(), tol)
    expected = truth(dynamics, state(), TIMES)
    # the error test controls the steps, not the polynomial between them
    np.testing.assert_allclose(states, expected, rtol=30 * tol, atol=30 * tol)
    np.testing.assert_array_equal(states[:, 0], state())


def test_backward_in_time_against_scipy(dynamics):
    times = -TIMES
    states, _ = run(dynamics, state(), 1e-8, times, direction=-1)
    expected = truth(dynamics, state(), times)
    np.testing.assert_allclose(states, expected, rtol=1e-7, atol=1e-7)


def test_times_of_each_example_agree_with_shared_ones(dynamics):
    own = np.stack([TIMES + 0.1 * i for i in range(BATCH)])
    states, _ = run(dynamics, state(), 1e-8, own)
    for i in range(BATCH):
        # with the same end the steps are the same, and so is what lies between them
        times = np.append(own[i], own.max())
        shared, _ = run(dynamics, state(), 1e-8, times)
        np.testing.assert_allclose(states[i], shared[i, :-1], rtol=1e-12, atol=1e-12)
        expected = truth(dynamics, state(), own[i])[i]
        np.testing.assert_allclose(states[i], expected, rtol=3e-7, atol=3e-7)


def test_more_times_cost_no_evaluations(dynamics):
    _, few = run(dynamics, state(), 1e-6, np.array([2.0]))
    _, many = run(dynamics, state(), 1e-6, np.linspace(0, 2, 200))
    assert int(few.nfe) == int(many.nfe)
    assert int(few.nfe) == 2 + 6 * int(few.num_accepted + few.num_rejected)


def test_all_times_at_the_start_give_the_start(dynamics):
    states, _ = run(dynamics, state(), 1e-6, np.zeros(2))
    np.testing.assert_allclose(states, np.stack([state()] * 2, 1), atol=1e-14)


def loss(dynamics, z, tol, times, probe=None):
    states, _ = run(dynamics, z, tol, times, nfe_backward_probe=probe)
    rng = np.random.default_rng(8)
    return tf.reduce_sum(rng.normal(size=states.shape) * tf.sin(states))


@pytest.mark.parametrize("times", ["shared", "own"])
def test_gradients_against_finite_differences(dynamics, times):
    times = TIMES if times == "shared" else np.tile(TIMES, (BATCH, 1)) ** 1.1
    z, probe, tol = state(), tf.zeros([], tf.float64), 1e-10
    weights = dynamics.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch([z, probe])
        value = loss(dynamics, z, tol, times, probe)
    dz, nfe, *dtheta = tape.gradient(value, [z, probe, *weights])
    _, stats = run(dynamics, z, tol, times)
    assert int(nfe) == 1 + 6 * int(stats.num_accepted)
    step = 1e-5
    direction = np.random.default_rng(5).normal(size=z.shape)
    slope = loss(dynamics, z + step * direction, tol, times)
    slope -= loss(dynamics, z - step * direction, tol, times)
    np.testing.assert_allclose(np.sum(dz * direction), slope / (2 * step), rtol=1e-5)
    for variable, gradient in zip(weights, dtheta, strict=True):
        saved = variable.numpy()
        direction = np.random.default_rng(6).normal(size=saved.shape)
        values = []
        for sign in (1, -1):
            variable.assign(saved + sign * step * direction)
            values.append(loss(dynamics, z, tol, times).numpy())
        variable.assign(saved)
        slope = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-5)


def test_gradients_are_those_of_the_discrete_solution(dynamics, monkeypatch):
    """With frozen step sizes they are exact even at a loose tolerance."""

    def frozen(self, *step, **options):
        accept, clock = original(self, *step, **options)
        return accept, clock._replace(dt=tf.constant(0.5, tf.float64))

    original = trajectory.GridIntegrator._judge
    monkeypatch.setattr(trajectory.GridIntegrator, "_judge", frozen)
    monkeypatch.setattr(
        trajectory.GridIntegrator,
        "_first_step",
        lambda self, f, y, dy, end: tf.constant(0.5, tf.float64),
    )
    trajectory._graph.cache_clear()
    try:
        z, times, tol = state(), np.linspace(0, 2, 9), 1e2
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(dynamics, z, tol, times)
        dz = tape.gradient(value, z)
        _, stats = run(dynamics, z, tol, times)
        assert int(stats.num_accepted) == 4
        direction, step = np.random.default_rng(5).normal(size=z.shape), 1e-6
        slope = loss(dynamics, z + step * direction, tol, times)
        slope -= loss(dynamics, z - step * direction, tol, times)
    finally:
        trajectory._graph.cache_clear()
    np.testing.assert_allclose(np.sum(dz * direction), slope / (2 * step), rtol=1e-8)


def test_a_failed_solve_names_the_layer_and_gives_no_states(dynamics):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"SolverError: my_layer"):
        run(dynamics, state() * float("nan"), 1e-3, name="my_layer")
    with pytest.raises(tf.errors.InvalidArgumentError, match="max_num_steps"):
        run(dynamics, state(), 1e-12, solver=Dopri5(max_num_steps=3))
