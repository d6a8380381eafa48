import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.reporting.runs import group_by_configuration, labels_of, report
from tfcnf.reporting.spread import gain, spread_table
from tfcnf.reporting.tables import results_rows
from tfcnf.tasks.images import Images

CONFIG = {
    "seed": 0,
    "model_name": "infocnf",
    "data": "mixture1d",
    "training": {"epochs": 3, "batch_size": 400},
}
GRID = np.linspace(-3, 3, 31)


def evaluation(tol, dtype="float32", **measures):
    area = {"area_error": tol / 10, "quadrature_error": 1e-9}
    own = {"own_tolerance": 1e-4, "own_area_error": 1e-5}
    base = {"tolerance": tol, "dtype": dtype, "bits_per_dim": 2 + tol}
    return base | area | own | measures


def write_run(folder, config, rows, lines=(), **arrays):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    data = {"class_names": [], "exchanged": [], "task": "points"}
    (folder / "data.json").write_text(json.dumps(data))
    result = rows[0] | {"evaluations": rows}
    (folder / "eval.json").write_text(json.dumps(result))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    for name, values in arrays.items():
        np.savez(folder / f"{name}.npz", **values)
    return str(folder)


@pytest.fixture
def points_run(tmp_path):
    rows = [evaluation(t, d) for d in ("float32", "float64") for t in (1e-2, 1e-4)]
    log_p = -0.5 * GRID**2
    arrays = {"axis_0": GRID, "truth": log_p, "model/marginal": log_p, "data": GRID}
    labels = {"labels": np.zeros([31, 1]), "samples": GRID[:, None]}
    return write_run(tmp_path / "line", CONFIG, rows, density=arrays | labels)


STEPS = [
    {"step": step, "bits_per_dim": 30.0 - step, "error": 80.0}
    | {"nfe_forward": 210.0, "nfe_backward": 190.0}
    for step in (5, 10, 15)
]


@pytest.fixture
def begun_run(tmp_path):
    """A training of MNIST that has not come to its end."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | {"data": "mnist"}))
    lines = "".join(json.dumps(line) + "\n" for line in STEPS)
    (folder / "steps.jsonl").write_text(lines)
    return folder


def test_steps_of_a_run_that_is_not_finished_are_drawn(begun_run):
    (written,) = report([str(begun_run)])
    assert written.name == "steps.png"
    assert is_picture(written)


def test_runs_of_one_name_are_told_apart(begun_run):
    other = begun_run.parent / "b" / begun_run.name
    runs = [Path("a"), begun_run, other]
    assert [*labels_of(runs).values()] == ["a", str(begun_run), str(other)]


def test_finished_runs_show_their_steps_too(points_run):
    lines = "".join(json.dumps(line) + "\n" for line in STEPS)
    (Path(points_run) / "steps.jsonl").write_text(lines)
    names = {path.name for path in report([points_run])}
    assert {"steps.png", "area_error.png", "report.html"} <= names


def is_picture(path):
    pixels = tf.io.decode_png(path.read_bytes()).numpy()
    return pixels.std() > 1 and min(pixels.shape[:2]) > 200


def test_a_run_on_points_is_drawn(points_run, tmp_path):
    written = report([points_run], str(tmp_path / "out"))
    names = {"area_error.png", "tolerances.png", "density.png", "report.html"}
    assert {path.name for path in written} == names
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert all(is_picture(path) for path in written if path.suffix == ".png")


def test_a_density_in_the_plane_is_drawn(tmp_path):
    log_p = -0.5 * (GRID[:, None] ** 2 + GRID**2)
    names = ("truth", "model/marginal", *(f"model/class_{k}" for k in range(3)))
    arrays = dict.fromkeys(names, log_p) | {"axis_0": GRID, "axis_1": GRID}
    x = np.random.default_rng(0).normal(size=(50, 2))
    arrays |= {"data": x, "samples": x, "labels": np.arange(50)[:, None] % 3}
    run = write_run(tmp_path / "plane", CONFIG, [evaluation(1e-4)], density=arrays)
    *written, page = report([run])
    assert {path.name for path in written} == {"area_error.png", "density.png"}
    assert all(is_picture(path) for path in written)
    assert page.name == "report.html"


def test_runs_that_differ_in_their_seed_are_one_group():
    def run(partition, seed, value):
        config = {"seed": seed, "model": {"partition": partition, "sigma": 0.3}}
        return {"config": config, "eval": {"rmse": value}}

    runs = [run("code", s, 1.0 + 0.1 * s) for s in range(3)]
    runs += [run("head", s, 2.0 + 0.1 * s) for s in range(3)]
    groups = group_by_configuration(runs)
    assert list(groups) == ["partition=code", "partition=head"]
    table = spread_table(groups, ["rmse", "absent"])
    assert "absent" not in table
    # standard error of the difference: sqrt(2 * 0.1^2 / 3) = 0.0816
    assert "| rmse | 1.1 ± 0.1 | 2.1 ± 0.1 | +12.2 |" in table
    assert list(group_by_configuration(runs[:3])) == ["all"]
    groups["none"] = [{"rmse": 1.2 + 0.1 * s} for s in range(3)]
    assert "| +12.2 | +2.4 |" in spread_table(groups, ["rmse"])


def test_the_gain_needs_two_runs_each():
    assert gain([2.0, 3.0], [1.0]) is None
    assert gain([1.0, 1.0], [1.0, 1.0]) is None
    assert gain([1.0, 3.0], [0.0, 2.0]) == pytest.approx(1 / np.sqrt(2))


def test_several_runs_share_a_table(points_run, tmp_path):
    rows = [evaluation(1e-4, elbo=3.0)]
    other = write_run(tmp_path / "other", {"seed": 1, "tol": 1}, rows)
    written = {path.name for path in report([points_run, other], str(tmp_path / "o"))}
    assert "scores.md" in written
    assert "report.html" not in written  # a page is about one run


@pytest.mark.parametrize("missing", ["config.json", "eval.json"])
def test_a_folder_without_results_is_refused(missing, points_run, tmp_path):
    (tmp_path / "line" / missing).unlink()
    with pytest.raises(ValueError, match="Received: workdir="):
        report([points_run], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_made_is_refused(points_run, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ValueError, match="Received: out="):
        report([points_run], str(tmp_path / "file" / "out"))


def test_each_label_has_a_row():
    row = {
        "tolerance": 1e-5,
        "test_error": 3.0,
        "test_error/ink": 0.5,
        "test_rmse": 2.0,
    }
    row |= {"nfe_forward": 8.0, "nfe_forward/cnf_00": 8.0}
    cells = {title: value for title, _, value in results_rows([row], Images.measures)}
    assert cells["test error, classifier (ink)"] == "0.50"
    assert cells["test error of the label"] == "2"
    assert len(cells) == 1 + 3 + 1  # the head, labels and evaluations
