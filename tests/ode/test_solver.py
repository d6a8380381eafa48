import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.integrate import solve_ivp

from tfcnf.checks import asserted
from tfcnf.ode.quadrature import Quadrature
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.status import SOLVED, STEP_LIMIT, UNDERFLOW, check_solved


def oscillator(t, y):
    return tf.stack([y[1], -4.0 * y[0] + tf.sin(t)])


def decay(t, y):
    return -2.0 * y


# name -> (dynamics on one tensor, initial value)
PROBLEMS = {
    "oscillator": (oscillator, [1.0, 0.5]),
    "decay": (decay, [1.0, -3.0, 0.2]),
    "logistic": (lambda t, y: y * (1.0 - y), [0.1, 0.5]),
    "forced": (lambda t, y: tf.cos(5.0 * t) - tf.sin(y), [0.0, 1.0, 2.0]),
}


def integrate(f, y0, tol, start=0.0, end=1.0, dtype="float64", **options):
    """State, quadrature of y itself, stats; counts the calls and notes their times."""
    times = []

    def ode_fn(t, state):
        times.append(float(t))
        return (f(t, state[0]),)

    y0 = tf.constant(y0, dtype)
    quadrature = Quadrature(lambda t, y: (ode_fn(t, y), y), (tf.zeros_like(y0),))
    solver = Dopri5(**options).integrator(tf.constant(tol, dtype))
    solution = solver.integrate(ode_fn, start, end, (y0,), quadrature)
    (y1,), (total,) = solution.y, solution.total
    return y1.numpy(), total.numpy(), solution.stats, times


def truth(f, y0, start=0.0, end=1.0):
    def numpy_f(t, y):
        return f(tf.constant(t, tf.float64), tf.constant(y, tf.float64)).numpy()

    return solve_ivp(
        numpy_f, (start, end), np.array(y0), method="DOP853", rtol=1e-13, atol=1e-13
    ).y[:, -1]


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("tol", [1e-3, 1e-5, 1e-8])
def test_error_stays_at_the_tolerance(name, tol):
    f, y0 = PROBLEMS[name]
    y1, _, stats, _ = integrate(f, y0, tol)
    assert int(stats.status) == SOLVED
    np.testing.assert_allclose(y1, truth(f, y0), rtol=5 * tol, atol=5 * tol)


@pytest.mark.parametrize("name", PROBLEMS)
def test_evaluations_against_scipy_and_stock_tfp(name):
    f, y0 = PROBLEMS[name]
    tol = 1e-5
    _, _, stats, _ = integrate(f, y0, tol)

    def numpy_f(t, y):
        return f(tf.constant(t, tf.float64), tf.constant(y, tf.float64)).numpy()

    scipy = solve_ivp(numpy_f, (0, 1), np.array(y0), method="RK45", rtol=tol, atol=tol)
    stock = tfp.math.ode.DormandPrince(rtol=tol, atol=tol).solve(
        f, 0.0, tf.constant(y0, tf.float64), solution_times=[1.0]
    )
    assert int(stats.nfe) <= scipy.nfev + 6  # at most one step more
    assert int(stats.nfe) < int(stock.diagnostics.num_ode_fn_evaluations)


def test_every_evaluation_is_counted_and_the_last_step_lands_on_the_end():
    _, _, stats, times = integrate(oscillator, [1.0, 0.5], 1e-6)
    assert int(stats.nfe) == len(times)
    attempts = int(stats.num_accepted) + int(stats.num_rejected)
    assert len(times) == 2 + 6 * attempts
    assert max(times) == 1.0


def test_backward_in_time_returns_to_the_start():
    y1, _, _, _ = integrate(oscillator, [1.0, 0.5], 1e-8)
    y0, _, _, times = integrate(oscillator, y1, 1e-8, start=1.0, end=0.0)
    np.testing.assert_allclose(y0, [1.0, 0.5], atol=1e-6)
    assert min(times) == 0.0


