import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import tfcnf
from tfcnf.diagnostics import figures
from tfcnf.ode.status import SolverError
from tfcnf.run_state import read_state
from tfcnf.runs import experiment
from tfcnf.runs.folder import hold_folder, open_folder
from tfcnf.runs.run import Run
from tfcnf.training.callbacks import read_metrics
from tfcnf.training.checkpoints import Checkpoints, Position
from tfcnf.types import Control

DATA = "data-00000-of-00001"
MEASURES = {
    "test_error",
    "bits_per_dim",
    "marginal_bits_per_dim",
    "generative_error",
    "cross_entropy",
    "nfe_forward",
    "nfe_backward",
    "tolerance",
    "draws",
    "num_examples",
    "num_parameters",
    "dtype",
    "epoch",
    "chosen_by",
}


def read_json(path):
    return json.loads(path.read_text())


def read_lines(folder):
    text = (folder / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def read_png(path):
    return tf.io.decode_png(path.read_bytes(), channels=1).numpy()[..., 0]


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def no_training(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("trains again")

    monkeypatch.setattr(experiment, "run_epochs", fail)


@pytest.fixture(scope="module")
def model(finished_run, digits):
    """The model of the finished run."""
    return Run(finished_run).model


# what a run leaves behind


def test_a_run_leaves_exactly_the_files_promised(finished_run):
    assert {path.name for path in finished_run.iterdir()} == {
        *("config.json", "data.json", "metadata.json", "metrics.jsonl", "eval.json"),
        "state.json",
        *("samples.png", "reconstructions.png", "curves.png"),
        *("checkpoints", "tensorboard"),
    }
    assert {path.name for path in (finished_run / "checkpoints").iterdir()} == {
        *(f"ckpt-{n}.{end}" for n in (1, 2) for end in ("index", DATA)),
    }
    (events,) = (finished_run / "tensorboard").iterdir()
    assert events.name.startswith("events.out.tfevents")


def test_config_json_is_the_configuration(finished_run, config):
    config["optimizer"]["drop_epochs"] = []  # JSON has no tuples
    assert read_json(finished_run / "config.json") == config


def test_metadata_tells_where_and_with_what(finished_run):
    metadata = read_json(finished_run / "metadata.json")
    assert set(metadata) == {
        *("command", "commit", "date", "init_from", "seed", "devices", "machine"),
        "versions",
    }
    assert metadata["versions"]["tensorflow"] == tf.__version__
    assert metadata["versions"]["keras"] == keras.__version__
    python = ".".join(map(str, sys.version_info[:3]))
    assert metadata["versions"]["python"] == python
    assert metadata["seed"] == 0
    assert len(metadata["devices"]) == 2
    if metadata["commit"]:
        git = ["git", "cat-file", "-t", metadata["commit"]]
        here = Path(__file__).parent
        assert subprocess.check_output(git, cwd=here, text=True) == "commit\n"


def test_metrics_have_a_line_for_each_epoch(finished_run):
    lines = read_lines(finished_run)
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [line["step"] for line in lines] == [3, 6]  # 1437 // 479 steps an epoch
    for line in lines:
        assert {"loss", "bits_per_dim", "error", "cross_entropy"} < set(line)
        after = MEASURES - {"nfe_backward", "dtype", "epoch", "chosen_by"}
        assert {f"test/{name}" for name in after} < set(line)
        assert "best_epoch" not in line  # the test split chooses nothing
        loss = line["bits_per_dim"] + 0.5 * line["cross_entropy"]
        assert line["loss"] == pytest.approx(loss, rel=1e-5)
        assert line["learning_rate"] == pytest.approx(0.01)
    assert lines[1]["test/bits_per_dim"] < lines[0]["test/bits_per_dim"]


def test_eval_json_has_the_measures(finished_run):
    results = read_json(finished_run / "eval.json")
    (only,) = results.pop("evaluations")
    assert results == only
    layers = {"nfe_forward/cnf_00", "nfe_backward/cnf_00"}
    assert set(results) == MEASURES | layers
    assert results["tolerance"] == 0.01
    assert results["num_examples"] == 360
    assert results["draws"] == 1
    assert (results["epoch"], results["chosen_by"]) == (2, "none")
    assert results["nfe_backward"] == results["nfe_backward/cnf_00"]
    # counts of the solver: 2 and 6 for each attempted step
    assert results["nfe_backward"] >= 7
    assert (results["nfe_backward"] - 1) % 6 == 0


def test_eval_json_counts_the_parameters(finished_run):
    # two 3x3 convolutions, from pixel and time to 2 filters and back to 1 pixel
    dynamics = (9 * 2 * 2 + 2) + (9 * 3 * 1 + 1)
    # W, b and s of mean and deviation of 32 dimensions, and of 10 logits
    prior, classifier = 10 * 64 + 64 + 64, 32 * 10 + 10 + 10
    results = read_json(finished_run / "eval.json")
    assert results["num_parameters"] == dynamics + prior + classifier


def test_eval_json_agrees_with_the_model_and_the_arrays_of_scikit_learn(
    finished_run, digits, model
):
    results = read_json(finished_run / "eval.json")
    pixels, labels = load_digits(return_X_y=True)
    known = {
        p.astype(np.uint8).tobytes(): k for p, k in zip(pixels, labels, strict=True)
    }
    sums = dict.fromkeys(["bits", "marginal", "wrong", "generative"], 0.0)
    for i, x in enumerate([digits.test.x[:200], digits.test.x[200:]]):
        y = np.array([[known[image.tobytes()]] for image in x])
        # the noise of the evaluation: draw 0, batch i
        control = Control(tol=tf.constant(0.01), seed=tf.constant([0, i]))
        out = model(x, control=control)
        log_det = out.log_det.numpy()
        sums["bits"] += np.sum(model.prior.log_prob(out.z, y) + log_det)
        sums["marginal"] += np.sum(model.prior.marginal_log_prob(out.z) + log_det)
        for name, (scores,) in [
            ("wrong", model.class_scores(out.z, "discriminative")),
            ("generative", model.class_scores(out.z, "generative")),
        ]:
            sums[name] += np.sum(scores.numpy().argmax(1) != y[:, 0])

    def bits(log_prob):
        return (np.log(17) - log_prob / 360 / 64) / np.log(2)

    assert results["bits_per_dim"] == pytest.approx(bits(sums["bits"]), rel=1e-5)
    marginal = bits(sums["marginal"])
    assert results["marginal_bits_per_dim"] == pytest.approx(marginal, rel=1e-5)
    assert results["test_error"] == pytest.approx(sums["wrong"] / 3.6)
    assert results["generative_error"] == pytest.approx(sums["generative"] / 3.6)
    assert 0 < results["test_error"] < 90


def test_pictures_are_pictures(finished_run):
    # inches of draw_grid at 110 dots: ten classes, ten columns; three rows of ten
    for name, rows in [("samples", 10), ("reconstructions", 3)]:
        image = read_png(finished_run / f"{name}.png")
        height, width = round((0.6 * rows + 0.5) * 110), round(7.6 * 110)
        assert image.shape == pytest.approx((height, width), abs=1)
        assert np.unique(image).size > 20
    assert np.unique(read_png(finished_run / "curves.png")).size > 20


def test_no_temporary_files_are_left(finished_run):
    names = [path.name for path in finished_run.rglob("*")]
    assert [n for n in names if n.startswith(".") or "tmp" in n or "temp" in n] == []


# the same folder again


def test_the_same_command_again_does_not_train_again(
    run_copy, config, data_dir, no_training
):
    before = contents(run_copy)
    results = experiment.train(config, str(run_copy), data_dir=data_dir)
    after = contents(run_copy)
    assert set(after) == set(before)
    for name in before:
        if not name.endswith(".png"):
            assert after[name] == before[name], name
    assert results == read_json(run_copy / "eval.json")["evaluations"][0]


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    finished_run, run_copy, config, data_dir, capsys
):
    # as if killed in the second epoch
    made = ("samples.png", "reconstructions.png", "curves.png")
    for name in ("eval.json", "state.json", *made):
        (run_copy / name).unlink()
    for end in ("index", DATA):
        (run_copy / "checkpoints" / f"ckpt-2.{end}").unlink()
    experiment.train(config, str(run_copy), data_dir=data_dir)
    said = capsys.readouterr().out
    assert said.startswith("digits: 10 classes, 1 factor, 8x8x1, 17 levels; ")
    assert f"resuming {run_copy} after epoch 1 of 2" in said
    resumed, straight = read_lines(run_copy), read_lines(finished_run)
    for line in resumed + straight:
        del line["seconds"]
    assert resumed == straight
    assert (run_copy / "eval.json").read_text() == (
        finished_run / "eval.json"
    ).read_text()
    for name in ("samples.png", "reconstructions.png", "curves.png"):
        np.testing.assert_array_equal(
            read_png(run_copy / name), read_png(finished_run / name)
        )
    mine, theirs = (
        tf.train.load_checkpoint(str(folder / "checkpoints" / "ckpt-2"))
        for folder in (run_copy, finished_run)
    )
    names = [n for n in theirs.get_variable_to_shape_map() if "variables/" in n]
    assert len(names) > 20  # weights, seeds and what Adam remembers
    for name in names:
        np.testing.assert_array_equal(mine.get_tensor(name), theirs.get_tensor(name))


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("training", "epochs", 1),
        ("model", "filters", 3),
        ("optimizer", "drop_epochs", (1,)),
        ("model", "num_scales", 2),
    ],
)
def test_another_configuration_in_the_folder_names_the_key(
    group, key, value, run_copy, config, data_dir, no_training
):
    before = contents(run_copy)
    config[group][key] = value
    with pytest.raises(ValueError, match=rf"Received: config\.{group}\.{key}="):
        experiment.train(config, str(run_copy), data_dir=data_dir)
    assert contents(run_copy) == before


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "metadata.json"])
def test_a_foreign_folder_is_refused_and_left_alone(name, config, data_dir, tmp_path):
    (tmp_path / name).write_text("precious")
    with pytest.raises(ValueError, match="not of a run") as failure:
        experiment.train(config, str(tmp_path), data_dir=data_dir)
    assert f"Received: workdir={str(tmp_path)!r}" in str(failure.value)
    assert contents(tmp_path) == {name: b"precious"}


