"""One device, replicas in one process and workers take the same step."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import local_cluster
from tfcnf.training.strategy import get_strategy, split_cpu

SCRIPT = Path(__file__).with_name("one_step.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def one_step():
    spec = importlib.util.spec_from_file_location("one_step", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.one_step


@pytest.fixture(scope="module")
def single(one_step):
    return one_step(get_strategy("one_device"))


def assert_same(results, expected):
    for name in ("gradient", "gates"):
        norm = np.linalg.norm(expected[name])
        assert norm > 1e-3
        assert np.linalg.norm(results[name] - expected[name]) < 1e-5 * norm
    # float32 of the measures
    np.testing.assert_allclose(results["tolerances"], expected["tolerances"], rtol=1e-6)
    np.testing.assert_allclose(results["measures"], expected["measures"], rtol=1e-5)


def in_processes(strategy, workers, cpus, out, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, str(SCRIPT), strategy, str(out / "result"), str(cpus)]
    assert local_cluster.wait(local_cluster.start(command, workers)) == 0
    return [np.load(out / f"result_{i}.npz") for i in range(workers)]


def test_the_tolerances_were_sampled(single):
    assert len(set(single["tolerances"])) == 2
    assert all(-11 < tol < -7 for tol in single["tolerances"])


def test_two_replicas_take_the_step_of_one(single, one_step, mirrored):
    assert_same(one_step(mirrored), single)


def test_two_workers_take_the_step_of_one(single, tmp_path, monkeypatch):
    first, second = in_processes("multi_worker", 2, 1, tmp_path, monkeypatch)
    assert_same(first, single)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.slow
def test_four_replicas_take_the_step_of_one(single, tmp_path, monkeypatch):
    (results,) = in_processes("mirrored", 1, 4, tmp_path, monkeypatch)
    assert_same(results, single)


@pytest.mark.parametrize("count", [0, 3])
def test_a_cpu_cannot_be_split_too_late_or_into_nothing(count):
    get_strategy("one_device")
    with pytest.raises(ValueError, match=f"Received: logical_cpus={count}"):
        split_cpu(count)
