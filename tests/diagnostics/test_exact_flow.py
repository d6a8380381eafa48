"""Diagnostics of a flow whose density is known exactly, right and 10 % too narrow.

The flow is the identity, so x is the code: z_y given the standardised number y is
N(0.8 y, 0.36), z_u is N(0, I). With y from N(2, 9), the prediction from z_y has the
mean 2 + 3 * 0.8 z_y and the deviation 3 * 0.6.
"""

import numpy as np
import pytest

import tfcnf
from tfcnf.data.source import DataSource, Split
from tfcnf.diagnostics import Coverage, Intervals, Ranks, Slices, TwoSample
from tfcnf.labels.real import Real

COUNT = 500


@pytest.fixture(scope="module")
def model():
    label = Real(1, [2.0], [3.0], title="height")
    model = tfcnf.InfoCNF(
        (2,), [label], filters=2, hidden_layers=1, flows_per_block=1, trace="exact"
    )
    for weight in model.flow.trainable_variables:
        weight.assign(np.zeros(weight.shape))
    (label,) = model.labels
    for network in (label.q_phi, label.q_theta):
        network.kernel.assign([[0.8, 0.0]])
        network.bias.assign([0.0, np.log(0.6)])
    return model


def data(seed, width=1.0):
    """Examples of a distribution of which the model has ``width`` of the deviation."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=[COUNT, 1])
    noise = rng.normal(size=[COUNT, 2]) / width
    x = np.concatenate([0.8 * y + 0.6 * noise[:, :1], noise[:, 1:]], 1)
    split = Split(x.astype(np.float32), (2 + 3 * y).astype(np.float32))
    return DataSource("exact", split, split, [Real(1, title="height")], 1)


def measure(diagnostic, model, source):
    return dict(diagnostic.measures(diagnostic.compute(model, source, tol=1e-3)))


def test_the_right_flow_passes_and_the_narrow_one_is_found(model):
    right, narrow = (measure(Coverage(), model, data(5, w)) for w in (1.0, 0.9))
    for level in (50, 80, 95):
        low, high = (right[f"{level} %/{end}"] for end in ("low", "high"))
        assert low <= right[f"{level} %/coverage"] <= high
        assert narrow[f"{level} %/coverage"] < low
    for name in ("code", "levels", "coordinates"):
        assert right[f"{name}/p_value"] > 0.01
    assert right["code/width"] == pytest.approx(1.0, abs=0.05)
    assert narrow["code/width"] == pytest.approx(0.9, abs=0.05)
    assert max(narrow["code/p_value"], narrow["levels/p_value"]) < 0.01
    assert right["num_examples"] == COUNT


def test_ranks_among_samples_say_the_same(model):
    right, narrow = (measure(Ranks(39), model, data(5, w)) for w in (1.0, 0.9))
    assert right["columns/p_value"] > 0.05 < right["TARP/p_value"]
    assert narrow["columns/p_value"] < 0.05
    assert narrow["columns/width"] == pytest.approx(0.9, abs=0.05)


def test_the_likelihood_is_as_expected_in_every_quarter(model):
    right, wrong = (measure(Slices(), model, data(5, w)) for w in (1.0, 0.8))
    rows = [n.partition("/")[0] for n in right if n.endswith("/nll")]
    assert len(rows) == 5
    assert [right[f"{name}/examples"] for name in rows[1:]] == [COUNT / 4] * 4
    # entropy of N(., 0.36) and of N(0, 1)
    entropy = np.log(2 * np.pi * np.e) + np.log(0.6)
    assert right["all/nll"] == pytest.approx(entropy, abs=0.15)
    assert right["all/expected"] == pytest.approx(entropy, abs=0.15)
    gap = abs(right["all/nll"] - right["all/expected"])
    assert gap < right["all/chance"]
    assert right["slices/p_value"] > 0.05
    assert wrong["all/p_value"] < 1e-4


def test_predictive_intervals_of_the_posterior_are_right(model):
    right = measure(Intervals(), model, data(2))
    assert right["height/p_value"] > 0.05
    assert right["height/width"] == pytest.approx(1.0, abs=0.07)
    assert right["height 80 %/low"] < right["height 80 %/coverage"]
    label = model.labels[0]
    label.q_theta.bias.assign([0.0, np.log(0.8 * 0.6)])
    try:
        narrow = measure(Intervals(), model, data(2))
    finally:
        label.q_theta.bias.assign([0.0, np.log(0.6)])
    assert narrow["height/width"] == pytest.approx(0.8, abs=0.06)
    assert narrow["all/p_value"] < 1e-3


def test_a_classifier_guesses(model):
    test = TwoSample(swaps=39)
    right, wrong = (measure(test, model, data(3, w)) for w in (1.0, 0.6))
    assert right["classifier/p_value"] > 0.05
    assert wrong["classifier/accuracy"] > wrong["classifier/high"]
    assert wrong["classifier/p_value"] == 1 / 40


def test_most_examples_are_few(model):
    assert measure(Coverage(most=50), model, data(0))["num_examples"] == 50
