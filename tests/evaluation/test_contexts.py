"""Evaluators and diagnostics measure every example with its own context."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tfcnf
from tfcnf.diagnostics.examples import ExampleMeasures
from tfcnf.diagnostics.pictures import class_samples, reconstructions
from tfcnf.diagnostics.tolerances import ToleranceEvaluator
from tfcnf.evaluation.density import DensityEvaluator
from tfcnf.evaluation.image import Evaluator
from tfcnf.losses import bits_per_dim

TOL, N = 1e-3, 6
RNG = np.random.default_rng(0)


def split(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, [N, 4, 4, 1]).astype(np.uint8)
    context = 3 * rng.normal(size=(N, 2)).astype(np.float32)
    return tfcnf.Split(x, np.arange(N)[:, None] % 2, context=context)


@pytest.fixture(scope="module")
def data():
    return tfcnf.DataSource("mine", split(1), split(2), (2,), 5)


@pytest.fixture(scope="module")
def model(data):
    small = {"num_scales": 1, "flows_per_block": 1, "filters": 2, "hidden_layers": 1}
    return tfcnf.InfoCNF(**data.model_keywords(), **small, alpha=0.05, seed=0)


def test_an_evaluator_measures_examples_with_their_context(model, data):
    measures = dict(Evaluator(model, data).run(TOL))
    test = data.test
    nats = model.log_prob(test.x, test.y, context=test.context, tol=TOL)
    expected = np.mean(bits_per_dim(nats, model.num_dims, model.num_levels))
    np.testing.assert_allclose(measures["bits_per_dim"], expected, rtol=1e-6)
    moved = dataclasses.replace(test, context=np.roll(test.context, 1, 0))
    others = dict(Evaluator(model, dataclasses.replace(data, test=moved)).run(TOL))
    assert abs(others["bits_per_dim"] - expected) > 1e-3


def test_single_examples_and_outliers_have_their_context(model, data):
    expected = {
        name: model.marginal_log_prob(part.x, context=part.context, tol=TOL)
        for name, part in data.splits.items()
    }
    found = ExampleMeasures(model, TOL)(data.test)["log_prob"]
    np.testing.assert_allclose(found, expected["test"], rtol=1e-5)
    arrays = tfcnf.diagnostics.Outliers().compute(model, data, tol=TOL)
    for name, nats in expected.items():
        np.testing.assert_allclose(arrays[name], nats, rtol=1e-5)
    assert arrays["noisy"].shape == (N,)


def test_tolerances_are_measured_with_the_context(model, data):
    measures = dict(ToleranceEvaluator(model, data).run([4]))
    assert measures["mean/batch_4/num_examples"] == N
    assert np.isfinite(measures["mean/batch_4/bits_per_dim"])


def test_pictures_are_drawn_with_contexts(model, data):
    context = data.test.context
    drawn = class_samples(model, 3, tol=TOL, context=context)
    again = model.sample([0, 0, 0, 1, 1, 1], tol=TOL, context=context[[0, 1, 2] * 2])
    np.testing.assert_allclose(drawn.reshape(again.shape), again, atol=1e-5)
    _, _, gap = reconstructions(model, data.test.x, 1e-5, context=context)
    assert gap.max() < 1e-3


@pytest.mark.slow
def test_paths_are_of_the_conditions_of_test_rows(model, data, monkeypatch):
    monkeypatch.setattr("tfcnf.diagnostics.paths.STEPS", 2)
    arrays = tfcnf.diagnostics.Paths().compute(model, data, tol=TOL)
    path, rows = arrays["positions"], arrays["rows"]
    columns = np.arange(len(rows)) // 2  # two classes, then the next condition
    context = data.test.context[columns % len(data.test.context)]
    codes = model.encode(path[:, -1], context=context, tol=1e-5)
    starts = (tf.sigmoid(codes) - 0.05) / 0.9  # where a code stands before the CNFs
    found = path[:, 0].reshape(len(path), -1)
    np.testing.assert_allclose(found, starts, atol=1e-2)


def test_what_has_no_place_for_a_context_says_so(model, data):
    with pytest.raises(ValueError, match=r"a context; samples\.png.*\(6, 2\)"):
        tfcnf.diagnostics.Gallery().compute(model, data, tol=TOL)
    x = RNG.normal(size=(4, 1)).astype(np.float32)
    points = tfcnf.Split(x, np.zeros([4, 1], int), context=x)
    box = tfcnf.Density((-4.0,), (4.0,), 11)
    source = tfcnf.DataSource("line", points, points, (1,), 1, density=box)
    with pytest.raises(ValueError, match="areas are of densities without a context"):
        DensityEvaluator(model, source)
