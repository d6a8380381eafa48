"""Uses of a trained run, and a run with hidden labels, at a tiny size."""

import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfcnf
from tfcnf import uses
from tfcnf.data import catalog
from tfcnf.data.labels import hide_labels
from tfcnf.diagnostics import Diagnostic
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.reporting.runs import report
from tfcnf.runs import experiment
from tfcnf.runs.config import default_config, points_config
from tfcnf.runs.folder import check_folder
from tfcnf.runs.recording import write_labels
from tfcnf.runs.run import Run

USES = ["calibration", "outliers", "gallery"]


def read_json(path):
    return json.loads(path.read_text())


def test_every_use_leaves_its_measures_arrays_and_figures(
    run_copy, data_dir, capsys, monkeypatch
):
    other = catalog.get("digits", data_dir)  # in place of MNIST
    monkeypatch.setitem(catalog.LOADERS, "mnist", lambda _: other)
    results = uses.evaluate(str(run_copy), USES, tol=1e-2, data_dir=data_dir)
    assert list(results) == USES
    for name, measures in results.items():
        assert read_json(run_copy / f"{name}.json") == measures
        assert measures["tolerance"] == 1e-2
        assert all(np.isfinite(value) for value in measures.values())
        with np.load(run_copy / f"{name}.npz") as arrays:
            again = dict(Diagnostic.find(name)().measures(dict(arrays)))
        assert again | {"tolerance": 1e-2} == measures
    # the same images cannot be told apart, whatever they are called
    assert results["outliers"]["digits/auroc_likelihood"] == 0.5
    assert results["outliers"]["inverted/auroc_likelihood"] > 0.9
    error = read_json(run_copy / "eval.json")["test_error"]
    assert results["calibration"]["discriminative/error"] == pytest.approx(error, abs=3)
    assert "outliers/random/auroc_typicality: " in capsys.readouterr().out
    written = {path.name for path in report([str(run_copy)])}
    assert written == {
        *("calibration.png", "outliers.png", "temperatures.png", "swaps.png"),
        *("interpolations.png", "class_means.png", "report.html"),
    }
    page = (run_copy / "report.html").read_text()
    assert page.count('src="data:image/png') == 9  # three more from the training


def test_a_diagnostic_of_your_own_is_one_class(run_copy, data_dir, monkeypatch):
    monkeypatch.setattr(Diagnostic, "known", dict(Diagnostic.known))

    class Brightness(Diagnostic):
        title, caption = "Brightness", "The mean grey of the images of each split."

        def compute(self, model, data, *, tol=1e-5):
            splits = {"train": data.train, "test": data.test}
            return {name: split.x.mean((1, 2, 3)) for name, split in splits.items()}

        def measures(self, arrays):
            for name, values in arrays.items():
                yield f"{name}/mean", float(values.mean())

        def plot(self, arrays, ax=None):
            ax.hist(list(arrays.values()))
            return ax

    results = uses.evaluate(str(run_copy), ["brightness"], tol=1e-2, data_dir=data_dir)
    with np.load(run_copy / "brightness.npz") as arrays:
        assert results["brightness"]["test/mean"] == arrays["test"].mean()
    written = {path.name for path in report([str(run_copy)])}
    assert written == {"brightness.png", "report.html"}
    page = (run_copy / "report.html").read_text()
    assert "The mean grey of the images of each split." in page
    assert f"<td>{results['brightness']['test/mean']:.3g}</td>" in page


def test_an_unknown_use_is_refused(finished_run):
    with pytest.raises(ValueError, match="uses must be one of calibration, "):
        uses.evaluate(str(finished_run), ["calibrations"], tol=1e-2)


def test_other_data_are_refused_before_the_model_is_loaded(tmp_path):
    config = default_config() | {"data": "two_moons"}
    config["model"] |= points_config("two_moons", smoke=True)["model"]
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=r"outliers is for images\. Received: data='two_moons'"
    ):
        uses.evaluate(str(folder), ["outliers"], tol=1e-2)


def test_mnist_that_is_not_there_is_named(run_copy, data_dir):
    with pytest.raises(ValueError, match="mnist is not prepared in"):
        uses.evaluate(str(run_copy), ["outliers"], tol=1e-2, data_dir=data_dir)


def test_tensorboard_has_the_gallery(finished_run):
    events = EventAccumulator(str(finished_run / "tensorboard")).Reload()
    assert {"samples", "interpolations", "swaps"} <= set(events.Tags()["tensors"])


@pytest.fixture(scope="module")
def few_labels(make_config, data_dir, tmp_path_factory):
    """The folder of a run with three labels of each class."""
    config, folder = make_config(), tmp_path_factory.mktemp("few") / "run"
    config["training"] |= {"labels": 3, "labelled_part": 0.25, "epochs": 1}
    experiment.train(config, str(folder), data_dir=data_dir)
    return folder


def test_a_run_with_hidden_labels_is_evaluated_on_all(few_labels, digits, data_dir):
    left = read_json(few_labels / "labels.json")
    seen = hide_labels(digits, 3, 0.25, 0)
    error = PixelClassifier(seen.train, 17).error(digits.test)
    assert left == {"labelled": 30, "logistic_regression_error": error}
    assert 10 < error < 60
    assert read_json(few_labels / "eval.json")["num_examples"] == 360
    (train,) = Run(few_labels, data_dir=data_dir).evaluate([1e-2], split="train")
    assert train["num_examples"] == 1437
    line = json.loads((few_labels / "metrics.jsonl").read_text())
    assert np.isfinite(
        [line["bits_per_dim"], line["cross_entropy"], line["error"]]
    ).all()


def test_the_error_with_few_labels_of_vectors_is_that_of_standardised_ones(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60)[:, None] % 2
    x = np.concatenate([1e-2 * y, 1e3 * rng.normal(size=(60, 1))], 1)
    labels = np.concatenate([y, rng.normal(size=(60, 1))], 1)  # a class and a number
    kinds = [tfcnf.Categorical(2), tfcnf.Real(distribution="normal")]
    split = tfcnf.Split(x, labels)
    data = tfcnf.DataSource("mine", split, split, kinds, 1)
    write_labels(tmp_path, hide_labels(data, 5, 0.5, 0))
    left = read_json(tmp_path / "labels.json")
    assert left == {"labelled": 10, "logistic_regression_error": 0.0}


def test_too_many_labels_are_refused_before_a_folder_is_made(
    config, data_dir, tmp_path
):
    config["training"]["labels"] = 1000
    with pytest.raises(ValueError, match="Received: labels=1000"):
        experiment.train(config, str(tmp_path / "run"), data_dir=data_dir)
    assert not (tmp_path / "run").exists()


def test_a_run_from_before_labels_could_be_hidden_is_the_same_run(run_copy, config):
    old = read_json(run_copy / "config.json")
    for key in ("labels", "labelled_part"):
        del old["training"][key]
    (run_copy / "config.json").write_text(json.dumps(old))
    assert check_folder(config, str(run_copy))
    config["training"]["labels"] = 5
    with pytest.raises(ValueError, match=r"Received: config\.training\.labels=5"):
        check_folder(config, str(run_copy))
