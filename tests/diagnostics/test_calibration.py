"""Calibration against posteriors whose calibration is known."""

import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy.special import log_softmax

import tfcnf
from tfcnf import CNF, InfoCNF
from tfcnf.data.source import DataSource, Split
from tfcnf.diagnostics import Calibration, Gallery
from tfcnf.diagnostics.calibration import calibration_error

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 1)
SMALL_FLOW = {"filters": 2, "hidden_layers": 1, "flows_per_block": 1}
SMALL = {"num_levels": 17} | SMALL_FLOW


def two_classes(confidence, right, count=1000):
    """Log-probabilities of one confidence, of which a part is right."""
    logs = np.log([[confidence, 1 - confidence]]).repeat(count, 0)
    return logs, (np.arange(count) >= right * count).astype(np.int32)


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [(0.8, 0.8, 0.0), (0.95, 0.8, 0.15), (0.7, 0.9, 0.2)],
)
def test_the_error_is_the_gap_between_confidence_and_accuracy(
    confidence, right, expected
):
    logs, labels = two_classes(confidence, right)
    assert calibration_error(logs, labels) == pytest.approx(expected, abs=1e-4)


def test_bins_are_weighted_by_their_examples():
    certain, few = two_classes(0.95, 0.95, 300), two_classes(0.65, 0.25, 100)
    logs = np.concatenate([certain[0], few[0]])
    labels = np.concatenate([certain[1], few[1]])
    assert calibration_error(logs, labels) == pytest.approx(0.4 * 100 / 400, abs=1e-4)


def test_the_error_is_that_of_tensorflow_probability():
    logs = log_softmax(2 * RNG.normal(size=(500, 5)), 1).astype(np.float32)
    labels = RNG.integers(0, 5, 500).astype(np.int32)
    expected = tfp.stats.expected_calibration_error(10, logs, labels)
    assert calibration_error(logs, labels) == pytest.approx(float(expected), rel=1e-5)


def test_measures_of_both_posteriors():
    logs = log_softmax(3 * RNG.normal(size=(2000, 4)), 1)
    truth = np.argmax(logs + RNG.gumbel(size=logs.shape), 1)  # drawn from the posterior
    sharp = log_softmax(3 * logs, 1)  # as certain as it has no right to be
    arrays = {"discriminative": logs, "generative": sharp, "labels": truth}
    measures = dict(Calibration().measures(arrays))
    assert measures["num_examples"] == 2000
    wrong = 100 * np.mean(logs.argmax(1) != truth)
    for name in ("discriminative", "generative"):
        assert measures[f"{name}/error"] == pytest.approx(wrong)
    nll = -np.mean(logs[np.arange(2000), truth])
    assert measures["discriminative/nll"] == pytest.approx(nll)
    confidence = np.mean(np.exp(logs.max(1)))
    assert measures["discriminative/confidence"] == pytest.approx(confidence)
    # the calibrated one is as far off as chance has it, the other much further
    chance = measures["discriminative/ece_if_calibrated"]
    assert 0 < measures["discriminative/ece"] < 2.5 * chance
    assert measures["generative/ece"] > 5 * measures["generative/ece_if_calibrated"]
    gap = measures["generative/confidence"] - (1 - wrong / 100)
    assert measures["generative/ece"] == pytest.approx(gap, abs=0.02)


@pytest.fixture(scope="module")
def source():
    x = RNG.integers(0, 17, (9, *SHAPE)).astype(np.uint8)
    split = Split(x, RNG.integers(0, 3, (9, 1)).astype(np.int32))
    return DataSource("images", split, split, (3,), 17)


def test_arrays_are_the_posteriors_of_the_model(source):
    model = InfoCNF(SHAPE, 3, **SMALL, seed=0)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.1 * RNG.normal(size=weight.shape))
    arrays = Calibration().compute(model, source, tol=1e-4)
    np.testing.assert_array_equal(arrays["labels"], source.test.y[:, 0])
    for name in ("discriminative", "generative"):
        expected = model.classify(source.test.x, name, tol=1e-4)
        np.testing.assert_allclose(np.exp(arrays[name]), expected, rtol=1e-4)


def test_the_first_label_of_classes_is_judged_beside_one_of_numbers(source):
    real, classes = tfcnf.Real(), tfcnf.Categorical(3)
    y = np.concatenate([RNG.normal(size=(9, 1)), source.test.y], 1)
    split = Split(source.test.x, y)
    data = DataSource("images", split, split, (real, classes), 17)
    model = InfoCNF(**data.model_keywords(), **SMALL_FLOW, seed=0)
    arrays = Calibration().compute(model, data, tol=1e-4)
    np.testing.assert_array_equal(arrays["labels"], source.test.y[:, 0])
    expected = model.classify(split.x, tol=1e-4)
    np.testing.assert_allclose(np.exp(arrays["discriminative"]), expected, rtol=1e-4)
    assert dict(Calibration().measures(arrays))["num_examples"] == 9
    numbers = Split(split.x, y[:, :1])
    data = DataSource("degrees", numbers, numbers, (real,), 17)
    with pytest.raises(ValueError, match="is for examples with classes"):
        Calibration().compute(model, data)
    with pytest.raises(ValueError, match="is for images whose first label is a class"):
        Gallery().compute(model, data)


def test_a_model_without_a_posterior_is_refused(source):
    with pytest.raises(ValueError, match=r"Received: supervised_fraction=0"):
        Calibration().compute(CNF(SHAPE, **SMALL), source)
