"""A training step that XLA compiles is the same step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcnf
from tfcnf.models.failures import DivergenceError, named_failures
from tfcnf.training.accumulation import make_step
from tfcnf.training.strategy import get_strategy

X = np.random.default_rng(0).normal(size=[8, 4]).astype(np.float32)
IMAGES = np.random.default_rng(0).integers(0, 17, [8, 4, 4, 1])
Y = np.arange(8, dtype=np.int32) % 3
TINY = {"filters": 3, "hidden_layers": 1, "flows_per_block": 1, "tol": 1e-3, "seed": 0}
SCALES = {"num_levels": 17, "num_scales": 2, "alpha": 0.05}


def trained(x, steps=2, *, eagerly=False, compiled=False, **options):
    """Measures of the first step, and the weights after some."""
    model = tfcnf.InfoCNF(x.shape[1:], 3, **(TINY | options))
    adam = keras.optimizers.Adam(1e-2, global_clipnorm=1.0)
    model.compile(adam, run_eagerly=eagerly, jit_compile=compiled)
    first = model.train_on_batch(x, Y, return_dict=True)
    for _ in range(steps - 1):
        model.train_on_batch(x, Y)
    return first, [weight.numpy() for weight in model.flow_weights]


def test_a_compiled_step_of_the_packages_loop_is_the_step_and_fails_as_it_does():
    expected, weights = trained(X, steps=1, eagerly=True)
    model = tfcnf.InfoCNF(X.shape[1:], 3, **TINY)
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0), jit_compile=True)
    strategy = get_strategy("one_device")
    with pytest.raises(ValueError, match=r"one part. Received: .*, 1 replicas, .*=2"):
        make_step(model, strategy, parts=2)
    step, batch = make_step(model, strategy), (tf.constant(X), tf.constant(Y))
    step(batch)
    for tracker in model.metrics:
        np.testing.assert_allclose(
            tracker.result(), expected[tracker.name], atol=1e-5, err_msg=tracker.name
        )
    found = [weight.numpy() for weight in model.flow_weights]
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    model.flow_weights[0].assign(np.full_like(found[0], np.nan))
    with pytest.raises(DivergenceError, match="loss is not f"), named_failures():
        step(batch)
    assert int(model.optimizer.iterations) == 1
    for weight, value in zip(model.flow_weights[1:], found[1:], strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.slow
def test_a_compiled_step_of_keras_is_the_step():
    expected, weights = trained(X, eagerly=True)
    measures, found = trained(X, compiled=True)
    assert measures.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(measures[name], value, atol=1e-5, err_msg=name)
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_last_batch_that_is_smaller_compiles_with_hidden_labels_and_without():
    fitted = []
    for compiled in (False, True):
        model = tfcnf.InfoCNF((4,), 3, supervised_fraction=1.0, dropout=0.0, **TINY)
        model.compile("sgd", jit_compile=compiled)
        for y in (Y[:5], np.array([-1, *Y[1:5]])):
            model.fit(X[:5], y, batch_size=4, shuffle=False, verbose=0)
        fitted.append([weight.numpy() for weight in model.weights])
    for a, b in zip(*fitted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"policy": "random"},
        {"policy": "scheduled"},
        {"policy": "learned"},
        {"trace": "exact", "solver": "tsit5"},
        {"costs": {"kinetic_energy": 0.1, "jacobian_norm": 0.1}, "steer": 0.2},
        {"supervised_fraction": 1.0},
    ],
    ids=str,
)
def test_images_compile_with_every_policy(options):
    expected, weights = trained(IMAGES, **SCALES, **options)
    measures, found = trained(IMAGES, compiled=True, **SCALES, **options)
    for name in ("loss", "bits_per_dim", "cross_entropy", "gradient_norm"):
        np.testing.assert_allclose(measures[name], expected[name], rtol=1e-4)
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.slow
def test_half_precision_compiles():
    measures, _ = trained(X, compiled=True, dtype="mixed_bfloat16", tol=1e-2)
    expected, _ = trained(X, dtype="mixed_bfloat16", tol=1e-2)
    np.testing.assert_allclose(measures["loss"], expected["loss"], atol=0.05)


def test_what_does_not_compile_is_refused():
    for gradient in ("checkpoint", "store"):
        model = tfcnf.InfoCNF((4,), 3, gradient=gradient, **TINY)
        with pytest.raises(ValueError, match=f"alone. Received: .*'{gradient}'$"):
            model.compile(jit_compile=True)
    learned = {"policy": "learned", "reinforce": {"gap": 1.0}}
    model = tfcnf.InfoCNF((4,), 3, **learned, **TINY)
    with pytest.raises(ValueError, match=r"their gap; .* gap=1.0$"):
        model.compile(jit_compile=True)
    series = tfcnf.LatentODE(2, labels=[tfcnf.Binary()])
    with pytest.raises(ValueError, match=r"CNFs alone; .* jit_compile=True$"):
        series.compile(jit_compile=True)


def test_xla_is_left_out_unless_it_is_asked_for(monkeypatch):
    model = tfcnf.CNF((2,), **TINY)
    # as on a machine with a GPU and without a layer that refuses
    monkeypatch.setattr(type(model), "_resolve_auto_jit_compile", lambda _: True)
    for options in ({}, {"jit_compile": "auto"}, {"jit_compile": False}):
        model.compile(**options)
        assert model.jit_compile is False
