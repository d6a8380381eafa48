"""What a run knows of its data, and what is done with it without them."""

import copy
import dataclasses
import json
import types
from pathlib import Path

import numpy as np
import pytest

from tfcnf import uses
from tfcnf.data import catalog
from tfcnf.data.record import record_of
from tfcnf.data.source import Split
from tfcnf.diagnostics import figures, pictures
from tfcnf.labels.categorical import Categorical
from tfcnf.runs import build, experiment
from tfcnf.runs.config import complete, default_config
from tfcnf.runs.data import read_record, renew_folder
from tfcnf.runs.folder import open_folder
from tfcnf.runs.run import Run
from tfcnf.runs.warm_start import read_weights
from tfcnf.serving import export, model_card
from tfcnf.tasks import Task
from tfcnf.training.checkpoints import Checkpoints, Position

DIGITS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
]


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def exchanged(digits):
    """The digits with one other pixel in the test split."""
    x = digits.test.x.copy()
    x[0, 0, 0] += 1
    return dataclasses.replace(digits, test=Split(x, digits.test.y))


@pytest.fixture
def no_data(monkeypatch):
    """The data are gone."""

    def fail(name, _=None):
        raise ValueError(f"it is gone. Received: data={name!r}")

    monkeypatch.setattr(catalog, "get", fail)


@pytest.fixture
def named(run_copy):
    """The finished run, the classes of its data named."""
    record = read_json(run_copy / "data.json") | {"class_names": [DIGITS]}
    (run_copy / "data.json").write_text(json.dumps(record))
    return run_copy


@pytest.fixture
def trained(monkeypatch):
    """What `experiment.train` would train; the training itself is left out."""
    calls = []

    def spy(model, source, scope, size, epochs, *, start, **_):
        calls.append((model, epochs, start))

    monkeypatch.setattr(experiment, "run_epochs", spy)
    monkeypatch.setattr(experiment, "leave_results", lambda *_, **__: {})
    return calls


def test_a_run_has_a_record_of_its_data(finished_run, digits):
    record = read_record(str(finished_run))
    assert record == record_of(digits)
    assert record.class_names == [list("0123456789")]
    assert {name: len(split) for name, split in record.splits.items()} == {
        "train": 1437,
        "test": 360,
    }


# the data are others


def test_a_resume_on_exchanged_data_is_refused_or_asked_for(
    run_copy, config, exchanged, trained, monkeypatch
):
    before = contents(run_copy)
    monkeypatch.setattr(catalog, "get", lambda *_: exchanged)
    words = "labels of test are others.*or take these with --changed_data"
    with pytest.raises(ValueError, match=words):
        experiment.train(config, str(run_copy))
    assert contents(run_copy) == before
    renew_folder(config, str(run_copy), data=record_of(exchanged), changed_data=True)
    record = read_record(str(run_copy))
    assert record.splits == record_of(exchanged).splits
    assert record.exchanged == ["the examples or labels of test are others"]
    assert not trained


def test_measures_on_exchanged_data_stand_in_files_of_their_own(
    run_copy, exchanged, monkeypatch
):
    before = contents(run_copy)
    monkeypatch.setattr(catalog, "get", lambda *_: exchanged)
    for evaluate in (
        lambda **options: Run(run_copy, **options).evaluate([1e-2]),
        lambda **options: Run(run_copy, **options).evaluate_tolerances(),
        lambda **options: uses.evaluate(
            str(run_copy), ["gallery"], tol=1e-2, **options
        ),
    ):
        with pytest.raises(ValueError, match="the data are not those of the run"):
            evaluate()
    Run(run_copy, changed_data=True).evaluate([1e-2])
    after = contents(run_copy)
    assert set(after) - set(before) == {"eval_changed_data.json"}
    assert {name: after[name] for name in before} == before


def test_data_that_have_moved_are_known(run_copy, config, digits, monkeypatch, trained):
    asked = []

    def get(name, _):
        asked.append(name)
        return dataclasses.replace(digits, name=name)

    monkeypatch.setattr(catalog, "get", get)
    moved = Run(run_copy, moved_to="elsewhere")
    assert (moved.source.name, moved.suffix, asked) == ("elsewhere", "", ["elsewhere"])
    config["data"] = "elsewhere"
    config["training"]["epochs"] = 3
    experiment.train(config, str(run_copy))
    assert read_json(run_copy / "config.json")["data"] == "elsewhere"
    assert read_record(str(run_copy)).name == "elsewhere"
    assert read_record(str(run_copy)).exchanged == []


