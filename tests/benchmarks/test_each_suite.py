"""Suites of steps of each example and of half precision, at sizes that take no time."""

import pytest

from benchmarks import each, precision


@pytest.mark.slow
def test_examples_that_have_arrived_are_not_evaluated(monkeypatch):
    monkeypatch.setattr(each, "SHAPE", (2, 2, 1))
    batch = {"name": "mixed", "size": 8, "stiff": 0.25}
    monkeypatch.setattr(each, "BATCHES", (batch,))
    results = each.run(lambda line: None, 1)
    (row,) = each.summarise(results)
    least, mean, most = results["cases"][0]["nfe"]["each"]
    assert least < mean < most
    assert row["each_nfe"] < row["shared_nfe"]
    assert row["ratio"] == row["each_cpu_s"] / row["shared_cpu_s"]


@pytest.mark.slow
def test_half_precision_has_a_floor_that_full_precision_has_not(monkeypatch):
    fields = {"dense": (precision.DenseDynamics, (16, 16, 16), (2,))}
    monkeypatch.setattr(precision, "FIELDS", fields)
    monkeypatch.setattr(precision, "IMAGES", ())
    monkeypatch.setattr(precision, "TOLS", (1e-5,))
    rows = precision.summarise(precision.run(lambda line: None, 1))
    full, bfloat16, _ = rows
    assert bfloat16["log_det_rms_error"] > 5 * full["log_det_rms_error"]
    assert bfloat16["nfe"] >= full["nfe"]
