"""From a file with a table to a trained run, its page and its predictions."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfcnf.flows.columns import NOISE
from tfcnf.runs import Run
from tfcnf.runs.table_answers import answer_table
from tfcnf.seeds import fold_in, uniform

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    age = rng.normal(40.0, 9.0, 120)
    frame = pd.DataFrame(
        {
            "name": [f"row {i}" for i in range(120)],
            "income": np.exp(3.0 + 0.02 * age + 0.4 * rng.normal(size=120)),
            "visits": rng.poisson(2.0, 120),
            "age": age,
            "town": rng.choice(["Oslo", "Rome"], 120),
            "smokes": rng.choice(["no", "yes"], 120),
        }
    )
    path = tmp_path_factory.mktemp("table") / "people.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def commands(file, documented, tmp_path_factory):
    """The arguments of each script in docs/tables.md, of a training of seconds."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {
        "runs/people": str(folder / "people"),
        "=people.csv": f"={file}",
        "configs/table.py:": f"{ROOT}/configs/table.py:smoke,",
    }
    return documented("tables.md", "people", changes)


@pytest.fixture(scope="module")
def run(commands, launched):
    assert launched("train", *commands["train"]) is None
    return Run(commands["train"][-1].removeprefix("--workdir="))


@pytest.fixture(scope="module")
def export_dir(run, commands, launched):
    assert launched("export", *commands["export"]) is None
    return run.folder / "export"


@pytest.fixture(scope="module")
def served(export_dir):
    return tf.saved_model.load(str(export_dir))


@pytest.fixture
def few(file, tmp_path):
    """Rows of the file, with their columns in another order, in a file."""
    frame = pd.read_csv(file)[:7]
    frame = frame[["name", "age", "town", "income", "visits", "smokes"]]
    frame.to_csv(tmp_path / "new.csv", index=False)
    return frame


def arrays(frame):
    """Examples, labels and conditions of rows."""
    x = frame[["income", "visits"]].to_numpy(np.float32)
    context = np.stack([frame["age"], frame["town"] == "Rome"], 1).astype(np.float32)
    return x, (frame["smokes"] == "yes").to_numpy(np.int32), context


def test_a_training_leaves_measures_figures_and_a_page(run):
    results = json.loads((run.folder / "eval.json").read_text())
    assert np.isfinite(results["nll"])
    assert results["test_error"] in np.arange(13) * 100 / 12
    assert "bits_per_dim" not in results
    line = json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert "validation/nll" in line
    page = (run.folder / "report.html").read_text()
    assert "Samples and data" in page
    assert "Predicted labels" in page
    assert "2 classes: no, yes." in page


def test_the_nll_is_that_of_the_library_in_the_units_of_the_table(run):
    test, model = run.source.test, run.model
    options = {"context": test.context, "tol": 1e-3}
    drawn = [
        -model.log_prob(test.x, test.y, seed=seed, **options).numpy().mean()
        for seed in range(8)
    ]
    results = json.loads((run.folder / "eval.json").read_text())
    assert abs(np.mean(drawn) - results["nll"]) < 4 * np.std(drawn)
    wider = test.x * [1000.0, 1.0]
    columns = [
        {**record, "mean": record["mean"] + np.log(1000.0)} if i == 0 else record
        for i, record in enumerate(model.get_config()["columns"])
    ]
    twin = type(model).from_config({**model.get_config(), "columns": columns})
    twin.set_weights(model.get_weights())
    shifted = twin.log_prob(wider, test.y, **options)
    expected = model.log_prob(test.x, test.y, **options) - np.log(1000.0)
    np.testing.assert_allclose(shifted, expected, atol=1e-3)


def test_a_table_is_answered_in_a_table(run, few, tmp_path):
    out = tmp_path / "answers.csv"
    asked = {"questions": ["log_prob", "labels", "sample"], "samples": 3}
    count = answer_table(
        run.workdir, str(tmp_path / "new.csv"), out=str(out), **asked, seed=5
    )
    answers = pd.read_csv(out)
    assert count == len(answers) == 21
    assert list(answers["name"]) == [f"row {i}" for i in range(7) for _ in range(3)]
    model, (x, y, context) = run.model, arrays(few)
    drawn = [
        model.log_prob(x, y, context=context, seed=5 + i, exact=True, tol=1e-5)
        for i in range(10)
    ]
    np.testing.assert_allclose(answers["log_prob"][::3], np.mean(drawn, 0), atol=1e-4)
    found = model.predict_labels(x, context=context, tol=1e-5, seed=5).numpy()[:, 0]
    expected = np.array(["no", "yes"])[found.astype(int)]
    assert list(answers["predicted_smokes"][::3]) == list(expected)
    assert (answers["sample_income"] > 0).all()
    visits = answers["sample_visits"]
    assert (visits == np.floor(visits)).all()
    assert answers["sample_income"].nunique() == 21