def test_a_run_without_a_record_is_given_one(run_copy, config, digits):
    (run_copy / "data.json").unlink()
    renew_folder(config, str(run_copy), data=record_of(digits), changed_data=False)
    assert read_record(str(run_copy)) == record_of(digits)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"splits": {}}'])
def test_a_damaged_record_is_named(text, run_copy):
    path = run_copy / "data.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"data\.json is damaged") as failure:
        Run(run_copy).sample(3)
    assert str(failure.value).endswith(f"Received: {path}")
    assert str(failure.value).count("is damaged") == 1


# no data are needed


def test_classes_are_drawn_by_name_without_data(named, no_data, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        figures,
        "draw_grid",
        lambda images, path, **words: drawn.append((images, words["title"])),
    )
    for label in ("three", "3", 3):
        Run(named).sample(label, 2, out=str(tmp_path / "x.png"))
    titles = [title for _, title in drawn]
    assert titles == ["class three"] * 3
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    with pytest.raises(ValueError, match=r"in 0\.\.9, or be the name .*zero, one, "):
        Run(named).sample("eleven", 2, out=str(tmp_path / "x.png"))


def test_rows_of_samples_have_the_names_of_their_classes(digits, tmp_path, monkeypatch):
    drawn = {}

    def spy(images, path, *, row_labels, title=""):
        drawn[path.name] = list(row_labels)

    monkeypatch.setattr(figures, "draw_grid", spy)
    monkeypatch.setattr(pictures, "class_samples", lambda *_, **__: None)
    monkeypatch.setattr(pictures, "reconstructions", lambda *_, **__: np.zeros([3, 1]))
    source = dataclasses.replace(digits, labels=[Categorical(10, DIGITS)])
    for supervised, rows in [(True, DIGITS), (False, [""] * 10)]:
        model = types.SimpleNamespace(is_supervised=supervised)
        Task.of(source).draw(model, source, tmp_path, 1e-3)
        assert drawn["samples.png"] == rows


def test_an_export_without_data_has_names_and_no_score(
    named, no_data, tmp_path, monkeypatch, capsys
):
    saved = []

    def save(module, path, **_):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "saved_model.pb").touch()
        saved.extend(module.assets)
        names = [asset.asset_path.numpy().decode() for asset in module.assets]
        (labels,) = [name for name in names if name.endswith("labels.json")]
        saved.append(read_json(Path(labels)))
        (card,) = [name for name in names if name.endswith(model_card.CARD)]
        saved.append(Path(card).read_text())
        saved.append(module)

    monkeypatch.setattr(export.tf.saved_model, "save", save)
    monkeypatch.setattr(model_card, "_functions", lambda _: "")
    Run(named).export(str(tmp_path / "export"))
    *_, labels, card, module = saved
    assert labels == [DIGITS]
    assert "the export was made without the training data" in card
    assert "classify" in module.functions
    assert not [name for name in module.functions if "ood_score" in name]
    assert "the export has no ood_score: it is gone" in capsys.readouterr().err


def test_the_card_names_the_classes(digits):
    names = (("a|b", *DIGITS[1:]),)
    record = record_of(dataclasses.replace(digits, labels=[Categorical(10, names[0])]))
    (line,) = model_card._data(record)
    assert line.startswith(r"Classes: 0 a\|b, 1 one, 2 two, ")


# ways on


def test_keys_that_came_later_have_their_defaults():
    config = default_config("infocnf", "learned")
    config["model"]["costs"]["kinetic_energy"] = 0.1
    older = copy.deepcopy(config)
    for key in ("dtype", "squeeze_first"):
        del older["model"][key]
    del older["model"]["reinforce"]["gap"]
    del older["model"]["costs"]["jacobian_norm"]
    del older["training"]["jit_compile"]
    assert complete(older) == config
    assert complete(older | {"model_name": "glow"}) == older | {"model_name": "glow"}


