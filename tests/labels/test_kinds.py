"""Every kind of label against scipy and closed forms."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats
from scipy.special import expit, log_softmax, logsumexp

from tfcnf.labels.base import Label
from tfcnf.labels.binary import Binary
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.kinds import make_labels
from tfcnf.labels.real import Real

RNG = np.random.default_rng(0)
DIMS = 3
Z = RNG.normal(size=(5, DIMS))
KINDS = {
    "categorical": (lambda **o: Categorical(4, **o), [[2], [0], [3], [1], [1]]),
    "binary": (lambda **o: Binary(**o), [[1], [0], [0], [1], [1]]),
    "real": (
        lambda **o: Real(1, [2.0], [3.0], "normal", **o),
        [[2.5], [-1.0], [7.0], [0.0], [4.0]],
    ),
    "pair": (
        lambda **o: Real(2, [2.0, -1.0], [3.0, 0.5], "normal", **o),
        RNG.normal(size=(5, 2)),
    ),
}


def make(kind, **options):
    label = KINDS[kind][0](dtype="float64", **options)
    label.build_prior(DIMS, seed=0)
    label.build_predictor(DIMS, seed=1)
    for weight in label.trainable_variables:
        weight.assign(0.3 * RNG.normal(size=weight.shape))
    return label, tf.constant(KINDS[kind][1])


def linear(layer, rows):
    scale = np.exp(3 * layer.log_scale.numpy())
    return (rows @ layer.kernel.numpy() + layer.bias.numpy()) * scale


def unit(label, y):
    """The numbers that q_phi reads, by hand."""
    y = np.asarray(y)
    if isinstance(label, Categorical):
        return np.eye(label.num_classes)[y[:, 0]]
    if isinstance(label, Binary):
        return y.astype(float)
    return (y - label.mean) / label.scale


def prior_log_prob(label, z, y):
    mean, log_scale = np.split(linear(label.q_phi, unit(label, y)), 2, 1)
    return stats.norm.logpdf(z, mean, np.exp(log_scale)).sum(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_prior_against_scipy(kind):
    label, y = make(kind)
    np.testing.assert_allclose(
        label.log_prob(Z, y), prior_log_prob(label, Z, y.numpy()), rtol=1e-10
    )


def expected_loss(label, y):
    outputs = linear(label.q_theta, Z)
    if isinstance(label, Categorical):
        return -log_softmax(outputs, 1)[np.arange(5), y[:, 0]]
    if isinstance(label, Binary):
        return -stats.bernoulli.logpmf(y[:, 0], expit(outputs[:, 0]))
    mean, log_scale = np.split(outputs, 2, 1)
    return -stats.norm.logpdf(unit(label, y), mean, np.exp(log_scale)).sum(1)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_prediction_are_of_one_distribution(kind):
    label, y = make(kind)
    loss = label.loss(tf.constant(Z), y).numpy()
    np.testing.assert_allclose(loss, expected_loss(label, y.numpy()), rtol=1e-9)
    value = y if isinstance(label, Real) else y[:, 0]
    own_units = -label.predict(Z).log_prob(tf.cast(value, tf.float64))
    shift = np.log(label.scale).sum() if isinstance(label, Real) else 0.0
    np.testing.assert_allclose(own_units, loss + shift, rtol=1e-9)


@pytest.mark.parametrize("kind", ["categorical", "binary"])
def test_marginal_of_classes_is_their_mean(kind):
    label, _ = make(kind)
    values = label.examples(10)
    each = [prior_log_prob(label, Z, np.tile(value, (5, 1))) for value in values]
    expected = logsumexp(each, axis=0) - np.log(len(values))
    np.testing.assert_allclose(label.marginal().log_prob(Z), expected, rtol=1e-10)
    np.testing.assert_allclose(
        label.support_log_probs(tf.constant(Z)), np.stack(each, 1), rtol=1e-9
    )


def test_marginal_of_a_real_label_against_quadrature():
    label, _ = make("real")

    def joint(y, z):
        return np.exp(prior_log_prob(label, z, [[y]])[0]) * stats.norm.pdf(y, 2.0, 3.0)

    expected = [np.log(integrate.quad(joint, -25, 29, (z[None],))[0]) for z in Z]
    np.testing.assert_allclose(label.marginal().log_prob(Z), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["real", "pair"])
def test_marginal_of_a_linear_gaussian_in_closed_form(kind):
    label, _ = make(kind)
    kernel, bias, log_scale = (v.numpy() for v in label.q_phi.trainable_variables)
    kernel[:, DIMS:] = 0.0  # the deviation does not depend on y
    label.q_phi.set_weights([kernel, bias, log_scale])
    scale = np.exp(3 * log_scale)
    slope, deviation = (
        (kernel * scale)[:, :DIMS],
        np.exp((bias * scale)[DIMS:]),
    )
    expected = stats.multivariate_normal.logpdf(
        Z, (bias * scale)[:DIMS], slope.T @ slope + np.diag(deviation**2)
    )
    np.testing.assert_allclose(label.marginal().log_prob(Z), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_values_are_marginalised_and_supervise_nothing(kind):
    label, y = make(kind)
    hidden = np.array([True, False, True, False, False])
    none = np.nan if isinstance(label, Real) else -1
    y = tf.where(hidden[:, None], tf.cast(none, y.dtype), y)
    np.testing.assert_array_equal(label.is_hidden(y), hidden)
    expected = np.where(
        hidden, label.marginal().log_prob(Z), prior_log_prob(label, Z, y.numpy())
    )
    np.testing.assert_allclose(label.log_prob(Z, y), expected, rtol=1e-9)
    loss = label.loss(tf.constant(Z), y).numpy()
    assert not loss[hidden].any()
    assert loss[~hidden].all()
    assert bool(label.check(y, True)[0])
    assert not bool(label.check(y, False)[0])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(label.log_prob(Z, y) - label.loss(tf.constant(Z), y))
    for gradient in tape.gradient(total, label.trainable_variables):
        assert np.isfinite(gradient).all()


def test_labels_are_given_as_numbers_or_objects():
    first, second = make_labels([3, Real(title="height")])
    assert (first.num_classes, second.title) == (3, "height")
    assert make_labels(5)[0].num_classes == 5
    (third,) = make_labels(np.int64(5))
    records = [third.record(), Real(np.int64(2)).record()]
    assert json.loads(json.dumps(records))[0]["num_classes"] == 5
    for wrong in ("10", [2.5], [True], [{"kind": "tfcnf>ZeroLinear"}], [None]):
        with pytest.raises(ValueError, match="Received: "):
            make_labels(wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_starts_as_if_it_told_nothing(kind):
    label = KINDS[kind][0](dtype="float64")
    label.build_prior(DIMS)
    label.build_predictor(DIMS)
    y = tf.constant(KINDS[kind][1])
    expected = stats.norm.logpdf(Z).sum(1)
    np.testing.assert_allclose(label.log_prob(Z, y), expected, rtol=1e-9)
    np.testing.assert_allclose(label.marginal().log_prob(Z), expected, rtol=1e-6)


def test_networks_in_place_of_linear_maps_start_at_zero_and_learn():
    label = Real(1, prior_units=(8,), predictor_units=(8,), dtype="float64")
    label.build_prior(DIMS, seed=0)
    label.build_predictor(DIMS, seed=0)
    assert not label.q_phi(np.ones([2, 1])).numpy().any()
    assert len(label.trainable_variables) == 2 * 5
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(label.loss(tf.constant(Z), tf.ones([5, 1], tf.float64)))
    gradients = tape.gradient(loss, label.q_theta.trainable_variables)
    assert any(np.abs(g).max() > 0 for g in gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_is_rebuilt_from_its_configuration(kind):
    label = KINDS[kind][0](title="kind", prior_units=(4,))
    packed = keras.saving.serialize_keras_object(label)
    again = keras.saving.deserialize_keras_object(packed)
    assert type(again) is type(label)
    assert again.get_config() == label.get_config()
    record = json.loads(json.dumps(label.record()))
    (twin,) = make_labels([record], "float64")
    assert (type(twin), twin.dtype, twin.title) == (type(label), "float64", "kind")
    assert twin.record() == label.record()


def empirical(y, **options):
    """The label with the empirical distribution of values, and its twin in records."""
    dims = y.shape[1]
    label = Real(dims, distribution="empirical", dtype="float64", **options).fitted(y)
    (label,) = make_labels(json.loads(json.dumps([label.record()])), "float64")
    label.build_prior(DIMS, seed=0)
    for weight in label.trainable_variables:
        weight.assign(
            0.3 * np.sin(np.arange(weight.numpy().size)).reshape(weight.shape)
        )
    return label


@pytest.mark.parametrize(
    ("count", "dims", "tolerance"),
    [(30, 1, 1e-10), (5000, 1, 2e-3), (30, 2, 1e-10), (5000, 2, 0.2)],
)
def test_an_empirical_distribution_is_the_mean_over_the_training_values(
    count, dims, tolerance
):
    y = np.random.default_rng(1).exponential(2.0, (count, dims))  # skewed
    label = empirical(y)
    each = np.stack([prior_log_prob(label, z, y) for z in Z])
    expected = logsumexp(each, 1) - np.log(count)
    np.testing.assert_allclose(label.marginal().log_prob(Z), expected, atol=tolerance)
    hidden = label.log_prob(Z, tf.constant(np.full([5, dims], np.nan)))
    np.testing.assert_allclose(hidden, expected, atol=tolerance)
    drawn = label.sample(tf.constant(4000), tf.constant([0, 1])).numpy()
    assert set(drawn.ravel()) <= set(np.ravel(label.values))
    np.testing.assert_allclose(drawn.mean(0), y.mean(0), atol=0.2)


def test_an_empirical_distribution_without_values_is_not_known():
    label = Real(1, distribution="empirical")
    assert not label.can_hide
    with pytest.raises(ValueError, match="Received: dims=1, distribution='empirical'"):
        label.support()


def test_captions_are_for_people():
    assert Categorical(2, ["cat", "dog"]).caption([1]) == "dog"
    assert Categorical(2).caption([1]) == "1"
    assert Binary(title="clockwise").caption([0]) == "not clockwise"
    assert Real(1, title="height").caption([1.234]) == "height = 1.23"
    np.testing.assert_allclose(Real(1, [5.0], [2.0]).examples(5)[:, 0], [1, 3, 5, 7, 9])


@pytest.mark.parametrize(
    ("build", "received"),
    [
        (lambda: Categorical(0), "num_classes=0"),
        (lambda: Categorical(2.5), "num_classes=2.5"),
        (lambda: Categorical(2, ["a"]), r"names=\['a'\]"),
        (lambda: Real(0), "dims=0"),
        (lambda: Real(2, [0.0]), r"mean=\[0.0\]"),
        (lambda: Real(1, [np.nan]), r"mean=\[nan\]"),
        (lambda: Real(1, scale=[0.0]), r"scale=\[0.0\]"),
        (lambda: Real(1, distribution="uniform"), "distribution='uniform'"),
        (lambda: Real(3, distribution="normal").support(), "dims=3"),
        (lambda: Real(1).support(), "distribution=None"),
        (lambda: Real(1, values=[[1.0]]), "distribution=None"),
        (lambda: Real(1, distribution="empirical", values=[1.0]), r"shape=\(1,\)"),
    ],
)
def test_impossible_labels_are_refused(build, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        build()


def test_a_kind_without_a_distribution_cannot_be_hidden():
    class Rank(Label):
        pass

    assert not Rank().can_hide
    with pytest.raises(ValueError, match="cannot be marginalised"):
        Rank().marginal()


def test_losses_in_graphs_of_the_first_tensorflow():
    # there == between tensors compares objects
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        label = Categorical(2)
        label.q_theta = lambda code: code  # the code is the logits
        scores = tf.constant([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
        y = tf.constant([[0], [0], [-1]])
        measured = label.measures(label.estimate(scores), y)["error"]
        error, entropy = session.run([measured, label.loss(scores, y)])
    np.testing.assert_array_equal(error, [0, 100, 100])
    np.testing.assert_allclose(entropy, [np.log1p(np.e**-1), np.log1p(np.e), 0], 1e-6)


def test_what_reads_codes_as_they_are_has_the_type_of_its_label():
    label = Real(dtype="float64")
    label.build_predictor(3, identity=True)
    code = tf.constant([[0.1, 0.2, 0.3]], tf.float64)
    assert label.q_theta(code).dtype == "float64"
