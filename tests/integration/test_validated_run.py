"""A run with a validation split: it chooses the weights and the end, nothing else does.

The task is told that the largest bits/dim are the best: the first epoch then is, and
patience ends the training, whatever the numbers are.
"""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.diagnostics import Calibration
from tfcnf.reporting.page import write_page
from tfcnf.runs import Run, experiment
from tfcnf.tasks.images import Images


@pytest.fixture(scope="module", autouse=True)
def backwards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Images, "largest", True)
        yield


@pytest.fixture(scope="module")
def config(make_config):
    config = make_config()
    config["training"] |= {"validation": 1 / 3, "patience": 2, "epochs": 9}
    return config


@pytest.fixture(scope="module")
def run(config, data_dir, tmp_path_factory):
    """The folder of a finished run; only to be read."""
    folder = tmp_path_factory.mktemp("validated") / "run"
    experiment.train(config, str(folder), data_dir=data_dir)
    return folder


def read_lines(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_patience_ends_the_training_and_no_epoch_looks_at_the_test_split(run):
    lines = read_lines(run)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["best_epoch"] for line in lines] == [1, 1, 1]
    assert not any(name.startswith("test/") for line in lines for name in line)
    assert lines[0]["validation/num_examples"] == 479
    assert lines[0]["validation/bits_per_dim"] > lines[1]["validation/bits_per_dim"]


def test_the_weights_are_those_of_the_best_epoch(run, data_dir):
    first = tf.train.load_checkpoint(str(run / "checkpoints" / "ckpt-1"))
    shapes = first.get_variable_to_shape_map()
    saved = [first.get_tensor(n) for n in sorted(shapes) if "variables/" in n]
    model = Run(run).model
    for variable, value in zip(model.variables, saved, strict=False):
        np.testing.assert_array_equal(variable.value.numpy(), value)
    results = json.loads((run / "eval.json").read_text())
    assert (results["epoch"], results["chosen_by"]) == (1, "validation")
    assert results["num_examples"] == 360
    measured = Run(run, data_dir=data_dir).evaluate([1e-2], split="validation")[0]
    line = read_lines(run)[0]
    bits = line["validation/bits_per_dim"]
    assert measured["bits_per_dim"] == pytest.approx(bits, rel=1e-6)


def test_the_newest_can_be_asked_for(run, data_dir, tmp_path):
    run = shutil.copytree(run, tmp_path / "run")
    before = (run / "eval.json").read_bytes()
    (result,) = Run(run, data_dir=data_dir, best=False).evaluate([1e-2])
    assert (result["epoch"], result["chosen_by"]) == (3, "none")
    assert json.loads((run / "eval_last.json").read_text())["epoch"] == 3
    assert (run / "eval.json").read_bytes() == before


def test_a_diagnostic_is_of_the_weights_that_are_asked_for(
    run, data_dir, tmp_path, launched
):
    run = shutil.copytree(run, tmp_path / "run")
    common = [f"--workdir={run}", f"--data_dir={data_dir}", "--tol=1e-2"]
    common += ["--uses=calibration"]
    for more in ([], ["--nobest"]):
        assert launched("evaluate", *common, *more) is None
    errors = [
        json.loads((run / f"calibration{end}.json").read_text())["discriminative/nll"]
        for end in ("", "_last")
    ]
    model = Run(run, best=False).model
    data = Run(run, data_dir=data_dir).source
    newest = Calibration().compute(model, data, tol=1e-2)
    expected = dict(Calibration().measures(newest))["discriminative/nll"]
    assert errors[1] == pytest.approx(expected, rel=1e-6)
    assert errors[0] != errors[1]


@pytest.mark.parametrize("left", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    left, run, config, data_dir, tmp_path
):
    copy = shutil.copytree(run, tmp_path / "run")
    for name in ("eval.json", "state.json"):
        (copy / name).unlink()
    for epoch in range(left + 1, 4):  # as if killed in the epoch after
        for path in (copy / "checkpoints").glob(f"ckpt-{epoch}.*"):
            path.unlink()
    experiment.train(config, str(copy), data_dir=data_dir)
    assert read_lines(copy) == read_lines(run)
    assert (copy / "eval.json").read_bytes() == (run / "eval.json").read_bytes()


def test_a_best_checkpoint_is_of_runs_that_choose(finished_run):
    with pytest.raises(ValueError, match="no best checkpoint"):
        _ = Run(finished_run, best=True).model


def test_patience_without_validation_is_refused(make_config, data_dir, tmp_path):
    config = make_config()
    config["training"]["patience"] = 3
    with pytest.raises(ValueError, match="Received: patience=3"):
        experiment.train(config, str(tmp_path / "run"), data_dir=data_dir)
    assert not (tmp_path / "run").exists()


def test_the_record_and_the_page_say_so(run, tmp_path):
    splits = json.loads((run / "data.json").read_text())["splits"]
    sizes = {name: split["size"] for name, split in splits.items()}
    assert sizes == {"train": 958, "validation": 479, "test": 360}
    write_page(run, tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "weights of epoch 1, chosen by validation" in page
