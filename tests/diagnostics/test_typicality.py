import json

import numpy as np
import pytest

from tfcnf import losses
from tfcnf.data.source import Split
from tfcnf.diagnostics.typicality import (
    kept_entropy,
    training_entropy,
    unusualness,
)
from tfcnf.runs.run import Run


@pytest.fixture(scope="module")
def model(finished_run, digits):
    return Run(finished_run).model


def test_scores_by_hand():
    scores = unusualness(np.array([-3.0, 1.0, -2.0]), 2.0)
    np.testing.assert_allclose(scores["likelihood"], [3.0, -1.0, 2.0])
    np.testing.assert_allclose(scores["typicality"], [1.0, 3.0, 0.0])


def test_entropy_is_the_mean_of_the_models_marginal(model, digits):
    split = Split(digits.train.x[:40], digits.train.y[:40])
    entropy = training_entropy(model, split, 1e-3)
    nats = -model.marginal_log_prob(split.x, tol=1e-3).numpy()  # seed 0, as batch 0
    assert entropy.nats == pytest.approx(nats.mean(), rel=1e-5)
    assert entropy.deviation_nats == pytest.approx(nats.std(ddof=1), rel=1e-4)
    error = entropy.deviation_nats / np.sqrt(40)
    assert entropy.standard_error_nats == pytest.approx(error)
    assert entropy.num_examples == 40
    bits = losses.bits_per_dim(-entropy.nats, model.num_dims, model.num_levels)
    assert 2 < bits < 6


def test_batches_are_averaged_by_their_examples(model, digits):
    split = Split(digits.train.x[:5], digits.train.y[:5])
    whole, parts = (training_entropy(model, split, 1e-3, n) for n in (5, 4))
    assert parts.num_examples == 5
    # another noise in the second batch of one example
    assert parts.nats == pytest.approx(whole.nats, abs=30)


def test_a_run_keeps_its_entropy(run_copy, model, digits, monkeypatch):
    split = Split(digits.train.x[:7], digits.train.y[:7])
    first = kept_entropy(str(run_copy), model, read=lambda: split, tol=1e-2)
    assert json.loads((run_copy / "entropy.json").read_text()) == first._asdict()
    monkeypatch.setattr("tfcnf.diagnostics.typicality.training_entropy", None)
    assert kept_entropy(str(run_copy), model, read=lambda: split, tol=1e-2) == first


@pytest.mark.parametrize("change", [{"step": 1}, {"tol": 0.5}, None])
def test_a_stale_or_damaged_entropy_is_measured_again(change, run_copy, model, digits):
    split = Split(digits.train.x[:7], digits.train.y[:7])
    first = kept_entropy(str(run_copy), model, read=lambda: split, tol=1e-2)
    text = "{" if change is None else json.dumps(first._asdict() | {"nats": 0} | change)
    (run_copy / "entropy.json").write_text(text)
    assert kept_entropy(str(run_copy), model, read=lambda: split, tol=1e-2) == first


def test_a_bad_tolerance_is_refused(model, digits):
    with pytest.raises(ValueError, match=r"Received: tol=0"):
        training_entropy(model, digits.train, 0)
