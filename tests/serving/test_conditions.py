"""Answers of models with a context, of vectors, and with labels that are numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CNF, Categorical, InfoCNF, Real
from tfcnf.serving.export import make_module

SMALL = {"filters": 4, "hidden_layers": 1, "flows_per_block": 1, "seed": 0}


def stirred(model):
    """The model with weights that make a difference."""
    for weight in model.trainable_weights:
        wave = np.sin(np.arange(weight.numpy().size)).reshape(weight.shape)
        weight.assign(weight + 0.2 * wave)
    return model


@pytest.fixture(scope="module")
def images():
    embedding = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model = InfoCNF(
        (4, 4, 1),
        [Real(1, mean=[20.0], scale=[5.0])],
        **(SMALL | {"num_levels": 17, "filters": 2}),
        context=(2, 2, 1),
        embedding=embedding,
    )
    return stirred(model)


@pytest.mark.slow
def test_images_with_a_context_are_answered_as_in_memory(images):
    module = make_module(images, None, tol=1e-6)
    rng = np.random.default_rng(0)
    image = rng.uniform(0.1, 0.9, [3, 4, 4, 1]).astype(np.float32)
    context = rng.normal(size=(3, 2, 2, 1)).astype(np.float32)
    code = rng.normal(size=(3, 16)).astype(np.float32)
    drawn = module.decode(code, context)["image_black_0_white_1"]
    expected = images.decode(code, context=context, tol=1e-6)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    other = images.decode(code, context=context[::-1], tol=1e-6)
    assert np.abs(drawn - other)[[0, 2]].max() > 1e-3
    line = module.interpolate(image, image[::-1], context, 3)
    line = line["images_black_0_white_1"]  # each pair has the context of its row
    np.testing.assert_allclose(line[:, 0], image, atol=1e-4)
    np.testing.assert_allclose(line[:, 2], image[::-1], atol=1e-4)
    assert not module.interpolate(image[:0], image[:0], context[:0])[
        "images_black_0_white_1"
    ].shape[0]


def test_a_label_without_a_distribution_has_no_marginal(images):
    module = make_module(images, -1.0, tol=1e-3)
    assert not {"marginal_log_prob", "ood_score", "classify"} & set(module.functions)
    assert "predict_labels" in module.functions
    signature = module.log_prob.function_spec.fullargspec.args
    assert signature == ["image", "label", "context", "tol", "steps"]


@pytest.fixture(scope="module")
def vectors():
    return stirred(CNF((2,), context=3, **SMALL))


def test_vectors_with_a_context_are_drawn_as_in_memory(vectors):
    module = make_module(vectors, None, tol=1e-6)
    context = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    drawn = module.sample(4, context, seed=2)["x_own_units"]
    expected = vectors.sample(4, seed=2, context=context, tol=1e-6)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    each = module.sample(4, context, seed=np.int32([5, 6, 7, 8]))["x_own_units"]
    for one in (context[2], context[2:3]):  # one for all
        alone = module.sample(1, one, seed=7)["x_own_units"]
        np.testing.assert_allclose(each[2:3], alone, atol=1e-4)
    assert module.sample(0, context[:0])["x_own_units"].shape == (0, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="for each example"):
        module.sample(4, context[:2])


def test_scores_of_vectors_are_of_models_of_p_of_x():
    labels = [Categorical(2), Real(1, distribution="normal")]
    model = InfoCNF((2,), labels, supervised_fraction=1.0, **SMALL)
    free = make_module(model, 1.0, tol=1e-3)
    x = np.array([[0.3, -1.0]], np.float32)
    found = free.predict_labels(x)
    ends = [found[f"label{end}_own_units"] for end in ("", "_low", "_high")]
    expected = model.predict_labels(x, level=0.9, tol=1e-3)
    np.testing.assert_allclose(np.stack(ends, 2), expected, atol=1e-5)
    assert {"ood_score", "marginal_log_prob", "predict_labels"} <= set(free.functions)
    told = free.classify(x)["generative_probability"]
    expected = model.classify(x, "generative", tol=1e-3)
    np.testing.assert_allclose(told, expected, atol=1e-5)


def test_other_models_are_not_exported():
    model = keras.Sequential()
    with pytest.raises(ValueError, match=r"only flows .* Received: Sequential"):
        make_module(model, None, tol=1e-3)
