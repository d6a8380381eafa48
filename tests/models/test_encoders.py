"""What every encoder of a latent ODE keeps, and what values missing one by one mean."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.series import Series, make_series
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.models.latent_ode import LatentODE
from tfcnf.types import Control

RNG = np.random.default_rng(0)
VALUES, TIMES = RNG.normal(size=[3, 4, 2]), np.cumsum(RNG.uniform(0.2, 0.8, [3, 4]), 1)
KEYS = sorted(k for k, v in Encoder.known.items() if v.__module__.startswith("tfcnf."))
SMALL = {"units": 4, "gaps": True, "encode_mask": True, "dtype": "float64"}


def wide(x):
    return Series(*(tf.constant(part, tf.float64) for part in x))


@pytest.fixture(scope="module")
def encoders():
    return {key: Encoder.find(key)(2, 3, seed=1, **SMALL) for key in KEYS}


def test_the_encoders():
    assert KEYS == ["attention", "bidirectional", "gru", "regression", "rnn"]


@pytest.mark.parametrize("key", KEYS)
def test_points_that_were_not_observed_change_nothing(key, encoders):
    x = make_series(VALUES, TIMES)
    values, times = np.full([3, 6, 2], np.nan), np.zeros([3, 6])
    kept = [0, 2, 3, 5]
    values[:, kept], times[:, kept] = VALUES, TIMES
    holes = make_series(values, times)
    first, second, third = (
        encoders[key](wide(x), complete=True),
        encoders[key](wide(x)),
        encoders[key](wide(holes)),
    )
    for other in (second, third):
        np.testing.assert_allclose(other, first, rtol=1e-6)


@pytest.mark.parametrize("key", KEYS)
def test_each_observed_number_and_every_weight_counts(key, encoders):
    values = VALUES.copy()
    values[0, 1, 0] = np.nan
    x = wide(make_series(values, TIMES))
    with tf.GradientTape() as tape:
        tape.watch([x.values, x.times])
        mean, scale = encoders[key](x)
        total = tf.reduce_sum(tf.sin(mean) + tf.cos(scale))
    slopes = tape.gradient(
        total, [x.values, x.times, *encoders[key].trainable_variables]
    )
    seen = x.mask.numpy() > 0
    assert (slopes[0].numpy()[seen] != 0).all()
    assert (np.abs(slopes[1]).sum(1) > 0).all()
    for slope, weight in zip(slopes[2:], encoders[key].weights, strict=True):
        assert np.abs(slope).max() > 0, weight.path
    # not observed is another thing than observed as zero
    zero = x._replace(mask=tf.ones_like(x.mask))
    assert np.abs(encoders[key](zero)[0] - mean)[0].max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in KEYS if key != "rnn"])
def test_a_model_takes_an_encoder_by_its_key_and_is_rebuilt(key):
    model = LatentODE(2, partition="none", encoder=f"{key}:units=5", seed=2)
    twin = LatentODE.from_config(model.get_config())
    x = make_series(VALUES, TIMES)
    found = model.posterior(x)
    np.testing.assert_array_equal(twin.posterior(x).mean(), found.mean())
    assert found.mean().shape == (3, 5)


def test_the_likelihood_of_series_with_missing_values_against_the_normal_density():
    values = VALUES.copy()
    values[0, 1, 0] = values[2, 3, 1] = values[1, 2] = np.nan
    x = make_series(values, TIMES)
    assert x.mask.shape == (3, 4, 2)
    model = LatentODE(
        2, partition="none", seed=0, dtype="float64", tol=1e-8, encode_mask=True
    )
    seed = tf.constant([0, 0])
    terms, _ = model.terms(x, None, Control(seed=seed), False)
    q = model.posterior(x)
    z = q.mean() + q.stddev() * tf.random.stateless_normal([3, 5], seed).numpy()
    curves = model.decode(z, x.times.ravel()).numpy()
    for i in range(3):
        total = 0.0
        for t in range(4):
            if np.isnan(values[i, t]).all():
                continue
            curve = curves[i, 4 * i + t]
            for k in range(2):
                if not np.isnan(values[i, t, k]):
                    gap = (x.values[i, t, k] - curve[k]) / 0.3
                    total -= 0.5 * gap**2 + np.log(0.3 * np.sqrt(2 * np.pi))
        assert float(terms["log_likelihood"][i]) == pytest.approx(total, rel=1e-6)
