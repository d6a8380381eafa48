"""Evaluation at a model's own tolerances."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfcnf import InfoCNF
from tfcnf.data.source import DataSource, Split
from tfcnf.diagnostics import tolerances
from tfcnf.diagnostics.tolerances import LearnedTolerances, ToleranceEvaluator
from tfcnf.runs import experiment
from tfcnf.runs.config import default_config
from tfcnf.runs.run import Run

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 1)


def split(count):
    x = RNG.integers(0, 17, (count, *SHAPE)).astype(np.uint8)
    return Split(x, RNG.integers(0, 3, (count, 1)).astype(np.int32))


SOURCE = DataSource("images", split(12), split(7), (3,), 17)


@pytest.fixture(scope="module")
def evaluator():
    """Of a model with two CNFs, whose tolerances are about 1e-4."""
    model = InfoCNF(
        SHAPE,
        3,
        num_levels=17,
        num_scales=1,
        flows_per_block=2,
        filters=3,
        hidden_layers=1,
        alpha=0.05,
        tol=1e-4,
        policy="learned",
        policy_options={"spread": 0.05},
        seed=0,
    )
    for weight in model.trainable_variables:
        if "dynamics" in weight.path:
            weight.assign(4.0 * weight)  # a field that takes some steps
    return ToleranceEvaluator(model, SOURCE)


def test_every_example_counts_at_every_batch_size(evaluator):
    results = dict(evaluator.run((1, 3, 100)))
    for mode in ("mean", "sampled"):
        for size in (1, 3, 100):
            start = f"{mode}/batch_{size}"
            assert results[f"{start}/num_examples"] == 7
            assert results[f"{start}/nfe_forward"] >= 2 * 8
            assert 0 <= results[f"{start}/test_error"] <= 100
    # the head starts at zero: the mean is 1e-4 for every batch
    assert results["mean/batch_3/log10_tol/cnf_01"] == pytest.approx(-4, abs=1e-3)
    assert results["sampled/batch_3/log10_tol/cnf_01"] != pytest.approx(-4, abs=1e-3)
    assert dict(evaluator.run((1, 3, 100))) == results


def test_the_whole_split_at_once_agrees_with_the_model(evaluator):
    results, model = dict(evaluator.run((7,))), evaluator.model
    x, y = SOURCE.test.x, SOURCE.test.y
    bits = -(model.log_prob(x, y, seed=0) / 16 - np.log(17)) / np.log(2)
    assert results["mean/batch_7/bits_per_dim"] == pytest.approx(np.mean(bits), 1e-5)


def test_the_diagnostic_has_the_measures_and_the_distributions(evaluator):
    tolerances = LearnedTolerances((3, 100), batch_size=5, draws=2)
    arrays = tolerances.compute(evaluator.model, SOURCE)
    assert dict(tolerances.measures(arrays)) == dict(evaluator.run((3, 100)))
    assert type(dict(tolerances.measures(arrays))["mean/batch_3/num_examples"]) is int
    expected = evaluator.distribution("train", 5, "sampled", draws=2)
    np.testing.assert_array_equal(arrays["train/sampled"], expected)
    assert arrays["test/mean"].shape == (2, 2)


def test_the_diagnostic_is_for_tolerances_that_vary():
    model = InfoCNF(SHAPE, 3, num_levels=17, filters=2, hidden_layers=1, num_scales=1)
    with pytest.raises(ValueError, match=r"neither random nor learned .* Received: mo"):
        LearnedTolerances().compute(model, SOURCE)


def test_the_distribution_has_a_row_for_each_batch_and_draw(evaluator):
    tols = evaluator.distribution("train", 5, "sampled", draws=2)
    assert tols.shape == (2 * 3, 2)
    assert len(np.unique(tols)) == 12
    mean = evaluator.distribution("test", 5, "mean")
    np.testing.assert_allclose(mean, np.full([2, 2], 1e-4), rtol=1e-3)
    with pytest.raises(ValueError, match="Received: split='valid'"):
        evaluator.distribution("valid", 5)


@pytest.fixture(scope="module")
def learned_run(make_config, data_dir, tmp_path_factory):
    """The folder of a run of one epoch with a gate."""
    config, tiny = default_config("infocnf", "learned"), make_config()
    for group in ("optimizer", "training", "evaluation"):
        config[group] = tiny[group]
    keep = ("policy", "policy_options", "reinforce", "adjoint_tol")
    config["model"] |= {k: v for k, v in tiny["model"].items() if k not in keep}
    config["training"]["epochs"] = 1
    folder = tmp_path_factory.mktemp("learned") / "run"
    experiment.train(config, str(folder), data_dir=data_dir)
    return folder


def test_of_large_splits_the_first_examples_are_shown(evaluator, monkeypatch):
    every = evaluator.distribution("train", 5, "sampled", draws=2)
    monkeypatch.setattr(tolerances, "MOST_EXAMPLES", 5)
    first = evaluator.distribution("train", 5, "sampled", draws=2)
    np.testing.assert_array_equal(first, every[[0, 3]])


def test_a_run_with_gates_records_its_tolerances(learned_run, data_dir):
    path = learned_run / "tolerances.json"
    results = json.loads(path.read_text())
    assert results["evaluations"]["mean/batch_1/num_examples"] == 360
    distribution = results["distribution"]
    assert np.shape(distribution["train"]["mean"]) == (3, 1)  # 1437 / 479 batches
    assert np.shape(distribution["test"]["sampled"]) == (10, 1)
    line = json.loads((learned_run / "metrics.jsonl").read_text())
    assert -6 <= line["log10_tol/cnf_00"] <= -1
    assert np.isfinite(line["log_pi/cnf_00"])
    path.unlink()
    Run(learned_run, data_dir=data_dir).evaluate_tolerances()
    assert json.loads(path.read_text()) == results


def test_tensorboard_has_histograms_of_the_tolerances(learned_run):
    events = EventAccumulator(
        str(learned_run / "tensorboard"), size_guidance={"tensors": 0}
    ).Reload()
    assert "log10_tol/cnf_00" in events.Tags()["tensors"]
    (event, *_) = [
        e
        for e in events.Tensors("log10_tol/cnf_00")
        if tf.make_ndarray(e.tensor_proto).ndim == 2
    ]
    buckets = tf.make_ndarray(event.tensor_proto)  # left, right, count
    assert buckets[:, 2].sum() == np.ceil(1437 / 200)  # batches of the training split
    assert buckets[0, 0] >= -6
    assert buckets[-1, 1] <= -1


def test_constant_tolerances_have_no_distribution(finished_run, data_dir):
    with pytest.raises(ValueError, match=r"neither random nor learned .* Received: wo"):
        Run(finished_run, data_dir=data_dir).evaluate_tolerances()
