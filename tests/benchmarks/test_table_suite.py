"""The tables suite: equal rows for all, the closed form, one chosen rate, a summary."""

import json

import numpy as np
import pytest

from benchmarks import table_data, table_worker, tables
from benchmarks.table_data import Rows, Table


@pytest.fixture
def linear(monkeypatch):
    """A table of two numbers, linear in a condition, in units of its own."""
    rng = np.random.default_rng(0)
    c = rng.normal(size=(4000, 1))
    x = c @ [[2.0, -1.0]] + rng.normal(size=(4000, 2)) * [0.5, 30.0] + 7.0
    monkeypatch.setitem(table_data.TABLES, "linear", lambda: (x, c))
    return x, c


def test_a_table_is_cut_in_three_and_standardised_by_its_training_rows(linear):
    x, _ = linear
    table = table_data.read("linear", 0)
    assert [len(p.x) for p in (table.train, table.valid, table.test)] == [
        3200,
        400,
        400,
    ]
    np.testing.assert_allclose(table.train.x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(table.train.x.std(0), 1, atol=1e-6)
    back = np.concatenate([p.x for p in (table.train, table.valid, table.test)])
    scale = np.exp(-table.log_scale)
    assert scale == pytest.approx(np.prod(x.std(0)), rel=0.05)
    order = np.sort(x[:, 0])
    found = np.sort(back[:, 0])
    np.testing.assert_allclose(
        (order - order.mean()) / order.std(),
        (found - found.mean()) / found.std(),
        atol=1e-4,
    )
    assert table_data.read("linear", 1).train.x[0, 0] != table.train.x[0, 0]


def test_the_linear_gaussian_finds_the_entropy_of_its_data(linear):
    found = table_worker.gaussian(table_data.read("linear", 0))
    entropy = np.log(2 * np.pi * np.e) + np.log(0.5 * 30.0)
    assert found["test_nll"] == pytest.approx(entropy, abs=0.15)


class Shrinking:
    """A contender whose log-density of each row is less its distance from 3 steps."""

    num_parameters = 1

    def __init__(self):
        self.steps = 0

    def step(self, x, c):
        self.steps += 1

    def log_prob(self, x, c):
        return np.full(len(x), -abs(self.steps - 9.0))

    def state(self):
        return self.steps

    def restore(self, state):
        self.steps = state


def test_the_validation_rows_choose_the_epoch(monkeypatch):
    monkeypatch.setattr(table_worker, "BATCH", 5)
    monkeypatch.setattr(table_worker, "PATIENCE", 4)
    rows = Rows(np.zeros([10, 1], np.float32), np.zeros([10, 1], np.float32))
    found = table_worker.fit(Shrinking(), Table(rows, rows, rows, 2.0), 0)
    assert found["test_nll"] == pytest.approx(-2.0)  # one step, then two an epoch
    assert found["epochs"] == 4 + 4


def test_each_contender_is_tuned_and_the_others_seeds_take_its_rate(monkeypatch):
    asked = []

    def fit(name, table, seed, rate, log):
        asked.append((name, seed, rate))
        found = {"contender": name, "table": table, "seed": seed, "rate": rate}
        if name == "zuko nsf":
            return found | {"skipped": "not installed"}
        worse = abs(rate - 3e-3) + seed / 10
        seconds = 4.0 if name == "zuko cnf" else 1.0
        return found | {"valid_nll": worse, "test_nll": worse, "seconds": seconds}

    monkeypatch.setattr(tables, "_fit", fit)
    results = tables.run(lambda line: None, tables=["t"], seeds=3)
    assert sum(name == "gaussian" for name, *_ in asked) == 3
    assert [ask for ask in asked if ask[1] == 2] == [
        ("tfcnf", 2, 3e-3),
        ("zuko cnf", 2, 3e-3),
        ("gaussian", 2, 1e-3),
    ]
    rows = {row["contender"]: row for row in tables.summarise(results)}
    assert set(rows) == {"tfcnf", "zuko cnf", "gaussian"}
    assert rows["tfcnf"]["ratio"] == 0.25
    assert rows["tfcnf"]["test_nll"] == pytest.approx(0.1)
    assert rows["tfcnf"]["deviation"] == pytest.approx(0.1)
    json.dumps(results)


def test_a_fit_that_fails_says_why(monkeypatch):
    lines = []
    found = tables._fit("tfcnf", "no table", 0, 1e-3, lines.append)
    assert "no table" in found["skipped"]
    assert lines
