"""The solvers to compare with: TFP's own and the authors' conventions."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.flows.cnf import CNFLayer
from tfcnf.ode.dynamics import ConvDynamics
from tfcnf.ode.quadrature import Quadrature
from tfcnf.ode.solver import Solver
from tfcnf.ode.status import STEP_LIMIT
from tfcnf.tolerances.fixed import FixedTolerance
from tfcnf.types import Control


def swing(t, y):
    return (tf.stack([y[0][1], -4.0 * y[0][0] + tf.sin(t)]),)


START = (tf.constant([1.0, 0.5], tf.float64),)


def integrate(name, tol, start=0.0, end=1.0, y=START):
    calls = []

    def ode_fn(t, y):
        calls.append(float(t))
        return swing(t, y)

    solver = Solver.get(name).integrator(tf.constant(tol, tf.float64))
    quadrature = Quadrature(
        lambda t, y: (ode_fn(t, y), y), (tf.zeros([2], tf.float64),)
    )
    return solver.integrate(ode_fn, start, end, y, quadrature), calls


def test_stock_is_tfps_own_solve():
    solution, calls = integrate("tfp", 1e-5)
    results = tfp.math.ode.DormandPrince(1e-5, 1e-5).solve(
        lambda t, y: (*swing(t, y), y[0]),
        0.0,
        (START[0], tf.zeros([2], tf.float64)),
        [1.0],
    )
    np.testing.assert_allclose(solution.y[0], results.states[0][0], rtol=1e-9)
    np.testing.assert_allclose(solution.total[0], results.states[1][0], rtol=1e-9)
    assert int(solution.stats.nfe) == len(calls)


@pytest.mark.parametrize("name", Solver.known)
def test_every_solver_reaches_its_tolerance_and_comes_back(name):
    tol = 1e-5 if name == "bosh3" else 1e-8
    forward, calls = integrate(name, tol)
    assert len(calls) == int(forward.stats.nfe)
    back, _ = integrate(name, tol, start=1.0, end=0.0, y=forward.y)
    np.testing.assert_allclose(back.y[0], START[0], atol=100 * tol)
    np.testing.assert_allclose(back.total[0], -forward.total[0], atol=100 * tol)


def test_reference_overshoots_the_end_and_interpolates():
    solution, calls = integrate("reference", 1e-4)
    assert max(calls) > 1.0
    assert len(calls) == 2 + 6 * int(solution.stats.num_accepted) + 6 * int(
        solution.stats.num_rejected
    )
    exact, _ = integrate("dopri5", 1e-11)
    np.testing.assert_allclose(solution.y[0], exact.y[0], atol=1e-3)


def test_reference_evaluations_at_the_start_are_the_published_ones():
    """20 evaluations each way a CNF at 1e-5 on MNIST (410 = 10 x (20 + 20 + 1)).

    With this noise; with five in eight draws the way back takes one step more.
    """
    layer = CNFLayer(
        ConvDynamics((64, 64, 64), seed=0), FixedTolerance(1e-5), solver="reference"
    )
    layer.build((None, 28, 28, 1))
    x = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype("float32")
    z = np.log(x + 1e-3) - np.log(1.001 - x)
    probe = tf.zeros([])

    @tf.function
    def counts(z):
        with tf.GradientTape() as tape:
            tape.watch(probe)
            control = Control(nfe_backward_probe=probe, seed=tf.constant([0, 0]))
            out = layer(z, control=control)
            log_prob = out.log_det - 0.5 * tf.reduce_sum(out.z**2, [1, 2, 3])
            loss = -tf.reduce_mean(log_prob) / (784 * np.log(2.0))
        return out.nfe, tape.gradient(loss, probe)

    forward, backward = counts(tf.constant(z))
    assert (int(forward[0]), int(backward)) == (20, 20)


def test_reference_stops_at_the_step_limit():
    solver = Solver.get("reference:max_num_steps=3")
    solver = solver.integrator(tf.constant(1e-9, tf.float64))
    solution = solver.integrate(swing, 0.0, 1.0, START)
    assert int(solution.stats.status) == STEP_LIMIT
    assert np.isnan(solution.y[0]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gradient": "backprop"}, "gradient must be one of"),
        ({"solver": "rk4"}, "solver must be one of"),
        ({"trace": "exat"}, "trace must be one of"),
        (
            {"gradient": "store", "solver": "tfp"},
            r"needs a solver that keeps its steps \(bosh3, dopri5, tsit5",
        ),
    ],
)
def test_unknown_choices_are_named(options, words):
    with pytest.raises(ValueError, match=f"{words}.* Received: "):
        CNFLayer(ConvDynamics((2,)), **options)
