"""From a file with a table to a trained run, its page and its predictions."""

import json

import ml_collections
import numpy as np
import pandas as pd
import pytest

from tfcnf.runs import Run, train
from tfcnf.runs.config import default_config, table_config


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
