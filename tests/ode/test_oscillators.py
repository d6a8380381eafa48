"""Pairs that turn and grow: a closed form, the same in every phase, and bounded."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.models.latent_ode import LatentODE
from tfcnf.ode.autonomous import AutonomousDynamics
from tfcnf.ode.oscillators import Oscillators
from tfcnf.ode.trajectory import solve_on_grid

FIELD = Oscillators(pairs=2, units=(5,))
RNG = np.random.default_rng(0)
Z = RNG.normal(size=[3, 7])


def weights(dims=7, scale=1.0):
    """Random weights, all of them different from 0."""
    starts = FIELD.starts(dims, keras.random.SeedGenerator(0))
    return [tf.constant(scale * RNG.normal(size=shape)) for _, shape, _ in starts]


def turned(z, angle):
    """States whose pairs are turned; columns 3 and 4 are x, 5 and 6 are y."""
    x, y = z[:, 3:5], z[:, 5:]
    c, s = np.cos(angle), np.sin(angle)
    return np.concatenate([z[:, :3], c * x - s * y, s * x + c * y], 1)


def test_rates_that_do_not_depend_on_the_radius_give_exponentials():
    theta = weights()
    theta[:5] = [tf.zeros_like(part) for part in theta[:5]]
    skip = np.zeros([5, 2])
    skip[:3] = RNG.normal(size=[3, 2]) / 3  # growths of w alone
    theta[4] = tf.constant(skip)
    found, _ = solve_on_grid(
        FIELD,
        theta,
        z=tf.constant(Z),
        times=tf.constant([0.7, 2.0], tf.float64),
        tol=tf.constant(1e-9, tf.float64),
    )
    rates = [2 * np.tanh(Z[:, :3] @ kernel / 2) for kernel in (skip[:3], theta[5])]
    for i, t in enumerate([0.7, 2.0]):
        p = (Z[:, 3:5] + 1j * Z[:, 5:]) * np.exp((rates[0] + 1j * rates[1]) * t)
        expected = np.concatenate([Z[:, :3], p.real, p.imag], 1)
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-6, atol=1e-6)


def test_the_field_is_the_same_in_every_phase():
    theta, angle = weights(), np.array([0.4, -2.0])
    before, after = (
        FIELD.value(theta, 0.0, tf.constant(z)) for z in (Z, turned(Z, angle))
    )
    np.testing.assert_allclose(after, turned(before.numpy(), angle), rtol=1e-9)
    np.testing.assert_array_equal(before[:, :3], np.zeros([3, 3]))


def test_no_state_grows_or_turns_faster_than_the_limit():
    theta, z = weights(scale=30.0), tf.constant(1e3 * Z)
    dz = FIELD.value(theta, 0.0, z).numpy()
    speed = np.hypot(dz[:, 3:5], dz[:, 5:])
    radius = np.hypot(z[:, 3:5], z[:, 5:])
    assert (speed <= np.sqrt(2) * FIELD.limit * radius * (1 + 1e-6)).all()
    assert (speed > FIELD.limit * radius).any()


def test_a_pair_at_rest_stays_and_has_a_slope():
    z = tf.constant(np.concatenate([Z[:, :3], np.zeros([3, 4])], 1))
    with tf.GradientTape() as tape:
        tape.watch(z)
        dz = FIELD.value(weights(), 0.0, z)
    np.testing.assert_array_equal(dz, np.zeros([3, 7]))
    assert np.isfinite(tape.gradient(dz, z)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oscillators:pairs=0", "Received: pairs=0"),
        ("oscillators:units=8", "Received: units=8"),
        ("oscillators:limit=0", "Received: limit=0"),
        ("oscillators:limit=1e999", "Received: limit=inf"),
        ("oscillators:pairs=3", "Received: latent_dims=6, pairs=3"),
    ],
)
def test_bad_options_are_refused(text, message):
    with pytest.raises(ValueError, match="Received: ") as failure:
        AutonomousDynamics(text).build((None, 6))
    assert message in str(failure.value)


def test_a_model_with_oscillators_is_rebuilt():
    options = {"latent_dims": 5, "dynamics": FIELD, "partition": "none"}
    model = LatentODE(2, seed=0, **options)
    twin = LatentODE.from_config(model.get_config())
    assert twin.options["dynamics"] == "oscillators:pairs=2,units=(5,)"
    z = tf.ones([1, 5])
    np.testing.assert_array_equal(twin.decode(z, [1.0]), model.decode(z, [1.0]))
