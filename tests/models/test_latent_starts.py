"""Codes that stand at random points of a series, and paths from there both ways."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.series import Series, make_series
from tfcnf.models.latent_ode import LatentODE
from tfcnf.models.latent_starts import draw_starts, from_start
from tfcnf.types import Control

RNG = np.random.default_rng(0)
MASK = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 0, 0]])
TIMES = np.cumsum(RNG.uniform(0.2, 0.8, [3, 6]), 1)
VALUES = RNG.normal(size=[3, 6, 2])
X = make_series(VALUES, TIMES, MASK)


def wide(x):
    return Series(*(tf.constant(part, tf.float64) for part in x))


def test_half_of_the_starts_are_first_points_and_the_others_as_probable_each():
    many = Series(*(np.repeat(part, 4000, 0) for part in X))
    drawn = draw_starts(many, 0.5, tf.constant([0, 1])).numpy().reshape(3, 4000)
    # observed points of the first half: 0, 1, 2 of six; 1, 2 of four; 0 of two
    shares = [np.bincount(row, minlength=6) / 4000 for row in drawn]
    expected = [[4 / 6, 1 / 6, 1 / 6], [0, 3 / 4, 1 / 4], [1, 0, 0]]
    np.testing.assert_allclose([s[:3] for s in shares], expected, atol=0.03)
    assert drawn.max() == 2


def test_from_a_point_on_a_series_is_what_it_is_without_the_points_before():
    start = tf.constant([2, 4, 1])
    found = from_start(wide(X), start)
    after = MASK * (np.arange(6) >= start.numpy()[:, None])
    for part, expected in zip(found, make_series(VALUES, TIMES, after), strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-6)


@pytest.fixture(scope="module")
def model():
    small = {"encoder": "rnn:units=4,gaps=True", "decoder_units": 4, "latent_dims": 3}
    small["dynamics"] = "mlp:units=(4,),activation=tanh"
    options = {"tol": 1e-8, "dtype": "float64"}
    options |= {"random_start": 1.0, "consistency": 2.0}
    return LatentODE(2, partition="none", seed=1, **small, **options)


SEED = tf.constant([0, 9])


@pytest.fixture(scope="module")
def starts(model):
    """The two points that a training step draws with this seed, not all the first."""
    folds = [tf.random.experimental.stateless_fold_in(SEED, k) for k in (1, 2)]
    drawn = [draw_starts(wide(X), 1.0, fold).numpy() for fold in folds]
    assert (drawn[0] > drawn[1]).any()
    assert (drawn[0] < drawn[1]).any()
    return drawn


def test_the_terms_of_moved_codes_against_their_definitions(model, starts):
    terms, out = model.terms(wide(X), None, Control(seed=SEED), True)
    noise = tf.random.stateless_normal([3, 3], SEED).numpy()
    for i, (here, there) in enumerate(zip(*starts, strict=True)):
        one = Series(*(part[i : i + 1] for part in wide(X)))
        parts = [from_start(one, tf.constant([at])) for at in (here, there)]
        q, other = map(model.posterior, parts)
        z = q.mean() + q.stddev() * noise[i]
        seen = np.flatnonzero(MASK[i])
        times = X.times[i].astype(float) - X.times[i, here]
        curve = model.decode(z, times[seen]).numpy()[0]
        square = np.square((X.values[i, seen] - curve) / 0.3).sum()
        constant = 2 * len(seen) * np.log(2 * np.pi * 0.3**2)
        likelihood = -0.5 * (square + constant)
        mean, s = q.mean().numpy(), q.stddev().numpy()
        kl = 0.5 * (s**2 + mean**2 - 1 - 2 * np.log(s)).sum()
        direction = 1 if there >= here else -1
        at = tf.constant([times[there]], tf.float64)
        met, _ = model.flow(z, at, control=Control(), direction=direction)
        gap = float(q.log_prob(z)[0] - other.log_prob(met[:, 0])[0])
        assert float(terms["kl"][i]) == pytest.approx(kl, rel=1e-5)
        assert float(terms["log_likelihood"][i]) == pytest.approx(likelihood, rel=1e-4)
        assert float(terms["consistency"][i]) == pytest.approx(gap, rel=1e-4, abs=1e-4)
        assert float(terms["loss"][i]) == pytest.approx(
            kl - likelihood + 2 * gap, rel=1e-4
        )
    assert float(out.nfe[0]) >= 14  # a step of each solve


def test_codes_at_one_point_agree_with_themselves(model):
    short = make_series(VALUES[:, :1], TIMES[:, :1])
    terms, _ = model.terms(wide(short), None, Control(seed=SEED), True)
    np.testing.assert_allclose(terms["consistency"], 0, atol=1e-12)


@pytest.mark.slow
def test_gradients_of_moved_codes_against_a_finite_difference(model, starts):
    weights = model.trainable_variables

    def loss():
        terms, _ = model.terms(wide(X), None, Control(seed=SEED), True)
        return tf.reduce_mean(terms["loss"])

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, weights)
    saved = [w.numpy() for w in weights]
    direction = [RNG.normal(size=w.shape) for w in saved]
    values = []
    for sign in (1e-6, -1e-6):
        for w, old, way in zip(weights, saved, direction, strict=True):
            w.assign(old + sign * way)
        values.append(float(loss()))
    for w, old in zip(weights, saved, strict=True):
        w.assign(old)
    slope = sum(float(np.sum(g * d)) for g, d in zip(gradients, direction, strict=True))
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def test_an_evaluation_leaves_codes_at_the_first_points(model):
    plain = LatentODE.from_config(
        model.get_config() | {"random_start": 0.0, "consistency": 0.0}
    )
    plain.set_weights(model.get_weights())
    found, expected = (
        m.terms(wide(X), None, Control(seed=SEED), False)[0] for m in (model, plain)
    )
    assert "consistency" not in found
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
