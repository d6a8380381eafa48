import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CCNF, CNF, InfoCNF, losses
from tfcnf.flows.base import Chain
from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.dequantize import Dequantize
from tfcnf.flows.multiscale import build_multiscale
from tfcnf.flows.reshape import Squeeze
from tfcnf.ode.dynamics import ConvDynamics
from tfcnf.types import Control

SHAPE, LEVELS, CLASSES = (4, 4, 1), 17, 3
SMALL = {
    "num_levels": LEVELS,
    "filters": 4,
    "hidden_layers": 1,
    "flows_per_block": 1,
    "alpha": 0.05,
    "tol": 1e-3,
    "seed": 0,
}
RNG = np.random.default_rng(0)
X = RNG.integers(0, LEVELS, (64, *SHAPE)).astype(np.uint8)
Y = RNG.integers(0, CLASSES, 64)
X[Y == 1, :2] //= 4  # so that there is something to learn
X[Y == 2, 2:] //= 4


@pytest.fixture(scope="module")
def trained():
    """A small InfoCNF after `fit`, and its history."""
    model = InfoCNF(SHAPE, CLASSES, **SMALL)
    model.compile(keras.optimizers.Adam(3e-2))
    history = model.fit(X, Y, batch_size=32, epochs=15, verbose=0)
    return model, history.history


def test_fit_learns_and_reports(trained):
    _, history = trained
    assert history["bits_per_dim"][-1] < history["bits_per_dim"][0] - 0.3
    assert history["error"][-1] < history["error"][0]
    loss = history["bits_per_dim"][-1] + 0.5 * history["cross_entropy"][-1]
    assert history["loss"][-1] == pytest.approx(loss, rel=1e-5)
    assert history["nfe_forward/cnf_00"] == history["nfe_forward"]
    assert all(n >= 7 for n in history["nfe_backward"])


def test_evaluate_agrees_with_the_public_measures(trained):
    model, _ = trained
    measured = model.evaluate(X, Y, batch_size=64, verbose=0, return_dict=True)
    bits = losses.bits_per_dim(model.log_prob(X, Y), model.num_dims, LEVELS)
    assert measured["bits_per_dim"] == pytest.approx(np.mean(bits), abs=0.05)
    wrong = np.argmax(model.classify(X), 1) != Y
    assert measured["error"] == pytest.approx(100 * wrong.mean(), abs=5)


def test_marginal_and_conditional_likelihoods_are_consistent(trained):
    model, _ = trained
    each = [model.log_prob(X, np.full(64, k)) for k in range(CLASSES)]
    expected = tf.reduce_logsumexp(tf.stack(each, 1), 1) - np.log(CLASSES)
    # the summands are tens of nats, and float32
    found = model.marginal_log_prob(X)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    posterior = tf.nn.softmax(tf.stack(each, 1), 1)
    generative = model.classify(X, posterior="generative")
    np.testing.assert_allclose(generative, posterior, atol=2e-3)
    np.testing.assert_allclose(tf.reduce_sum(model.classify(X), 1), 1.0, rtol=1e-5)


def test_round_trip_at_tolerance_1e_5(trained):
    model, _ = trained
    u = RNG.random((8, *SHAPE)).astype(np.float32)
    back = model.decode(model.encode(u, tol=1e-5), tol=1e-5)
    assert np.abs(back - u).max() < 1e-3


def test_samples_are_images_that_the_seed_fixes(trained):
    model, _ = trained
    labels = np.array([0, 1, 2, 2])
    images = model.sample(labels, seed=5)
    assert images.shape == (4, *SHAPE)
    np.testing.assert_array_equal(images, model.sample(labels, seed=5))
    assert (images.numpy() != model.sample(labels, seed=6).numpy()).any()
    assert images.numpy().min() > -0.06  # alpha / (1 - 2 alpha)
    assert images.numpy().max() < 1.06