def test_a_run_may_be_given_more_epochs(run_copy, config, data_dir, trained):
    config["training"]["epochs"] = 5
    experiment.train(config, str(run_copy), data_dir=data_dir)
    ((_, epochs, start),) = trained
    assert (epochs, start) == (5, (2, 0))
    assert read_json(run_copy / "config.json")["training"]["epochs"] == 5
    config["training"]["epochs"] = 4
    with pytest.raises(ValueError, match=r"more and not fewer.*training\.epochs=4"):
        experiment.train(config, str(run_copy), data_dir=data_dir)


def test_the_schedule_of_more_epochs_is_over_all_of_them(config, digits):
    config["optimizer"]["decay"] = "cosine"
    rates = {}
    for epochs in (2, 4):
        config["training"]["epochs"] = epochs
        schedule = build.build_model(config, record_of(digits)).optimizer
        schedule.iterations.assign(6)  # three steps an epoch
        rates[epochs] = float(schedule.learning_rate)
    assert rates == pytest.approx({2: 0.0, 4: 0.005}, abs=1e-8)


def test_a_new_run_begins_with_the_weights_of_another(
    finished_run, config, data_dir, trained, tmp_path
):
    config["optimizer"]["learning_rate"] = 1e-3
    config["seed"] = 5
    workdir = tmp_path / "new"
    experiment.train(
        config, str(workdir), data_dir=data_dir, init_from=str(finished_run)
    )
    ((model, _, start),) = trained
    assert start == (0, 0)
    assert int(model.optimizer.iterations.numpy()) == 0
    theirs = Run(finished_run).model
    for mine, other in zip(model.flow_weights, theirs.flow_weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    kept = read_json(workdir / "metadata.json")["init_from"]
    assert kept == str(finished_run)


def test_the_last_good_state_is_something_to_begin_with(run_copy, digits, config):
    model = Run(run_copy).model
    for weight in model.flow_weights:
        weight.assign(weight + 1.0)
    Checkpoints(run_copy / "last_good", model).save(Position(0, 2))
    new = build.build_model(config, record_of(digits))
    read_weights(new, str(run_copy / "last_good")).give(new)
    for mine, other in zip(new.flow_weights, model.flow_weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())


def test_gates_that_the_other_run_has_not_begin_anew(finished_run, digits, make_config):
    config = default_config("infocnf", "learned")
    config["model"] |= make_config()["model"] | {"policy": "learned"}
    config["model"] |= {
        key: default_config("infocnf", "learned")["model"][key]
        for key in ("policy_options", "reinforce")
    }
    config["training"]["batch_size"] = 479
    model = build.build_model(config, record_of(digits))
    gates = [weight.numpy() for weight in model.gate_weights]
    assert gates
    read_weights(model, str(finished_run)).give(model)
    for before, after in zip(gates, model.gate_weights, strict=True):
        np.testing.assert_array_equal(before, after.numpy())


def test_weights_that_do_not_fit_are_refused(finished_run, config, data_dir, tmp_path):
    workdir = tmp_path / "new"
    for path in (tmp_path, finished_run / "last_good"):
        with pytest.raises(ValueError, match="a run with a checkpoint") as failure:
            experiment.train(
                config, str(workdir), data_dir=data_dir, init_from=str(path)
            )
        assert f"Received: init_from={str(path)!r}" in str(failure.value)
        assert not workdir.exists()
    config["model"]["filters"] = 3
    with pytest.raises(ValueError, match=r"other shapes.*with weight 0 of shape"):
        experiment.train(
            config, str(workdir), data_dir=data_dir, init_from=str(finished_run)
        )
    assert not workdir.exists()


def test_a_run_that_goes_on_has_its_own_weights(run_copy, config, data_dir, trained):
    config["training"]["epochs"] = 3
    own = Run(run_copy).model
    experiment.train(config, str(run_copy), data_dir=data_dir, init_from=str(run_copy))
    ((model, _, start),) = trained
    assert start == (2, 0)
    np.testing.assert_array_equal(
        model.flow_weights[0].numpy(), own.flow_weights[0].numpy()
    )


def test_a_new_folder_has_no_run_to_begin_with(config, tmp_path):
    folder = open_folder(config, str(tmp_path / "run"))
    assert read_json(folder / "metadata.json")["init_from"] is None
