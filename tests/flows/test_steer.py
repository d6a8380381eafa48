"""A random end time in training, and a fixed one elsewhere."""

import numpy as np
import pytest
import tensorflow as tf

import tfcnf
from tfcnf.types import Control

SPREAD = 0.25


class Drift(tfcnf.Dynamics):
    """dz/dt = a, so that z moves by a times the end time."""

    def build(self, shape):
        self.rate = self.add_weight(name="rate", shape=(), initializer="ones")
        self.built = True

    def call(self, t, z):
        return self.rate.value * tf.ones_like(z)


def make(**options):
    layer = tfcnf.CNFLayer(Drift(), seed=0, **({"steer": SPREAD} | options))
    layer.build((None, 2))
    return layer


@pytest.fixture(scope="module")
def layer():
    return make()


def move(layer, **options):
    """How far each entry of a batch moves."""
    x = tf.constant([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    return (layer(x, **options).z - x).numpy()


def test_training_ends_at_times_of_the_range_one_for_each_batch(layer):
    ends = []
    for _ in range(40):
        moved = move(layer, training=True)
        assert np.ptp(moved) < 1e-5
        ends.append(moved.mean())
    assert 1 - SPREAD <= min(ends) < 1 - 0.6 * SPREAD
    assert 1 + SPREAD > max(ends) > 1 + 0.6 * SPREAD
    # the mean of 40 uniform numbers, to four standard errors
    assert abs(np.mean(ends) - 1) < 4 * SPREAD / np.sqrt(3 * 40)


@pytest.mark.parametrize("options", [{}, {"inverse": True, "training": True}])
def test_all_other_solves_end_at_the_fixed_time(layer, options):
    sign = -1 if "inverse" in options else 1
    np.testing.assert_allclose(move(layer, **options), sign, rtol=1e-5)


def test_sampled_tolerances_are_not_training():
    chain = tfcnf.Chain([make(), make()])
    chain.build((None, 2))
    for sample in (1.0, tf.constant(1.0)):
        moved = move(chain, control=Control(sample_tol=sample))
        np.testing.assert_allclose(moved, 2, rtol=1e-5)


SLOW = [pytest.param(way, marks=pytest.mark.slow) for way in ("checkpoint", "store")]


@pytest.mark.parametrize("gradient", ["adjoint", *SLOW])
def test_the_gradient_is_that_of_the_time_that_was_drawn(gradient):
    layer = make(gradient=gradient)
    control = Control(seed=tf.constant([3, 1]))
    with tf.GradientTape() as tape:
        out = layer(tf.zeros([4, 2]), control=control, training=True)
        value = tf.reduce_mean(out.z)
    slope = tape.gradient(value, layer.dynamics.rate.value)
    end = float(value)  # the rate is 1
    assert abs(end - 1) > 1e-3
    assert float(slope) == pytest.approx(end, rel=1e-5)
    again = layer(tf.zeros([4, 2]), control=control, training=True)
    np.testing.assert_array_equal(again.z, out.z)


@pytest.mark.parametrize("steer", [-0.1, 1.0, float("nan"), True, "0.5"])
def test_an_end_time_that_can_reach_zero_is_refused(steer):
    with pytest.raises(ValueError, match=r"steer must be at least 0 and less than 1.*"):
        make(steer=steer)
