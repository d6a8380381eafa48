"""Training on examples whose labels are hidden, against computations by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import logsumexp, softmax

from tfcnf import CNF, InfoCNF, Real
from tfcnf.labels.categorical import HIDDEN
from tfcnf.models.metrics import over_replicas
from tfcnf.types import Control, Weighted

RNG = np.random.default_rng(0)
CLASSES, BETA = 3, 0.7
X = RNG.normal(size=(6, 4))
Y = np.array([[0], [HIDDEN], [2], [HIDDEN], [HIDDEN], [1]], np.int32)
KNOWN = Y[:, 0] != HIDDEN
CONTROL = Control(tol=tf.constant(1e-9, tf.float64), seed=tf.constant([0, 0]))


@pytest.fixture(scope="module")
def model():
    """InfoCNF on four numbers in float64, all weights random."""
    model = InfoCNF(
        (4,),
        CLASSES,
        beta=BETA,
        dropout=0.0,
        filters=5,
        hidden_layers=1,
        flows_per_block=1,
        trace="exact",
        seed=0,
        dtype="float64",
    )
    for weight in model.trainable_variables:
        weight.assign(0.5 * RNG.normal(size=weight.shape))
    return model


def linear(layer, rows):
    scale = np.exp(3 * layer.log_scale.numpy())
    return (rows @ layer.kernel.numpy() + layer.bias.numpy()) * scale


def moments(model):
    mean, log_scale = np.split(linear(model.labels[0].q_phi, np.eye(CLASSES)), 2, 1)
    return mean, np.exp(log_scale)


def class_log_probs(model, z_y):
    mean, scale = moments(model)
    return stats.norm.logpdf(z_y[:, None], mean, scale).sum(-1)


def loss_by_hand(model):
    """Mean loss of the batch from the codes, without the package's latent room."""
    out = model(X, control=CONTROL)
    z, log_det = out.z.numpy(), out.log_det.numpy()
    z_y, z_u = np.split(z, 2, 1)
    scores = class_log_probs(model, z_y)
    conditional = np.where(
        KNOWN, scores[np.arange(6), Y[:, 0]], logsumexp(scores, 1) - np.log(CLASSES)
    )
    log_prob = conditional + stats.norm.logpdf(z_u).sum(1) + log_det
    bits = -log_prob / 4 / np.log(2)
    logits = linear(model.labels[0].q_theta, z_y)
    entropy = logsumexp(logits, 1) - logits[np.arange(6), Y[:, 0]]
    return np.mean(bits + BETA * np.where(KNOWN, entropy, 0.0))


def loss_and_gradients(model):
    with tf.GradientTape() as tape:
        terms, _ = model.terms(X, Y, CONTROL, training=False)
        loss = tf.reduce_mean(terms["loss"])
    return float(loss), tape.gradient(loss, model.trainable_variables)


def test_the_loss_is_marginal_for_hidden_labels_and_conditional_for_known(model):
    loss, _ = loss_and_gradients(model)
    assert loss == pytest.approx(loss_by_hand(model), rel=1e-7)


def test_the_gradient_agrees_with_finite_differences(model):
    _, gradients = loss_and_gradients(model)
    weights = model.trainable_variables
    direction = [RNG.normal(size=w.shape) for w in weights]
    start, step, values = [w.numpy() for w in weights], 1e-5, []
    for sign in (1, -1):
        for weight, value, way in zip(weights, start, direction, strict=True):
            weight.assign(value + sign * step * way)
        values.append(loss_by_hand(model))
    for weight, value in zip(weights, start, strict=True):
        weight.assign(value)
    expected = (values[0] - values[1]) / (2 * step)
    along = sum(np.sum(g * way) for g, way in zip(gradients, direction, strict=True))
    assert along == pytest.approx(expected, rel=1e-5)