def test_samples_follow_their_class(trained):
    model, _ = trained
    images = model.sample(np.repeat([1, 2], 50), seed=0).numpy()
    top, bottom = images[:, :2].mean((1, 2, 3)), images[:, 2:].mean((1, 2, 3))
    assert top[:50].mean() < bottom[:50].mean()  # class 1 is dark above
    assert top[50:].mean() > bottom[50:].mean()  # class 2 is dark below


def test_keras_file_restores_the_model(trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is InfoCNF
    np.testing.assert_array_equal(loaded.log_prob(X, Y), model.log_prob(X, Y))
    np.testing.assert_array_equal(loaded.sample([1], seed=2), model.sample([1], seed=2))


def test_tolerance_is_an_argument_of_the_call(trained):
    model, _ = trained
    counts = [
        float(model(X, control=Control(tol=tf.constant(tol))).nfe[0])
        for tol in (1e-2, 1e-6)
    ]
    assert counts[0] < counts[1]
    loose, tight = (model.log_prob(X, Y, tol=tol).numpy() for tol in (1e-5, 1e-6))
    np.testing.assert_allclose(loose, tight, atol=1e-2)


def test_the_three_models_start_equal():
    bits, entropies = [], []
    control = Control(seed=tf.constant([0, 0]))
    for model_class in (CNF, CCNF, InfoCNF):
        labels = {} if model_class is CNF else {"labels": CLASSES}
        model = model_class(SHAPE, **labels, **SMALL)
        terms, _ = model.terms(X, Y, control, training=False)
        bits.append(terms["bits_per_dim"].numpy())
        entropies.append(terms.get("cross_entropy"))
    np.testing.assert_allclose(bits[1], bits[0], rtol=1e-6)
    np.testing.assert_allclose(bits[2], bits[0], rtol=1e-6)
    assert entropies[0] is None
    for entropy in entropies[1:]:
        np.testing.assert_allclose(entropy.values, np.log(CLASSES), rtol=1e-6)


def test_weights_of_the_heads_follow_the_fraction():
    labelled = [m(SHAPE, CLASSES, **SMALL) for m in (InfoCNF, CCNF)]
    counts = [m.count_params() for m in (CNF(SHAPE, **SMALL), *labelled)]
    # per supervised dimension: 2 K weights and 4 of bias and log-scale in q_phi, K
    # in q_theta, whose bias and log-scale have K each
    assert counts[1] - counts[0] == 8 * (3 * CLASSES + 4) + 2 * CLASSES
    assert counts[2] - counts[0] == 16 * (3 * CLASSES + 4) + 2 * CLASSES


def test_several_label_factors():
    model = InfoCNF(SHAPE, (3, 2), **SMALL)
    labels = np.stack([Y, Y % 2], 1)
    terms, _ = model.terms(X, labels, Control(), training=False)
    np.testing.assert_allclose(
        terms["cross_entropy"].values, (np.log(3) + np.log(2)) / 2, rtol=1e-6
    )
    first, second = model.classify(X)
    assert (first.shape, second.shape) == ((64, 3), (64, 2))
    assert model.sample(labels[:2]).shape == (2, *SHAPE)


def test_a_density_of_vectors_integrates_to_one():
    small = {"filters": 8, "hidden_layers": 1, "flows_per_block": 1}
    model = InfoCNF(
        (1,),
        2,
        supervised_fraction=1.0,
        activation="tanh",
        trace="exact",
        tol=1e-6,
        dtype="float64",
        seed=3,
        **small,
    )
    for variable in model.trainable_variables:  # far from where it starts
        variable.assign(3.0 * variable + 0.1)
    grid = np.linspace(-30, 30, 6001)[:, None]
    for label in (0, 1):
        density = np.exp(model.log_prob(grid, np.full(len(grid), label)))
        assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1.0, abs=1e-4)
    density = np.exp(model.marginal_log_prob(grid))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1.0, abs=1e-4)


