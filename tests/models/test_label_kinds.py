"""Flows with labels that are numbers, classes, or both."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import tfcnf
from tfcnf.labels.base import Label
from tfcnf.labels.binary import Binary
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real
from tfcnf.types import Control

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype(np.float32)
Y = np.stack([RNG.normal(5.0, 2.0, 6), [0, 1, 2, 0, 1, 2]], 1).astype(np.float32)
SMALL = {"filters": 4, "hidden_layers": 1, "flows_per_block": 1, "seed": 0}


def kinds(distribution=None):
    height = Real(1, [5.0], [2.0], distribution, title="height")
    return [height, Categorical(3, ["a", "b", "c"])]


@pytest.fixture(scope="module")
def model():
    """A flow with a number and a class, all weights of the labels random."""
    model = tfcnf.InfoCNF(
        (4,),
        kinds("normal"),
        supervised_fraction=1.0,
        tol=1e-6,
        trace="exact",
        dropout=0.0,
        **SMALL,
    )
    for label in model.labels:
        for weight in label.trainable_variables:
            weight.assign(0.3 * RNG.normal(size=weight.shape))
    return model


def test_the_density_given_both_labels(model):
    out = model(X, control=Control(seed=tf.constant([0, 0])))
    expected = out.log_det.numpy()
    for i, label in enumerate(model.labels):
        prior = label.prior(Y[:, i : i + 1])
        code = out.z.numpy()[:, 2 * i : 2 * i + 2]
        expected += stats.norm.logpdf(code, prior.loc, prior.scale.diag).sum(1)
    np.testing.assert_allclose(model.log_prob(X, Y), expected, rtol=1e-4)


def test_the_marginal_is_an_integral_over_one_and_a_sum_over_the_other(model):
    grid, z = np.linspace(-9.0, 19.0, 401), model.encode(X)
    y = np.stack(np.meshgrid(grid, np.arange(3.0)), -1).reshape(-1, 2)
    each = model.prior.log_prob(
        tf.repeat(z, len(y), 0), np.tile(y, [6, 1]).astype(np.float32)
    )
    weight = stats.norm.pdf(y[:, 0], 5.0, 2.0) * (grid[1] - grid[0]) / 3
    total = np.exp(each.numpy().reshape(6, -1)) @ weight
    found = model.prior.marginal_log_prob(z)
    np.testing.assert_allclose(found, np.log(total), rtol=1e-4)


def test_hidden_values_of_both_kinds_train(model):
    y = Y.copy()
    y[0, 0], y[1, 1], y[2] = np.nan, -1, (np.nan, -1)
    terms, _ = model.terms(X, y, Control(seed=tf.constant([0, 0])), False)
    np.testing.assert_array_equal(terms["rmse"].weights, [0, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(terms["error"].weights, [1, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(terms["label_nll"].weights, [0, 0, 0, 1, 1, 1])
    assert np.isfinite(terms["loss"]).all()


def test_predictions_come_in_their_own_units(model):
    found = model.predict_labels(X).numpy()
    z = model.encode(X).numpy()
    for i, label in enumerate(model.labels):
        expected = label.estimate(z[:, 2 * i : 2 * i + 2])[:, 0]
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-5)
    mean, low, high = np.moveaxis(model.predict_labels(X, level=0.8).numpy(), 2, 0)
    np.testing.assert_array_equal(mean, found)
    unit = model.labels[0].predict(z[:, :2])
    ends = stats.norm(unit.mean()[:, 0], unit.stddev()[:, 0]).ppf([[0.1], [0.9]])
    np.testing.assert_allclose([low[:, 0], high[:, 0]], ends, rtol=1e-4)
    assert np.isnan([low[:, 1], high[:, 1]]).all()  # a class
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        model.predict_labels(X, level=1.0)


def test_classes_beside_a_number_have_both_posteriors(model):
    # the number is independent of the class given the code: any value serves
    given = [np.stack([Y[:, 0], np.full(6, k)], 1) for k in range(3)]
    joint = np.stack([model.log_prob(X, y.astype(np.float32)) for y in given], 1)
    found = model.classify(X, "generative")
    np.testing.assert_allclose(found, special.softmax(joint, 1), atol=1e-5)
    codes = model.encode(X)[:, 2:4]
    told = model.labels[1].predict(codes).probs_parameter()
    np.testing.assert_allclose(model.classify(X), told, atol=1e-5)


def test_a_model_of_numbers_has_no_classes():
    numbers = tfcnf.InfoCNF((2,), [Real()], supervised_fraction=1.0, **SMALL)
    with pytest.raises(ValueError, match=r"a label of classes.*labels=\['a number'\]"):
        numbers.classify(X[:, :2])


def test_samples_of_given_values_have_their_codes(model):
    y = np.array([[9.0, 2.0]], np.float32)
    drawn = model.sample(y, temperature=0.0)
    means = model.prior.distribution(tf.constant(y)).loc
    np.testing.assert_allclose(model.encode(drawn), means, atol=1e-3)
    assert model.distribution(y[0]).sample(2, seed=0).shape == (2, 4)
    assert np.isfinite(model.distribution().sample(3, seed=0)).all()


def test_a_number_is_learned_and_reported_as_a_root(tmp_path):
    x = RNG.normal(size=(64, 2)).astype(np.float32)
    y = (100.0 + 10.0 * x[:, :1]).astype(np.float32)
    model = tfcnf.InfoCNF((2,), [Real().fitted(y)], dropout=0.0, tol=1e-2, **SMALL)
    model.compile(keras.optimizers.Adam(3e-2))
    history = model.fit(x, y, batch_size=64, epochs=60, verbose=0).history
    assert history["rmse"][0] == pytest.approx(y.std(), rel=0.1)
    assert history["rmse"][-1] < 0.3 * y.std()
    gap = model.predict_labels(x).numpy() - y
    measured = model.evaluate(x, y, batch_size=64, verbose=0, return_dict=True)
    assert measured["rmse"] == pytest.approx(np.sqrt(np.mean(gap**2)), rel=1e-2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict_labels(x), model.predict_labels(x))
    assert loaded.labels[0].record() == model.labels[0].record()


def test_what_has_no_stated_distribution_is_not_hidden_or_marginalised():
    model = tfcnf.InfoCNF((4,), kinds(), tol=1e-2, **SMALL)
    with pytest.raises(ValueError, match="distribution=None"):
        model.marginal_log_prob(X)
    with pytest.raises(ValueError, match="distribution=None"):
        model.distribution()
    with pytest.raises(ValueError, match="label height must be finite"):
        model.terms(X, Y * np.nan, Control(), True)
    with pytest.raises(ValueError, match=r"label 1 must be in 0\.\.2"):
        model.log_prob(X, Y + 0.5)


def test_integers_of_numpy_are_integers():
    options = SMALL | {"tol": 1e-2}
    model = tfcnf.InfoCNF((4,), [2], **options)
    options |= {"seed": np.int64(0), "filters": np.int64(4)}
    twin = tfcnf.InfoCNF((np.int64(4),), [np.int64(2)], **options)
    drawn = twin.sample([1, 0], seed=np.int64(7))
    np.testing.assert_array_equal(drawn, model.sample([1, 0], seed=7))
    shape = twin.distribution([1]).sample(np.int64(3), seed=np.int64(7))
    np.testing.assert_array_equal(shape, model.distribution([1]).sample(3, seed=7))


def test_yes_or_no_is_a_label_of_flows_too():
    model = tfcnf.CCNF((4,), [Binary(title="old")], tol=1e-2, **SMALL)
    y = np.array([0, 1, 0, 1, -1, 1])
    terms, _ = model.terms(X, y, Control(), True)
    assert np.isfinite(terms["loss"]).all()
    assert model.marginal_log_prob(X).shape == (6,)
    np.testing.assert_array_equal(model.predict_labels(X), np.full([6, 1], 0.5))


@keras.saving.register_keras_serializable("tests")
class Count(Label):
    """How many, Poisson: a kind of label in a file of its own."""

    num_features, num_outputs, num_means = 1, 1, 1
    measure_names = ("count_error",)

    def check(self, y, hidden):
        return tf.reduce_all(y >= 0), "a count"

    def features(self, y):
        return tf.math.log1p(tf.cast(y, self.compute_dtype))

    def is_hidden(self, y):
        return y[:, 0] < 0

    def estimate(self, z):
        return tf.exp(self.q_theta(z))

    def loss(self, z, y):
        log_rate, y = self.q_theta(z)[:, 0], tf.cast(y[:, 0], self.compute_dtype)
        return tf.nn.log_poisson_loss(y, log_rate)

    def measures(self, estimate, y):
        gap = tf.cast(estimate, self.compute_dtype) - tf.cast(y, self.compute_dtype)
        return {"count_error": tf.abs(gap[:, 0])}


def test_a_new_kind_is_one_class():
    model = tfcnf.InfoCNF((4,), [Count(title="seen"), 2], tol=1e-2, **SMALL)
    y = np.array([[0, 1], [3, 0], [1, 0], [0, 1], [2, 1], [9, 0]])
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    history = model.fit(X, y, batch_size=6, epochs=2, verbose=0).history
    assert np.isfinite(history["count_error"]).all()
    assert model.predict_labels(X).shape == (6, 2)
    again = tfcnf.InfoCNF.from_config(model.get_config())
    assert isinstance(again.labels[0], Count)


def test_a_kind_without_a_description_is_told_by_its_name():
    labels = [Count(title="seen")]
    split = tfcnf.Split(X, np.zeros([6, 1], np.int32))
    data = tfcnf.DataSource("mine", split, split, labels, 1)
    assert data.describe().startswith("mine: 1 label, seen (Count); 4 numbers")
    model = tfcnf.InfoCNF((4,), labels, tol=1e-2, **SMALL)
    with pytest.raises(ValueError, match=r"Received: labels=\['Count'\]"):
        model.classify(X)
