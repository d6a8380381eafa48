"""The tables suite: equal rows for all, the closed form, one chosen rate, a summary."""

import numpy as np
import pytest

from benchmarks import table_data, table_worker, tables
from benchmarks.table_data import Rows, Table
from benchmarks.table_tfcnf import TfcnfContender


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
    """A contender whose log-density of each row is less its distance from 9 steps.

    At another rate than 1 it is one less everywhere.
    """

    num_parameters = 1

    def __init__(self):
        self.reset(1.0)

    def reset(self, rate):
        self.steps, self.rate = 0, rate

    def step(self, x, c):
        self.steps += 1

    def log_prob(self, x, c):
        return np.full(len(x), -abs(self.steps - 9.0) - (self.rate != 1.0))

    def codes(self, x, c):
        return x

    def state(self):
        return self.steps, self.rate

    def restore(self, state):
        self.steps, self.rate = state


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(table_worker, "BATCH", 5)
    monkeypatch.setattr(table_worker, "PATIENCE", 4)
    monkeypatch.setattr(table_worker, "LEAST", 0)
    x = np.random.default_rng(0).normal(size=[15, 2]).astype(np.float32)
    part = Rows(x, np.zeros([15, 1], np.float32))
    return Table(part, part, part, 2.0)


def test_the_validation_rows_choose_the_epoch_and_the_rate(rows):
    found = table_worker.tune(Shrinking(), rows, 0, [0.5, 1.0, 2.0])
    assert found["test_nll"] == pytest.approx(-2.0)  # three steps an epoch
    assert (found["rate"], found["steps"]) == (1.0, 9 + 4 * 3)
    assert found["tried"] == {"0.5": -1.0, "1.0": -2.0, "2.0": -1.0}
    nlls = [nll for _, nll in found["curve"]]
    assert nlls == [6.0 - 2, 3.0 - 2, 0.0 - 2]
    assert not found["cut"]


def test_the_time_of_the_processor_ends_a_training(rows, monkeypatch):
    clock = iter(np.arange(0.0, 1000.0))  # a second goes by between two looks
    monkeypatch.setattr(table_worker.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(table_worker, "LIMIT", 7.0)
    found = table_worker.fit(Shrinking(), rows, 0, 1.0)
    # a look at each step, and one at each epoch of three
    assert (found["steps"], found["cut"]) == (6, True)
    assert found["valid_nll"] == pytest.approx(3.0 - 2.0)


def test_coverage_by_codes_is_that_of_normal_numbers():
    codes = np.random.default_rng(0).normal(size=[5000, 3])
    found = table_worker.coverage(codes)
    for level in (50, 80, 95):
        assert found[f"{level} %/coverage"] == pytest.approx(level / 100, abs=0.02)
    narrow = table_worker.coverage(codes / 0.9)
    assert narrow["width"] == pytest.approx(0.9, abs=0.02)
    assert narrow["80 %/coverage"] < narrow["80 %/low"]


@pytest.mark.parametrize(("dims", "conditions"), [(1, 10), (6, 1), (8, 1)])
def test_the_network_has_at_most_the_weights_of_the_peer(dims, conditions):
    rng = np.random.default_rng(0)
    rows = Rows(rng.normal(size=(9, dims)), rng.normal(size=(9, conditions)))
    contender = TfcnfContender(rows, 0)
    inputs = dims + conditions + 2 * 3  # and the sines and cosines of time
    theirs = (inputs + 1) * 64 + 65 * 64 + 65 * dims
    assert 0.95 * theirs < contender.num_parameters <= theirs


def test_each_contender_is_tuned_and_the_others_seeds_take_its_rate(
    monkeypatch, tmp_path
):
    asked = []

    def fit(name, table, seed, rates):
        asked.append((name, seed, list(rates)))
        coverage = {
            f"{level} %/{key}": value / 100
            for level in (50, 80, 95)
            for key, value in {
                "coverage": level - seed * 5,
                "low": level - 8,
                "high": level + 2,
            }.items()
        }
        if name in ("zuko nsf", "zuko cnf 1e-3"):
            return {"skipped": "not installed"}
        if name == "gaussian":
            return {"test_nll": 3.0, "seconds": 0.1, "coverage": coverage}
        worse = 1.0 + seed / 10
        seconds = 8.0 if name == "zuko cnf" else 1.0
        curve = [[seconds / 2, worse], [seconds, worse - 0.1]]
        found = {"rate": rates[-1], "test_nll": worse, "seconds": 9.0}
        return found | {"curve": curve, "coverage": coverage}

    monkeypatch.setattr(tables, "_fit", fit)
    ask = {"tables": ["t"], "seeds": 3, "kept": tmp_path / "fits.json"}
    results = tables.run(lambda line: None, **ask)
    assert [ask for ask in asked if ask[1] == 0] == [
        (name, 0, list(tables.RATES)) for name in tables.CONTENDERS
    ]
    assert [ask for ask in asked if ask[1] == 2] == [
        ("tfcnf", 2, [tables.RATES[-1]]),
        ("zuko cnf", 2, [tables.RATES[-1]]),
        ("gaussian", 2, list(tables.RATES)),
    ]
    rows = {row["contender"]: row for row in tables.summarise(results)}
    assert set(rows) == {"tfcnf", "zuko cnf", "gaussian"}
    assert rows["tfcnf"]["reach_s"] == 1.0
    assert rows["tfcnf"]["ratio"] == 1 / 8
    assert rows["gaussian"]["ratio"] is None
    assert rows["tfcnf"]["test_nll"] == pytest.approx(1.1)
    assert rows["tfcnf"]["deviation"] == pytest.approx(0.1)
    assert rows["tfcnf"]["80 %"] == pytest.approx(75.0)
    assert rows["tfcnf"]["outside"] == 3  # of the last seed
    asked.clear()
    assert tables.run(lambda line: None, **ask) == results
    assert not asked  # all are kept


def test_a_fit_that_fails_says_why():
    assert "no table" in tables._fit("tfcnf", "no table", 0, [1e-3])["skipped"]