def test_quadrature_is_the_integral_along_the_solution():
    # y = exp(-2t): its integral over [0, 1] is (1 - exp(-2)) / 2
    _, total, _, _ = integrate(decay, [1.0], 1e-8)
    np.testing.assert_allclose(total, [(1 - np.exp(-2.0)) / 2], rtol=1e-7)


def test_vanishing_dynamics_take_one_step():
    y1, _, stats, _ = integrate(lambda t, y: 0.0 * y, [3.0], 1e-6)
    assert int(stats.nfe) == 8
    assert y1 == [3.0]


def failing(kind):
    return {
        "nan": lambda t, y: y * float("nan"),
        "blow-up": lambda t, y: 4.0 * y * y,  # infinite at t = 1/4 from y = 1
        "stiff": lambda t, y: -1e6 * (y - tf.cos(t)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("nan", UNDERFLOW, "NaN or infinity"),
        ("blow-up", None, "try"),
        ("stiff", STEP_LIMIT, "larger `max_num_steps`"),
    ],
)
@pytest.mark.parametrize("graph", [False, True])
def test_failures_end_in_the_named_error(kind, status, words, graph):
    def solve(y0):
        solver = Dopri5(max_num_steps=60).integrator(tf.constant(1e-6))
        f = failing(kind)
        solution = solver.integrate(lambda t, y: (f(t, y[0]),), 0.0, 1.0, (y0,))
        return solution.y[0], solution.stats

    y1, stats = (tf.function(solve) if graph else solve)(tf.constant([1.0]))
    assert int(stats.status) != SOLVED
    if status is not None:
        assert int(stats.status) == status
    assert int(stats.num_accepted) + int(stats.num_rejected) <= 60
    assert np.isnan(y1.numpy()).all()
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        check_solved(stats, "cnf_3", tf.constant(1e-6))
    message = asserted(caught.value)
    assert "SolverError: cnf_3: the step" in message
    assert "Received: tol=1e-06, step size=" in message
    assert f"evaluations={int(stats.nfe)}" in message
    # the last state that was accepted, and a step too large from there
    low, high = map(float, re.search(r"state from (\S+) to (\S+),", message).groups())
    assert low == high == pytest.approx(float(stats.low), rel=1e-4)
    assert np.isfinite(low)
    assert words in str(caught.value)


def test_the_remainder_is_split_evenly_between_the_last_two_steps():
    @tf.function
    def steps(tol):
        solution = (
            Dopri5()
            .integrator(tol)
            .integrate(
                lambda t, y: (oscillator(t, y[0]),),
                0.0,
                3.0,
                (tf.constant([1.0, 0.5], tf.float64),),
                keep_trail=True,
            )
        )
        return solution.trail.s, solution.trail.dt

    for tol in (1e-3, 1e-5, 1e-7):
        s, dt = steps(tf.constant(tol, tf.float64))
        assert len(dt) > 2
        np.testing.assert_allclose(dt[-1], dt[-2], rtol=1e-12)
        np.testing.assert_allclose(s, np.cumsum(dt) - dt, rtol=1e-12)
        assert float(s[-1] + dt[-1]) == pytest.approx(3.0)


def test_smooth_dynamics_are_tried_in_one_step():
    _, _, stats, _ = integrate(*PROBLEMS["logistic"], 1e-3)
    assert (int(stats.nfe), int(stats.num_rejected)) == (8, 0)


def test_a_given_first_step_saves_an_evaluation():
    y0 = (tf.constant([1.0, 0.5], tf.float64),)
    solver = Dopri5().integrator(tf.constant(1e-6, tf.float64))
    solution = solver.integrate(
        lambda t, y: (oscillator(t, y[0]),),
        0.0,
        1.0,
        y0,
        first_step=tf.constant(0.2, tf.float64),
        keep_trail=False,
    )
    attempts = int(solution.stats.num_accepted) + int(solution.stats.num_rejected)
    assert int(solution.stats.nfe) == 1 + 6 * attempts
    np.testing.assert_allclose(
        solution.y[0], truth(oscillator, [1.0, 0.5]), rtol=5e-6, atol=5e-6
    )
