"""From a file with series to a trained run, its forecasts and its labels."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfcnf.data.series_frames import read_subjects
from tfcnf.data.table_files import read_table
from tfcnf.runs import Run
from tfcnf.runs.series_answers import answer_series

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Forty patients of two to five points, on dates and times of the day."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(40):
        hours = rng.choice(400, rng.integers(2, 6), replace=False)
        begin, outcome = rng.integers(300), rng.choice(["home", "ward"])
        for hour in hours:
            day = pd.Timestamp("2024-01-01") + pd.Timedelta(begin * 24 + hour, "h")
            weight, pulse = 70 + rng.normal(), 80 + 5 * rng.normal()
            seen = pulse if rng.random() < 0.8 else np.nan
            rows.append((f"p{patient}", day, weight, seen, outcome))
    frame = pd.DataFrame(
        rows, columns=["patient", "day", "weight", "pulse", "outcome"]
    ).sample(frac=1.0, random_state=1)
    path = tmp_path_factory.mktemp("series") / "patients.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def commands(file, documented, tmp_path_factory):
    """The arguments of each script in docs/your_data.md, of a training of seconds."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {
        "runs/patients": str(folder / "patients"),
        "=patients.csv": f"={file}",
        "=forecasts.csv": f"={folder / 'forecasts.csv'}",
        "configs/series.py": f"{ROOT}/configs/series.py:smoke",
    }
    return documented("your_data.md", "patients", changes)


@pytest.fixture(scope="module")
def run(commands, launched):
    assert launched("train", *commands["train"]) is None
    return Run(commands["train"][-1].removeprefix("--workdir="))


def test_a_training_names_the_columns_in_what_it_leaves(run, launched):
    results = json.loads((run.folder / "eval.json").read_text())
    assert np.isfinite(results["elbo"])
    assert results["outcome_error"] in np.arange(5) * 25.0
    arrays = np.load(run.folder / "forecasts.npz")
    assert arrays["names"].tolist() == ["weight", "pulse"]
    assert launched("report", f"--workdir={run.workdir}") is None
    page = (run.folder / "report.html").read_text()
    assert "error of the label (outcome)" in page


def test_forecasts_are_those_of_the_model_on_the_dates_of_the_table(
    run, commands, file, launched
):
    assert launched("predict", *commands["predict"]) is None
    found = pd.read_csv(
        commands["predict"][-1].removeprefix("--out="), parse_dates=["day"]
    )
    frame = read_table(file)
    subjects = read_subjects(frame, run.source.table_columns)
    assert list(found["patient"]) == np.repeat(subjects.names, 2).tolist()
    last = pd.to_datetime(frame["day"]).groupby(frame["patient"]).max()
    expected = last[found["patient"]].to_numpy()
    assert (found["day"] - expected).dt.days.tolist() == [1, 7] * 40
    for i in (3, 17):
        x = type(subjects.x)(*(part[i : i + 1] for part in subjects.x))
        times = [float(x.times.max()) + ahead for ahead in (1.0, 7.0)]
        mean, low, high = run.model.predict(x, times)
        told = found[found["patient"] == subjects.names[i]]
        np.testing.assert_allclose(told["weight"], mean[0, :, 0], rtol=1e-4)
        for name, end in (("pulse_low", low), ("pulse_high", high)):
            np.testing.assert_allclose(told[name], end[0, :, 1], rtol=0.03)
    labels = run.model.predict_labels(subjects.x).numpy()[:, 0]
    names = np.array(["home", "ward"])[labels.astype(int)]
    assert list(found["predicted_outcome"][::2]) == list(names)


def test_labels_alone_need_no_times_and_no_labels(run, file, tmp_path):
    table, out = tmp_path / "new.csv", tmp_path / "answers.csv"
    read_table(file).drop(columns="outcome").to_csv(table, index=False)
    options = {"out": str(out), "questions": ["labels"]}
    assert answer_series(run.workdir, str(table), **options) == 40
    assert list(pd.read_csv(out).columns) == ["patient", "predicted_outcome"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", r"a forecast needs finite times ahead.* ahead=\[\]"),
        ("--ahead=soon", "ahead must be numbers.* Received: ahead='soon'"),
        ("--ahead=nan", r"finite times ahead.* ahead=\[nan\]"),
        ("--ahead=1 --level=1", r"level must be between 0 and 1.* level=1.0"),
        ("--ahead=1 --questions=log_prob", "questions must be one of forecast, labels"),
        ("--ahead=1 --questions=labels", r"labels none\. Received: .*ahead=\[1.0\]"),
    ],
)
def test_bad_questions_are_one_line(run, file, script, tmp_path, flags, message):
    out = tmp_path / "answers.csv"
    called = [f"--workdir={run.workdir}", f"--table={file}", f"--out={out}"]
    status, said = script("predict", *called, *flags.split())
    assert status == 2
    assert re.search(message, said.splitlines()[-1])
    assert not out.exists()