def test_a_flow_of_your_own(tmp_path):
    cnf = CNFLayer(ConvDynamics((3,), activation="tanh", seed=1))
    flow = Chain([Dequantize(LEVELS, 0.05), build_multiscale(SHAPE, lambda: cnf, 1, 1)])
    model = InfoCNF(SHAPE, CLASSES, num_levels=LEVELS, flow=flow, seed=0)
    before = model.log_prob(X, Y)
    model.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(loaded.log_prob(X, Y), before)


def test_a_flow_without_a_solve_trains():
    flow = Chain([Dequantize(LEVELS, 0.05), build_multiscale(SHAPE, Squeeze, 1, 1)])
    model = InfoCNF(SHAPE, CLASSES, num_levels=LEVELS, flow=flow, seed=0)
    model.compile(keras.optimizers.Adam(3e-2))
    history = model.fit(X, Y, batch_size=32, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["nfe_backward"] == [0.0] * 5


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda m: m.log_prob(X[:, :3], Y), "examples must have shape"),
        (lambda m: m.log_prob(X[0], Y), "examples must have shape"),
        (lambda m: m.log_prob(X + 20, Y), "grey levels 0..16"),
        (lambda m: m.log_prob(X * np.float32("nan"), Y), "finite"),
        (lambda m: m.terms(X.astype(np.float32), Y, Control(), False), "lie in"),
        (lambda m: m.log_prob(X.astype(str), Y), "integers or floats"),
        (lambda m: m.log_prob(X, Y + 1), "labels must be in 0..2"),
        (lambda m: m.log_prob(X, Y - 1), "labels must be in 0..2"),
        (lambda m: m.log_prob(X, Y * 1.0), "labels must be integers"),
        (lambda m: m.log_prob(X, np.stack([Y, Y], 1)), "labels must have shape"),
        (lambda m: m.log_prob(X, Y, tol=0.0), "tol must be positive"),
        (lambda m: m.classify(X, posterior="bayes"), "posterior must be one of"),
        (lambda m: m.decode(np.zeros([2, 15], np.float32)), "codes must have shape"),
        (lambda m: m.sample([3]), "labels must be in 0..2"),
        (lambda m: CNF(SHAPE, **SMALL).classify(X), "with a label of classes"),
        (lambda m: CNF(SHAPE, supervised_fraction=0.5), "CNF has no labels"),
        (lambda m: CCNF(SHAPE, supervised_fraction=0.5), "whole code"),
        (lambda m: InfoCNF((4, 4)), "event_shape must have 1 or 3"),
        (lambda m: InfoCNF((4, 0, 1)), "event_shape must be positive"),
        (lambda m: InfoCNF(SHAPE, 0), "must be a positive integer"),
        (lambda m: InfoCNF(SHAPE, supervised_fraction=2.0), "between 0 and 1"),
        (lambda m: InfoCNF(SHAPE, tol=-1.0), "tol must be positive"),
    ],
)
def test_bad_input_is_named(trained, use, words):
    with pytest.raises(ValueError, match=rf"{words}[\s\S]*Received: "):
        use(trained[0])


def test_bad_labels_stop_fit(trained):
    model, _ = trained
    with pytest.raises(ValueError, match=r"^labels must be in -1\.\.2"):
        model.fit(X, Y + 1, batch_size=32, verbose=0)


def test_layers_start_with_weights_and_noise_of_their_own():
    model = CNF((4, 4, 1), num_levels=LEVELS, filters=2, hidden_layers=2, seed=0)
    layers = [x for x in model._flatten_layers() if isinstance(x, CNFLayer)]
    assert len(layers) > 1
    assert len({layer.seed for layer in layers}) == len(layers)
    middle = [layer.dynamics.stack[1]["kernel"].numpy().ravel() for layer in layers]
    middle.append(layers[0].dynamics.stack[2]["kernel"].numpy().ravel()[: 9 * 2])
    for i, a in enumerate(middle):
        for b in middle[:i]:
            assert abs(np.corrcoef(a[:18], b[:18])[0, 1]) < 0.9