def test_class_means_learn_from_hidden_labels_by_their_responsibilities(model):
    """d loss / d mu_k = -sum_n r_nk (z_n - mu_k) / sigma_k^2 / (B D ln 2)."""
    z_y = np.split(model(X, control=CONTROL).z.numpy(), 2, 1)[0]
    mean, scale = moments(model)
    share = softmax(class_log_probs(model, z_y), 1)
    share[KNOWN] = np.eye(CLASSES)[Y[KNOWN, 0]]
    pull = (z_y[:, None] - mean) / scale**2
    d_mean = -(share[:, :, None] * pull).sum(0) / (6 * 4 * np.log(2))
    layer = model.labels[0].q_phi
    expected = d_mean * np.exp(3 * layer.log_scale.numpy()[:2])  # kernel to mean
    _, gradients = loss_and_gradients(model)
    place = [w is layer.kernel for w in model.trainable_variables].index(True)
    np.testing.assert_allclose(gradients[place][:, :2], expected, rtol=1e-6)


def test_a_batch_without_hidden_labels_is_what_it_was(model):
    y = np.maximum(Y, 0)
    terms, out = model.terms(X, y, CONTROL, training=False)
    expected = model.log_prob(X, y, tol=1e-9)
    np.testing.assert_allclose(
        terms["bits_per_dim"], -expected / 4 / np.log(2), rtol=1e-9
    )
    assert terms["error"].weights.shape == terms["error"].values.shape == (6,)
    assert out.z.shape == (6, 4)


def test_error_and_cross_entropy_are_means_over_the_labelled(model):
    model.compile(keras.optimizers.Adam(0.0), run_eagerly=True)
    known = model.evaluate(X[KNOWN], Y[KNOWN], verbose=0, return_dict=True)
    mixed = model.evaluate(X, Y, verbose=0, return_dict=True)
    for name in ("error", "cross_entropy"):
        assert mixed[name] == pytest.approx(known[name], rel=1e-6)
    assert mixed["bits_per_dim"] != pytest.approx(known["bits_per_dim"], rel=1e-6)


def test_a_batch_without_any_label_can_be_trained_on(model):
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    y = np.full_like(Y, HIDDEN)
    before = [w.numpy() for w in model.trainable_variables]
    history = model.fit(X, y, batch_size=6, verbose=0).history
    assert np.isnan(history["cross_entropy"]).all()
    assert np.isnan(history["error"]).all()
    assert np.isfinite(history["loss"]).all()
    after = [w.numpy() for w in model.trainable_variables]
    for weight, old, new in zip(model.trainable_variables, before, after, strict=True):
        moved = (old != new).any()
        assert np.isfinite(new).all()
        assert moved == ("q_theta" not in weight.path), weight.path


def test_hidden_labels_are_for_training_alone(model):
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2\. Received: y="):
        model.log_prob(X, Y)
    with pytest.raises(ValueError, match=r"labels must be in -1\.\.2\. Received: y="):
        model.terms(X, Y - 1, CONTROL, training=False)


def test_the_unconditional_model_does_not_look_at_labels():
    model = CNF((4,), filters=5, hidden_layers=1, flows_per_block=1, seed=0)
    terms, _ = model.terms(X.astype(np.float32), Y, Control(), training=False)
    assert set(terms) == {"loss", "bits_per_dim"}


def test_what_has_no_weight_may_be_nan():
    values = Weighted(tf.constant([2.0, math.nan]), tf.constant([0.5, 0.0]))
    mean, weight = over_replicas({"rmse": values})["rmse"]
    assert (float(mean), float(weight)) == (2.0, 0.5)


def test_the_error_of_numbers_is_that_of_the_known_ones():
    labels = [Real(1, distribution="normal")]
    sizes = {"hidden_layers": 1, "filters": 2, "flows_per_block": 1}
    model = InfoCNF((2,), labels=labels, seed=0, **sizes)
    model.compile("adam")
    x = np.random.default_rng(0).normal(size=[4, 2]).astype(np.float32)
    y = np.array([[1.0], [math.nan], [0.5], [math.nan]], np.float32)
    known = model.evaluate(x[::2], y[::2], batch_size=2, verbose=0, return_dict=True)
    found = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    assert found["rmse"] == pytest.approx(known["rmse"], rel=1e-3)
