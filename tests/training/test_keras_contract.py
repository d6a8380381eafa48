"""Keras' fit and evaluate, and the step that they share with the package's own loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.optimizers import LossScaleOptimizer

from tfcnf import CNF
from tfcnf.labels.categorical import Categorical
from tfcnf.training.accumulation import make_step
from tfcnf.training.strategy import get_strategy

X = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
Y = np.array([0, 1, 1, 0, 1, 1, 1, 0], np.int32)[:, None]
WEIGHTS = np.array([0, 1, 2, 0, 0.5, 3, 1, 0], np.float32)
START, RATE = 0.25, 0.1


def gradient(w, weights=None):
    """The gradient of the (weighted) mean square of w x - y."""
    x, y = X[:, 0].astype(float), Y[:, 0]
    return np.average(2 * x * (w * x - y), weights=weights)


def loss(w, weights=None):
    return np.average((w * X[:, 0] - Y[:, 0]) ** 2, weights=weights)


class Pulled(keras.layers.Layer):
    """Adds a loss of its own in every call."""

    def call(self, x):
        self.add_loss(tf.constant(0.5))
        return x


@pytest.fixture
def make(make_line):
    """A function that makes a `Line` of two classes with w = 0.25."""

    class Classes(make_line):
        labels = (Categorical(2),)

        def __init__(self, penalised=False, **options):
            super().__init__(RATE, **options)
            self.w.assign(START)
            if penalised:
                self.w.regularizer = keras.regularizers.L2(0.5)
                self.pulled = Pulled()

        def terms(self, x, y, control, training):
            x = self.pulled(x) if hasattr(self, "pulled") else x
            return super().terms(x, y, control, training)

    return Classes


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_a_step_has_weights_and_the_layers_losses(name, parts, make, mirrored):
    scope = {"one_device": get_strategy("one_device"), "mirrored": mirrored}[name]
    with scope.scope():
        model = make(penalised=True)
    size = 8 // scope.num_replicas_in_sync

    def share(context):
        i = context.replica_id_in_sync_group
        return tuple(tf.constant(v[i * size :][:size]) for v in (X, Y, WEIGHTS))

    batch = scope.experimental_distribute_values_from_function(share)
    make_step(model, scope, parts)(batch)
    moved = gradient(START, WEIGHTS) + START  # d/dw of w^2 / 2
    assert model.w.numpy() == pytest.approx(START - RATE * moved, rel=1e-5)
    logs = {m.name: float(m.result()) for m in model.metrics}
    penalty = 0.5 * START**2 + 0.5
    assert logs["loss"] == pytest.approx(loss(START, WEIGHTS) + penalty, rel=1e-5)
    assert logs["bits_per_dim"] == pytest.approx(2 * loss(START, WEIGHTS), rel=1e-5)


def test_fit_and_evaluate_take_weights_of_examples_and_of_classes(make):
    model = make()
    history = model.fit(
        X, Y, 8, sample_weight=WEIGHTS, verbose=0, validation_data=(X, Y, WEIGHTS)
    ).history
    w = START - RATE * gradient(START, WEIGHTS)
    assert model.w.numpy() == pytest.approx(w, rel=1e-5)
    assert history["loss"] == [pytest.approx(loss(START, WEIGHTS), rel=1e-5)]
    assert history["val_loss"] == [pytest.approx(loss(w, WEIGHTS), rel=1e-5)]
    # over several batches, too
    measured = model.evaluate(X, Y, 4, 0, WEIGHTS, return_dict=True)
    assert measured["loss"] == pytest.approx(loss(w, WEIGHTS), rel=1e-5)
    assert measured["bits_per_dim"] == pytest.approx(2 * loss(w, WEIGHTS), rel=1e-5)
    by_class = np.where(Y[:, 0] == 1, 4.0, 1.0)
    model.fit(X, Y, 8, class_weight={1: 4.0}, verbose=0)
    w -= RATE * gradient(w, by_class)
    model.train_on_batch(X, Y, class_weight={1: 4.0})
    w -= RATE * gradient(w, by_class)
    assert model.w.numpy() == pytest.approx(w, rel=1e-5)


def test_weights_of_nothing_change_nothing_and_are_no_measure(make):
    model = make()
    logs = model.train_on_batch(X, Y, np.zeros(8), return_dict=True)
    assert model.w.numpy() == START
    assert np.isnan(logs["loss"])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("count", [5, 7])
def test_a_last_batch_that_replicas_share_unequally_is_one_mean(
    count, weights, make, mirrored
):
    w, chosen = START, np.ones(8) if weights is None else weights
    for batch in (slice(0, 4), slice(4, count)):
        part = np.zeros(8)
        part[batch] = chosen[batch]
        w -= RATE * gradient(w, part)
    with mirrored.scope():
        model = make()
    given = None if weights is None else weights[:count]
    model.fit(X[:count], Y[:count], 4, sample_weight=given, shuffle=False, verbose=0)
    assert model.w.numpy() == pytest.approx(w, rel=1e-5)


def test_a_replica_without_an_example_leaves_flow_and_gates_to_the_others(mirrored):
    options = {"flows_per_block": 1, "filters": 4, "hidden_layers": 1, "tol": 1e-2}
    with mirrored.scope():
        model = CNF((2,), seed=0, policy="learned", **options)
        model.compile(keras.optimizers.SGD(RATE))
    x = np.random.default_rng(0).normal(size=[5, 2]).astype(np.float32)
    history = model.fit(x, batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite([history["loss"], history["log10_tol/cnf_00"]]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def tables(weights):
    parts = (X, Y) if weights is None else (X, Y, weights)
    return tf.data.Dataset.from_tensor_slices(parts).batch(2)


@pytest.mark.parametrize(
    "options", [{}, {"steps_per_execution": 3}, {"run_eagerly": True}]
)
def test_ways_to_fit_agree(options, make):
    """Four steps, from arrays and a data set, and callbacks that look at the loss."""
    expected, w = [], START
    for _ in range(2):
        for i in range(0, 8, 2):
            part, v = np.zeros(8), WEIGHTS[i : i + 2]
            part[i : i + 2] = v
            w -= RATE * gradient(w, part) if v.any() else 0.0
        expected.append(w)
    model = make()
    model.compile(keras.optimizers.SGD(RATE), **options)
    seen = []
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=9.0, patience=1)
    plateau = keras.callbacks.ReduceLROnPlateau(
        "val_loss", factor=0.5, patience=1, min_delta=9.0
    )
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(model.w.numpy()))
    )
    calls = [watch, stop, plateau]
    model.fit(
        tables(WEIGHTS), epochs=9, validation_data=tables(None), verbose=0,
        callbacks=calls,
    )  # fmt: skip
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    assert float(model.optimizer.learning_rate) == pytest.approx(RATE / 2)


def test_a_part_is_split_off_for_validation(make):
    model = make()
    history = model.fit(
        X, Y, 4, epochs=2, validation_split=0.5, validation_freq=2, verbose=0
    ).history
    w = float(model.w.numpy())
    held_out = np.arange(8) >= 4
    assert history["val_loss"] == [pytest.approx(loss(w, held_out), rel=1e-5)]


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda m: m.compile("sgd", "mse"), "own; .* Received: loss='mse'"),
        (lambda m: m.compile(metrics=["mse"]), r"own; .* metrics=\['mse'\]"),
        (lambda m: m.compile(weighted_metrics=["mse"]), "own; .* weighted_metrics="),
        (lambda m: m.compile(loss_weights=[2.0]), "own; .* loss_weights="),
        (lambda m: m.compile(keras.optimizers.SGD(loss_scale_factor=2.0)), "scaled"),
        (
            lambda m: m.compile(LossScaleOptimizer(keras.optimizers.SGD())),
            "under a mixed policy. Received: dtype=float32",
        ),
        (lambda m: m.fit(X, Y, class_weight={2: 1.0}), r"classes 0\.\.1\. Received: "),
        (
            lambda m: m.fit(X, Y, sample_weight=np.ones([8, 3]), verbose=0),
            r"one number .* Received: sample_weight\.shape=\(None, 3\)",
        ),
    ],
)
def test_options_that_are_not_kept_are_refused(use, words, make):
    with pytest.raises(ValueError, match=words) as failure:
        use(make())
    assert "\n" not in str(failure.value)


def test_negative_weights_are_refused(make):
    model = make()
    with pytest.raises(ValueError, match="must be finite and not"):
        model.fit(X, Y, sample_weight=-WEIGHTS, verbose=0)
    assert model.w.numpy() == START


def test_class_weights_need_one_factor(make_line):
    with pytest.raises(ValueError, match=r"give sample_weight\. Received: class_w"):
        make_line().train_on_batch(X, Y, class_weight={0: 1.0})


def test_a_compiled_model_is_compiled_after_loading(make):
    first, second = make(), make()
    first.compile(keras.optimizers.SGD(0.5))
    second.compile_from_config(first.get_compile_config())
    assert float(second.optimizer.learning_rate) == 0.5


def test_frozen_weights_are_said_and_the_rest_is_measured(make):
    model = make()
    model.trainable = False
    model.compile("sgd")
    with pytest.warns(UserWarning, match="no trainable weights"):
        history = model.fit(X, Y, 8, verbose=0).history
    assert model.w.numpy() == START
    assert history["loss"] == [pytest.approx(loss(START), rel=1e-5)]


def test_a_weight_that_the_loss_does_not_reach_stays(make):
    model = make()
    aside = model.add_weight(shape=(2,), initializer="ones", name="aside")
    model.compile(keras.optimizers.SGD(RATE))
    model.fit(X, Y, 8, verbose=0)
    assert model.w.numpy() == pytest.approx(START - RATE * gradient(START), rel=1e-5)
    np.testing.assert_array_equal(aside, [1.0, 1.0])


def test_losses_within_a_solve_are_refused(make):
    model = make(penalised=True)
    inner = tf.function(model.pulled)
    del model.pulled
    terms = model.terms
    model.terms = lambda x, *rest: terms(inner(x), *rest)
    with pytest.raises(ValueError, match=r"not within the dynamics .* Received: lo"):
        model.train_on_batch(X, Y)