@pytest.mark.parametrize("text", ['{"architectures": ["BertModel"]}', "not JSON"])
def test_a_foreign_config_json_is_not_overwritten(text, config, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="Received: workdir="):
        open_folder(config, str(tmp_path))
    assert contents(tmp_path) == {"config.json": text.encode()}


def test_a_run_without_a_checkpoint_is_begun_anew(config, tmp_path):
    open_folder(config, str(tmp_path / "run"))
    config["training"]["epochs"] = 7
    assert open_folder(config, str(tmp_path / "run")) == tmp_path / "run"
    written = read_json(tmp_path / "run" / "config.json")
    assert written["training"]["epochs"] == 7


def test_a_run_can_be_made_where_git_is_not_installed(config, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    folder = open_folder(config, str(tmp_path / "run"))
    assert read_json(folder / "metadata.json")["commit"] is None


def test_a_folder_that_is_begun_anew_keeps_nothing_that_is_read(
    run_copy, config, capsys
):
    shutil.rmtree(run_copy / "checkpoints")
    (run_copy / "divergence.jsonl").write_text("of an earlier run")
    before = contents(run_copy)
    config["training"]["epochs"] = 7
    open_folder(config, str(run_copy))
    earlier = run_copy / "earlier-1"
    assert contents(earlier) == before
    left = {path.name for path in run_copy.iterdir()}
    assert left == {"config.json", "metadata.json", "earlier-1"}
    assert read_json(run_copy / "config.json")["training"]["epochs"] == 7
    assert not read_state(run_copy).is_finished
    assert str(earlier) in capsys.readouterr().out
    # killed before its first checkpoint: nothing is worth keeping
    (run_copy / "steps.jsonl").write_text("half a li")
    (run_copy / "metrics.jsonl").touch()
    (run_copy / "tensorboard").mkdir()
    open_folder(config, str(run_copy))
    assert {path.name for path in run_copy.iterdir()} == left
    (run_copy / "divergence.jsonl").write_text("of an earlier run")
    open_folder(config, str(run_copy))
    left |= {"earlier-2"}
    assert {path.name for path in run_copy.iterdir()} == left


def test_a_training_goes_on_though_its_evaluation_fails(
    config, data_dir, tmp_path, caplog, script
):
    folder = tmp_path / "run"
    config["evaluation"]["tol"] = 1e-20
    message = "is finished and saved, its evaluation failed: .*cnf.*Received: tol="
    with pytest.raises(SolverError, match=message) as failure:
        experiment.train(config, str(folder), data_dir=data_dir)
    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert np.isfinite(line["bits_per_dim"])
        assert np.isnan(line["test/bits_per_dim"])
    assert caplog.text.count("an evaluation after an epoch failed") == 1
    assert (folder / "checkpoints" / "ckpt-2.index").is_file()
    assert read_state(folder)[:2] == ("failed", str(failure.value))
    for arguments in (
        ("evaluate", "--tol=1e-20"),
        ("sample", "--label=3", "--temperature=3e38", f"--out={folder}/x.png"),
    ):
        name, *flags = arguments
        status, said = script(
            name, f"--workdir={folder}", f"--data_dir={data_dir}", *flags
        )
        assert status == 1
        assert said.splitlines()[-1].startswith("error: ")
        assert said.count("\n") == 1
    # its results at another tolerance do not make it a finished run
    Run(folder, data_dir=data_dir).evaluate([1e-2])
    assert not read_state(folder).is_finished


# evaluate and sample


def test_evaluate_at_two_tolerances(run_copy, digits, data_dir, capsys):
    # larger weights, so that the tolerance makes a difference
    model = Run(run_copy).model
    for weight in model.flow.trainable_variables:
        weight.assign(5.0 * weight)
    Checkpoints(run_copy / "checkpoints", model).save(Position(3))
    results = Run(run_copy, data_dir=data_dir).evaluate([1e-5, 1e-2])
    after = read_json(run_copy / "eval.json")
    assert after == results[0] | {"evaluations": results}
    fine, coarse = results
    assert (fine["tolerance"], coarse["tolerance"]) == (1e-5, 1e-2)
    for name in ("nfe_forward", "nfe_backward"):
        assert fine[name] > coarse[name] >= 7
    assert fine["bits_per_dim"] == pytest.approx(coarse["bits_per_dim"], rel=0.01)
    assert fine["bits_per_dim"] != coarse["bits_per_dim"]
    printed = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    (row,) = [row for row in printed if row[1].startswith(" forward evaluations")]
    assert [int(cell) for cell in row[3:5]] == [r["nfe_forward"] for r in results]


@pytest.fixture(scope="module")
def drawn(finished_run, data_dir, tmp_path_factory):
    """Samples drawn into PNG files, and the arrays they were drawn from."""
    folder, arrays = tmp_path_factory.mktemp("drawn"), {}
    draw_grid = figures.draw_grid

    def spy(images, path, **words):
        arrays[path.name] = np.array(images)
        draw_grid(images, path, **words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_grid", spy)
        for name, label, num, seed in [
            ("threes", 3, 12, 0),
            ("again", 3, 12, 0),
            ("other seed", 3, 12, 1),
            ("fours", 4, 12, 0),
            ("one", 3, 1, 0),
        ]:
            path = str(folder / f"{name}.png")
            Run(finished_run, data_dir=data_dir).sample(label, num, out=path, seed=seed)
    return folder, arrays


def test_sample_writes_a_grid_of_ten_columns(drawn, model):
    folder, arrays = drawn
    assert {path.name for path in folder.iterdir()} == set(arrays)
    images = arrays["threes.png"]
    assert images.shape == (2, 10, 8, 8, 1)
    flat = images.reshape(20, 8, 8, 1)
    expected = model.sample([3] * 12, seed=0).numpy()
    np.testing.assert_allclose(flat[:12], expected, atol=1e-6)
    assert np.all(flat[12:] == 1)  # blank
    png = read_png(folder / "threes.png")
    assert png.shape == pytest.approx((1.7 * 110, 7.6 * 110), abs=1)
    assert arrays["one.png"].shape == (1, 1, 8, 8, 1)
    png = read_png(folder / "one.png")
    assert png.shape == pytest.approx((1.1 * 110, 2.2 * 110), abs=1)


def test_sample_depends_on_seed_and_label_alone(drawn):
    folder, arrays = drawn
    threes = (folder / "threes.png").read_bytes()
    assert (folder / "again.png").read_bytes() == threes
    for other in ("other seed.png", "fours.png"):
        assert not np.array_equal(arrays[other], arrays["threes.png"])
        assert (folder / other).read_bytes() != threes


@pytest.mark.parametrize("label", [10, -1])
def test_sample_of_a_label_out_of_range_is_a_value_error(
    label, finished_run, data_dir, tmp_path
):
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.9, or be the name"):
        Run(finished_run, data_dir=data_dir).sample(
            label, 2, out=str(tmp_path / "x.png")
        )
    assert list(tmp_path.iterdir()) == []


def test_a_label_is_for_models_that_have_labels(finished_run):
    run = Run(finished_run)
    with pytest.raises(ValueError, match=r"a model that has labels.*=None, 1 labels"):
        run.sample(num=2)
    free = tfcnf.CNF((8, 8, 1), num_levels=17, filters=4, hidden_layers=1, num_scales=1)
    run.model = free
    with pytest.raises(ValueError, match=r"for no other model. .*label=3, 0 labels"):
        run.sample(3, 2)
    assert run.sample(num=2).shape == (2, 8, 8, 1)


def test_a_run_folder_can_be_moved(finished_run, digits, tmp_path):
    shutil.copytree(finished_run, tmp_path / "moved")
    moved = Run(tmp_path / "moved").model
    original = Run(finished_run).model
    assert moved.weights
    for mine, theirs in zip(moved.weights, original.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


# many workers, long trainings


def test_a_folder_in_which_another_process_trains_is_refused(
    run_copy, config, data_dir, no_training
):
    with hold_folder(run_copy), pytest.raises(ValueError, match="another process"):
        experiment.train(config, str(run_copy), data_dir=data_dir)
    experiment.train(config, str(run_copy), data_dir=data_dir)


def test_a_run_that_was_killed_while_its_folder_was_made_is_begun(config, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".config.json.0123abcd.tmp").write_text('{"data": "dig')
    for _ in range(2):
        assert open_folder(config, str(folder)) == folder
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
        assert names == ["config.json", "metadata.json"]
        (folder / "metadata.json").unlink()  # killed before it was written