def test_an_export_answers_as_the_model_in_memory(run, served, few):
    model, (x, y, context) = run.model, arrays(few)
    x[:, 1] += 0.25  # between two integers there is no noise
    given = {"x": x, "context": context}
    options = {"context": context, "tol": 1e-5}
    found = served.log_prob(label=y, **given)
    assert found["standard_error_nats"].numpy().max() < 1e-5
    expected = model.log_prob(x, y, exact=True, **options)
    np.testing.assert_allclose(found["log_prob_nats"], expected, atol=1e-4)
    code = served.encode(**given)["code_unitless"]
    np.testing.assert_allclose(code, model.encode(x, **options), atol=1e-5)
    back = served.decode(code, context)["x_own_units"]
    np.testing.assert_allclose(back[:, 0], x[:, 0], rtol=1e-3)
    np.testing.assert_array_equal(back[:, 1], np.floor(x[:, 1]))
    one = {"context": context[0], "tol": 1e-5}
    drawn = served.sample(y, context[0], seed=3)["x_own_units"]
    np.testing.assert_allclose(drawn, model.sample(y, seed=3, **one), rtol=1e-4)


def test_an_export_refuses_bad_conditions_and_examples(served, few):
    x, y, context = arrays(few)
    town, ages = context.copy(), context.copy()
    town[2, 1], ages[1, 0] = 2.0, np.nan
    for words, change in {
        r"context must have shape \[batch, 2\]": {"context": context[:, :1]},
        "there must be a context for each example": {"context": context[:3]},
        "context must lie within the bounds and categories": {"context": town},
        "context must be finite": {"context": ages},
        r"x must have shape \[batch, 2\]": {"x": x[:, :1]},
        "x must be finite numbers": {"x": x * np.inf},
        "label must be one for each x": {"label": y[:3]},
    }.items():
        given = {"x": x, "label": y, "context": context} | change
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            served.log_prob(**given)
    outside = x * np.float32([[-1, 1]])
    nats = served.log_prob(outside, y, context)["log_prob_nats"]
    assert (nats.numpy() == -np.inf).all()


def test_an_export_answers_a_table(
    run, export_dir, served, few, commands, launched, tmp_path, monkeypatch
):
    monkeypatch.setattr(tf.saved_model, "load", lambda _: served)
    monkeypatch.chdir(tmp_path)
    found = {}
    for name, options in {
        "answers.csv": ["--batch_size=21"],
        "again.csv": ["--questions=sample", "--batch_size=4", "--out=again.csv"],
    }.items():
        assert launched("predict", *commands["predict"], *options) is None
        found[name] = pd.read_csv(name)
    answers = found["answers.csv"]
    assert list(answers.columns) == [
        *few.columns,
        *("log_prob", "predicted_smokes", "sample_income", "sample_visits"),
    ]
    assert list(answers["name"]) == [f"row {i}" for i in range(7) for _ in range(3)]
    income = answers["sample_income"]
    np.testing.assert_allclose(income, found["again.csv"]["sample_income"], rtol=1e-2)
    assert income.nunique() == 21
    model, (x, y, context) = run.model, arrays(few)
    passes = []
    for draw in range(8):  # the noise of a pass: the same for every row
        seed = fold_in(fold_in(tf.constant([draw, 0]), 0), NOISE)
        noise = uniform([1, 2], seed, tf.float32).numpy() * [0, 1]
        nats = model.log_prob(x + noise, y, context=context, exact=True, tol=1e-5)
        passes.append(nats)
    np.testing.assert_allclose(answers["log_prob"][::3], np.mean(passes, 0), atol=1e-3)
    labels = model.predict_labels(x, context=context, tol=1e-5).numpy()[:, 0]
    expected = np.array(["no", "yes"])[labels.astype(int)]
    assert list(answers["predicted_smokes"][::3]) == list(expected)


def test_the_card_of_an_export_names_the_columns(export_dir):
    card = (export_dir / "assets" / "MODEL_CARD.md").read_text()
    for part in (
        "of vectors of 2 numbers, with 2 classes and given a context",
        "Classes: 0 no, 1 yes.",
        "0. income: real, above 0; log: mean",
        "1. visits: integer, dequantized",
        "1. town: 2 categories (Oslo, Rome)",
        "There is no `ood_score`: the model has no p(x).",
        "`label` int32, `context` float32, `seed` int32, `temperature` float32, `tol`",
    ):
        assert part in card, part
    names = json.loads((export_dir / "assets" / "labels.json").read_text())
    assert names == [["no", "yes"]]


BAD = {
    "must have the column 'age'": lambda frame: frame.drop(columns="age"),
    "column 'town' must be one of Oslo, Rome. Received: Lima in row 3": (
        lambda frame: frame.assign(town=["Rome", "Oslo", "Lima"] * 40)
    ),
    "column 'age' must have a value in every row. Received: none in row 5": (
        lambda frame: frame.assign(age=frame["age"].mask(frame.index == 4))
    ),
    "column 'income' must be finite and above 0. Received: -1.0 in row 2": (
        lambda frame: frame.assign(income=frame["income"].mask(frame.index == 1, -1.0))
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_tables_that_cannot_be_answered_are_refused(
    run, export_dir, served, file, tmp_path, message, monkeypatch
):
    monkeypatch.setattr(tf.saved_model, "load", lambda _: served)
    BAD[message](pd.read_csv(file)).to_csv(tmp_path / "bad.csv", index=False)
    out, table = tmp_path / "answers.csv", str(tmp_path / "bad.csv")
    for place in ({}, {"saved_model": str(export_dir)}):
        with pytest.raises(ValueError, match=re.escape(message)) as failure:
            answer_table(run.workdir, table, out=str(out), **place)
        assert "\n" not in str(failure.value)
        assert not out.exists()
