"""From a file with a table to a trained run, its page and its predictions."""

import json
import re

import ml_collections
import numpy as np
import pandas as pd
import pytest

from tfcnf.runs import Run, train
from tfcnf.runs.config import default_config, table_config
from tfcnf.runs.table_answers import answer_table


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
def config(file):
    made = ml_collections.ConfigDict(default_config("ccnf"))
    made.update(table_config(str(file), smoke=True))
    made.table.x = "income,visits"
    made.table.context = "age,town"
    made.table.labels = "smokes"
    made.table.kinds = "income=positive"
    return made.to_dict()


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "people"
    train(config, str(folder))
    return Run(folder)


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


def test_a_table_is_answered_in_a_table(run, file, tmp_path):
    out, few = tmp_path / "answers.csv", pd.read_csv(file)[:7]
    few = few[["name", "age", "town", "income", "visits", "smokes"]]
    few.to_csv(tmp_path / "few.csv", index=False)
    asked = {"questions": ["log_prob", "labels", "sample"], "samples": 3}
    count = answer_table(
        run.workdir, str(tmp_path / "few.csv"), out=str(out), **asked, seed=5
    )
    answers = pd.read_csv(out)
    assert count == len(answers) == 21
    assert list(answers["name"]) == [f"row {i}" for i in range(7) for _ in range(3)]
    model = run.model
    x = few[["income", "visits"]].to_numpy(np.float32)
    context = np.stack([few["age"], few["town"] == "Rome"], 1).astype(np.float32)
    y = (few["smokes"] == "yes").to_numpy(int)
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
def test_tables_that_a_run_cannot_answer_are_refused(run, file, tmp_path, message):
    BAD[message](pd.read_csv(file)).to_csv(tmp_path / "bad.csv", index=False)
    out = tmp_path / "answers.csv"
    with pytest.raises(ValueError, match=re.escape(message)) as failure:
        answer_table(run.workdir, str(tmp_path / "bad.csv"), out=str(out))
    assert "\n" not in str(failure.value)
    assert not out.exists()
