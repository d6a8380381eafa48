"""Damaged arrays and benchmarks: a report names the file, in one line."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import report as drawn
from papers.one_run import draw
from papers.trajectories import draw_trajectories_of_arms
from tfcnf.diagnostics import Diagnostic
from tfcnf.reporting.runs import _pictures, report

GRID = np.linspace(-3, 3, 9)
BENCHMARK = {
    "suite": "memory",
    "command": "launch/benchmark.py",
    "seconds": 5.0,
    "machine": {
        "packages": {"tensorflow": "2.21.0", "torch": None},
        **{"cores": 2, "processor": "a", "memory_gib": 4.0, "load": 0.5},
        "python": "3.11",
    },
    "summary": [{"gradient": "adjoint", "steps": 3, "peak_gib": 1.0}],
    "results": {},
}
SOLVER = BENCHMARK | {
    "suite": "solver",
    "summary": {
        "forward": {"torch": {"ratio": 0.5, "problems": {}}},
        "backward": {"torch": {"ratio": None}},
        "targets": {"as few": True, "fewer": None},
    },
    "results": {
        way: {"decay": {"tfcnf": [{"error": 1e-3, "evaluations": 14}]}}
        for way in ("forward", "backward")
    },
}
settings.register_profile(
    "files",
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def spoil(value, rng):
    """Replaces, removes or adds something within a value of JSON."""
    found = []

    def visit(inner):
        pairs = inner.items() if isinstance(inner, dict) else enumerate(inner)
        for key, item in pairs:
            found.append((inner, key))
            if isinstance(item, (dict, list)):
                visit(item)

    visit(value)
    container, key = rng.choice(found)
    if rng.random() < 0.3:
        del container[key]
    else:
        strange = [5, -1, 1.5, True, None, "x", [], {}, [5], 10**400, float("nan")]
        container[key] = rng.choice(strange)
    return value


def is_named(name, call):
    """True where a call ends well, or in one line that names the file."""
    try:
        call()
    except ValueError as failure:
        message = str(failure)
        return name in message and "\n" not in message and "Received: " in message
    return True


@settings(settings.get_profile("files"), max_examples=20)
@given(seed=st.integers(0, 2**32), whole=st.sampled_from([BENCHMARK, SOLVER]))
def test_a_damaged_benchmark_is_named_or_drawn(seed, whole, tmp_path):
    rng, path = random.Random(seed), tmp_path / "step.json"
    text = json.dumps(spoil(json.loads(json.dumps(whole)), rng))
    if rng.random() < 0.2:
        text = text[: rng.randrange(len(text))]
    path.write_text(text)
    assert is_named("step.json", lambda: drawn.write(str(path)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"suite": "stairs"},
            r"step\.json is damaged \(suite must be one of solver",
        ),
        ({"machine": 5}, r"step\.json is damaged \('machine' must be an object"),
        ({"seconds": "x"}, r"step\.json is damaged \("),
        ({"summary": [{"gradient": "adjoint"}]}, r"damaged \(KeyError\('steps'\)\)"),
    ],
)
def test_a_benchmark_without_its_parts_is_named(change, reason, tmp_path):
    path = tmp_path / "step.json"
    path.write_text(json.dumps(BENCHMARK | change))
    with pytest.raises(ValueError, match=reason):
        drawn.write(str(path))
    assert not path.with_suffix(".md").exists()


@pytest.fixture
def run_of(used_run, make_trajectories, tmp_path):
    """A function that makes a run with the arrays of one diagnostic alone."""

    def make(key):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        for name in ("config.json", "eval.json"):
            shutil.copy(used_run / name, run)
        if (used_run / f"{key}.npz").is_file():
            shutil.copy(used_run / f"{key}.npz", run)
            return run
        log_p = -0.5 * GRID**2
        arrays = {"axis_0": GRID, "truth": log_p, "model/marginal": log_p}
        arrays |= {"data": GRID, "labels": np.zeros([9, 1]), "samples": GRID[:, None]}
        if key == "trajectories":
            arrays = make_trajectories([[1.0, 0.25, 1.0], [1.0, 0.2, 0.0]])
        np.savez(run / f"{key}.npz", **arrays)
        return run

    return make


KEYS = ("calibration", "density", "gallery", "outliers", "paths", "trajectories")


def change_arrays(path, rng):
    """Changes an array of an ``.npz``, or the bytes of the file."""
    data = bytearray(path.read_bytes())
    with np.load(path) as file:
        arrays = dict(file)
    name = rng.choice(list(arrays))
    array = arrays.pop(name)
    new = {
        "text": np.array(["x"]),
        "flat": array.ravel()[:2],
        "row": array[None],
        "empty": array[..., None][:0],
        "nan": np.full(array.shape, np.nan),
        "objects": np.array([{}], dtype=object),
        "huge": np.array(1e300),
    }
    kind = rng.choice(["bytes", "absent", "cut", *new])
    if kind in new:
        np.savez(path, **arrays | {name: new[kind]})
    elif kind == "absent":
        np.savez(path, **arrays)
    else:
        data[rng.randrange(len(data))] ^= 0xFF
        path.write_bytes(data[: rng.randrange(len(data)) if kind == "cut" else None])


@settings(settings.get_profile("files"), max_examples=12)
@given(
    seed=st.integers(0, 2**32), key=st.sampled_from(["density", "outliers", "paths"])
)
def test_damaged_arrays_are_named_or_drawn(seed, key, run_of):
    run = run_of(key)
    change_arrays(run / f"{key}.npz", random.Random(seed))
    assert is_named(f"{key}.npz", lambda: report([str(run)]))


@pytest.mark.parametrize("key", KEYS)
def test_missing_arrays_are_named(key, run_of):
    run = run_of(key)
    np.savez(run / f"{key}.npz", other=GRID)
    with pytest.raises(ValueError, match=rf"^{key}\.npz is damaged \("):
        report([str(run)])
    (run / f"{key}.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ValueError, match=rf"cannot be read .*{key}\.npz'"):
        report([str(run)])


def test_the_arm_whose_trajectories_are_damaged_is_named(run_of, tmp_path):
    good = Path(shutil.copy(run_of("trajectories") / "trajectories.npz", tmp_path))
    bad = tmp_path / "bad.npz"
    np.savez(bad, labels=np.ones([2, 3]))
    out = tmp_path / "curves.png"
    draw_trajectories_of_arms({"a": good, "b": good}, out)
    assert out.stat().st_size > 1000
    for arms in ({"a": good, "b": bad}, {"b": bad, "a": good}):
        with pytest.raises(ValueError, match=r"^bad\.npz is damaged \(KeyError"):
            draw_trajectories_of_arms(arms, out)
    np.savez(bad, labels=np.full([2, 3], 0.5))
    with pytest.raises(ValueError, match=r"^bad\.npz is damaged \(there is no curve"):
        draw_trajectories_of_arms({"b": bad}, out)


def test_true_spirals_that_are_damaged_are_named(run_of):
    run = run_of("trajectories")
    (run / "config.json").write_text(json.dumps({"data": "spirals"}))
    assert [path.name for path in draw([str(run)])] == ["spirals.png"]
    np.savez(run / "trajectories.npz", labels=np.ones([2, 3]))
    with pytest.raises(ValueError, match=r"^trajectories\.npz is damaged \(KeyError"):
        draw([str(run)])


def test_a_diagnostic_of_ones_own_fails_as_it_does(tmp_path):
    class Broken(Diagnostic):
        def figures(self, arrays):
            return {"broken": lambda: 1 / 0}

    try:
        ((_, write),) = _pictures("broken", tmp_path / "broken.npz", {})
        with pytest.raises(ZeroDivisionError):
            write(tmp_path / "broken.png")
    finally:
        del Diagnostic.known["broken"]
