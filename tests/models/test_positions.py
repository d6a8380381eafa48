"""Positions on the way through a flow."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logit

from tfcnf import InfoCNF

TIMES = [1.0, 0.0, 0.25, 0.5, 0.8]


@pytest.fixture(scope="module")
def points():
    """A flow of two CNFs on points, lively enough to take steps."""
    model = InfoCNF((2,), 2, filters=4, hidden_layers=1, flows_per_block=2, seed=0)
    for weight in model.flow.trainable_variables:
        weight.assign(2.0 * weight)
    return model


def test_points_move_as_each_cnf_moves_them(points):
    x = np.float32([[0.5, -1.0], [2.0, 0.3]])
    path = points.trajectory(x, TIMES, tol=1e-6)
    assert path.shape == (2, 5, 2)
    np.testing.assert_allclose(path[:, 1], x, atol=1e-6)
    np.testing.assert_allclose(path[:, 0], points.encode(x, tol=1e-6), atol=1e-5)
    first, second = points.flow.layers
    middle = first(x).z
    np.testing.assert_allclose(path[:, 3], middle, atol=1e-4)
    # Runge and Kutta's classical steps, from the start of the CNF that is under way
    for start, dynamics, time, found in [
        (x, first.dynamics, 0.5, path[:, 2]),
        (middle, second.dynamics, 0.6, path[:, 4]),
    ]:
        np.testing.assert_allclose(found, moved(dynamics, start, time), atol=1e-4)
    assert np.abs(path[:, 3] - path[:, 2]).max() > 1e-2


def moved(dynamics, z, end, steps=20):
    h = tf.constant(end / steps, tf.float32)
    for i in range(steps):
        t = i * h
        k1 = dynamics(t, z)
        k2 = dynamics(t + h / 2, z + h / 2 * k1)
        k3 = dynamics(t + h / 2, z + h / 2 * k2)
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + dynamics(t + h, z + h * k3))
    return z


def test_the_way_back_is_the_same(points):
    x = np.float32([[0.5, -1.0], [2.0, 0.3]])
    path = points.trajectory(x, TIMES, tol=1e-6)
    back = points.trajectory(path[:, 0], TIMES, inverse=True, tol=1e-6)
    np.testing.assert_allclose(back, path, atol=1e-4)


def test_images_begin_and_end_at_their_codes_and_at_themselves():
    model = InfoCNF(
        (4, 4, 1),
        3,
        num_levels=17,
        alpha=0.05,
        num_scales=2,
        filters=2,
        hidden_layers=1,
        flows_per_block=1,
        tol=1e-6,
        seed=0,
    )
    levels = np.random.default_rng(0).integers(0, 17, (2, 4, 4, 1), np.uint8)
    x = np.float32((levels + 0.5) / 17)
    path = model.trajectory(levels, [0.0, 0.5, 2 / 3, 1.0])
    code = model.encode(x)
    np.testing.assert_allclose(path[:, 3], code, atol=1e-4)
    start = logit(0.05 + 0.9 * x).reshape(2, 16)
    np.testing.assert_allclose(np.sort(path[:, 0]), np.sort(start), atol=1e-4)
    # half of the code is factored out after two of the three CNFs
    np.testing.assert_allclose(path[:, 2, :8], path[:, 3, :8], atol=1e-4)
    assert np.abs(path[:, 1, :8] - path[:, 3, :8]).max() > 1e-3
    back = model.trajectory(code, [0.0, 1.0], inverse=True)
    np.testing.assert_allclose(back[:, 0], x, atol=1e-4)
    shown = np.sort(logit(0.05 + 0.9 * back[:, 1].numpy().reshape(2, 16)))
    np.testing.assert_allclose(shown, np.sort(code), atol=1e-3)


@pytest.mark.parametrize("times", [[], 0.5, [-0.1], [1.1], [float("nan")]])
def test_times_outside_the_flow_are_refused(points, times):
    with pytest.raises(ValueError, match=r"times must be .* Received: times="):
        points.trajectory(np.zeros([1, 2], np.float32), times)
