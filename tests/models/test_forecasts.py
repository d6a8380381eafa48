"""Forecasts of series: units, intervals, and codes improved by gradient steps."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfcnf.data.series import make_series
from tfcnf.data.series_units import SeriesUnits
from tfcnf.models.latent_ode import LatentODE
from tfcnf.models.latent_refine import ascend
from tfcnf.types import Control

RNG = np.random.default_rng(0)
VALUES, TIMES = RNG.normal(size=[3, 4, 2]), np.cumsum(RNG.uniform(0.2, 0.8, [3, 4]), 1)
X = make_series(VALUES, TIMES)
SMALL = {"encoder": "rnn:units=4", "dynamics": "mlp:units=(4,)"}
SMALL |= {"decoder_units": 4, "seed": 1}
PLAIN = SMALL | {"partition": "none", "tol": 1e-8, "dtype": "float64"}
UNITS = SeriesUnits((300.0, -2.0), (25.0, 0.5), 60.0)
OWN = make_series(VALUES * UNITS.scale + UNITS.mean, TIMES * UNITS.duration)


@pytest.fixture(scope="module")
def plain():
    return LatentODE(2, **PLAIN)


@pytest.fixture(scope="module")
def in_units():
    return LatentODE(2, units=UNITS, **PLAIN)


def test_units_change_the_density_by_their_scales_alone(plain, in_units):
    control = Control(seed=tf.constant([0, 0]))
    terms, own = (
        model.terms(x, None, control, False)[0]
        for model, x in ((plain, X), (in_units, OWN))
    )
    shift = 4 * np.log(UNITS.scale).sum()
    np.testing.assert_allclose(own["elbo"], terms["elbo"] - shift, rtol=1e-5)
    np.testing.assert_allclose(own["kl"], terms["kl"], rtol=1e-5)
    fitted = plain(X) * UNITS.scale + np.array(UNITS.mean)
    np.testing.assert_allclose(in_units(OWN), fitted, rtol=1e-5)
    twin = LatentODE.from_config(in_units.get_config())
    assert twin.units == UNITS


def test_samples_are_paths_from_samples_of_the_posterior(in_units):
    times = [400.0, -60.0]
    curves = in_units.sample(OWN, times, draws=2, seed=5, noise=False)
    q = in_units.posterior(OWN)
    unit = tf.random.stateless_normal([2, 3, 5], [5, 0]).numpy()
    for draw in range(2):
        z = q.mean() + q.stddev() * unit[draw]
        np.testing.assert_allclose(curves[draw], in_units.decode(z, times), rtol=1e-5)
    again = in_units.sample(OWN, times, draws=2, seed=5, noise=False)
    np.testing.assert_array_equal(curves, again)


def test_the_interval_is_that_of_the_noise_where_the_curve_is_known(in_units):
    saved = in_units.get_weights()
    bias = np.array([0.5, -1.0])
    in_units.decoder.output_map.kernel.assign(np.zeros([4, 2]))
    in_units.decoder.output_map.bias.assign(bias)
    forecast = in_units.predict(OWN, [0.0, 90.0], level=0.8, draws=4000)
    in_units.set_weights(saved)
    curve, scale = (
        bias * UNITS.scale + np.array(UNITS.mean),
        0.3 * np.array(UNITS.scale),
    )
    np.testing.assert_allclose(forecast.mean, np.broadcast_to(curve, [3, 2, 2]))
    for end, tail in ((forecast.low, 0.1), (forecast.high, 0.9)):
        expected = np.broadcast_to(stats.norm(curve, scale).ppf(tail), [3, 2, 2])
        np.testing.assert_allclose((end - expected) / scale, 0, atol=0.12)


def test_without_times_it_predicts_as_keras_does(plain):
    x = type(X)(*(part.astype(np.float64) for part in X))
    np.testing.assert_allclose(plain.predict(x, verbose=0), plain(X), rtol=1e-6)
    for given in (x, (x,), (x, np.zeros([3, 1]))):
        batches = tf.data.Dataset.from_tensor_slices(given).batch(2)
        found = plain.predict(batches, verbose=0)
        np.testing.assert_allclose(found, plain(X), rtol=1e-6)


def test_an_ascent_finds_the_maximum_of_each_quadratic():
    centre = np.array([[0.4, -0.2], [1.0, 0.5]])
    curvature = np.array([[1.0, 9.0], [4.0, 0.5]])

    def log_density(z):
        return -0.5 * tf.reduce_sum(curvature * (z - centre) ** 2, 1)

    start, scale = tf.zeros([2, 2], tf.float64), tf.ones([2, 2], tf.float64)
    run = tf.function(lambda *given: ascend(log_density, *given), autograph=False)
    found = run(start, scale, tf.constant(300))
    np.testing.assert_allclose(found, centre, atol=1e-2)
    one = run(start, 0.1 * scale, tf.constant(1))
    # the first step of Adam is of the size of the rate, whatever the slope
    np.testing.assert_allclose(one, 0.01 * np.sign(centre), rtol=1e-5)
    # beside the maximum a step leads beyond it, and the next ones back
    beside = tf.constant(centre + 0.01)
    for steps in (1, 8):
        best = run(beside, scale, tf.constant(steps))
        assert (log_density(best) >= log_density(beside)).numpy().all()


def test_refined_codes_have_a_higher_posterior_density(plain):
    def log_density(z):
        total = stats.norm.logpdf(z).sum(1)
        curves = plain.decode(z, X.times.ravel()).numpy().reshape(3, 3, 4, 2)
        for i in range(3):
            total[i] += stats.norm(curves[i, i], 0.3).logpdf(X.values[i]).sum()
        return total

    mean = plain.posterior(X).mean().numpy()
    refined = plain.codes(X, refine=20).numpy()
    assert (log_density(refined) > log_density(mean) + 1.0).all()
    np.testing.assert_array_equal(plain.codes(X), mean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": [0.0, np.nan]}, r"times must be finite.*times=\[0.0, nan\]"),
        ({"times": [np.inf]}, "times must be finite"),
        ({"times": []}, "one at least"),
        ({"times": [[1.0, 2.0]] * 3}, r"one list \[T\], the same for all series"),
        ({"times": [1.0], "level": 1.0}, "Received: level=1.0"),
        ({"times": [1.0], "draws": 0}, "Received: draws=0"),
        ({"times": [1.0], "refine": -1}, "Received: refine=-1"),
    ],
)
def test_bad_questions_are_refused(options, message, plain):
    with pytest.raises(ValueError, match=message):
        plain.predict(X, **options)


def test_units_of_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="the 3 dimensions of an observation"):
        LatentODE(3, units=UNITS, partition="none")
