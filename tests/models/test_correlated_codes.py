"""Codes that are correlated in the posterior, against the formulas of Gaussians."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.series import make_series
from tfcnf.models.latent_ode import LatentODE
from tfcnf.types import Control

RNG = np.random.default_rng(0)
X = make_series(RNG.normal(size=[3, 4, 2]), np.arange(4.0))
SEED = tf.constant([0, 0])


@pytest.fixture(scope="module")
def model():
    return LatentODE(
        2,
        partition="none",
        latent_dims=3,
        encoder="regression:units=4,correlated=True",
        dynamics="mlp:units=()",
        random_start=0.5,
        consistency=0.3,
        dtype="float64",
        tol=1e-8,
        seed=0,
    )


def test_kl_and_likelihood_are_those_of_the_covariance(model):
    q = model.posterior(X)
    mean, covariance = q.mean().numpy(), q.covariance().numpy()
    off = covariance - np.eye(3) * covariance
    assert np.abs(off).min(0).max() > 1e-3
    terms, _ = model.terms(X, None, Control(seed=SEED), False)
    kl = 0.5 * (
        np.trace(covariance, axis1=1, axis2=2)
        + np.square(mean).sum(1)
        - 3
        - np.linalg.slogdet(covariance)[1]
    )
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-6)
    noise = tf.random.stateless_normal([3, 3], SEED).numpy()
    z = mean + np.einsum("bij,bj->bi", np.linalg.cholesky(covariance), noise)
    gap = X.values - model.decode(z, np.arange(4.0)).numpy()
    likelihood = -0.5 * np.square(gap / 0.3) - np.log(0.3 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(
        terms["log_likelihood"], likelihood.sum((1, 2)), rtol=1e-5
    )


def test_curves_are_drawn_with_the_covariance(model):
    q, draws = model.posterior(X), 4000
    curves = model.sample(X, [0.0], draws=draws, noise=False)[:, :, 0].numpy()
    unit = tf.random.stateless_normal([draws, 3, 3], SEED, dtype=tf.float64)
    z = q.mean() + tf.linalg.matvec(tf.linalg.cholesky(q.covariance()), unit)
    expected = model.decode(tf.reshape(z, [-1, 3]), [0.0])
    expected = tf.reshape(expected, [draws, 3, 2]).numpy()
    for i in range(3):
        np.testing.assert_allclose(
            np.cov(curves[:, i].T), np.cov(expected[:, i].T), rtol=0.15, atol=1e-3
        )


def test_training_reaches_the_triangle(model):
    with tf.GradientTape() as tape:
        terms, _ = model.terms(X, None, Control(seed=SEED), True)
        loss = tf.reduce_sum(terms["loss"])
    slope = tape.gradient(loss, model.recognition.output_map.kernel.value)
    assert np.abs(slope[:, 6:]).max() > 1e-3
