"""Runs on points and on series, from configuration to pictures, at a tiny size."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tfcnf.data import catalog, mixture1d, spirals
from tfcnf.data.source import Density
from tfcnf.reporting.runs import report
from tfcnf.runs import experiment
from tfcnf.runs.config import default_config, points_config
from tfcnf.runs.run import Run


def merge(config, changes):
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    return config


@pytest.fixture
def few_points(monkeypatch):
    """The mixture with 200 training points and a coarse grid."""

    def load(_):
        source = mixture1d.load()
        density = Density((-12.0,), (12.0,), 241, mixture1d.log_prob)
        train = dataclasses.replace(
            source.train, x=source.train.x[:200], y=source.train.y[:200]
        )
        return dataclasses.replace(source, train=train, density=density)

    monkeypatch.setitem(catalog.LOADERS, "mixture1d", load)


@pytest.fixture
def few_spirals(monkeypatch):
    """Spirals of 60 points, 30 in each split."""
    small = spirals.Design(spirals=30, length=60, window=12)
    monkeypatch.setitem(spirals.DESIGNS, "spirals", small)
    monkeypatch.setattr(spirals, "DOMAIN_COUNT", 10)


@pytest.fixture
def points():
    """The configuration of the mixture, for a training of two steps."""
    config = merge(default_config("infocnf"), points_config("mixture1d", smoke=True))
    config = merge(config, {"model": {"supervised_fraction": 1.0}})
    config["training"] |= {"batch_size": 100, "epochs": 1}
    return config


def test_points_are_trained_evaluated_and_reported(few_points, points, tmp_path):
    folder = tmp_path / "run"
    result = experiment.train(points, str(folder))
    assert {"area_error", "kl_from_truth", "own_area_error"} <= set(result)
    assert {p.name for p in folder.iterdir()} == {
        *("config.json", "data.json", "metadata.json", "metrics.jsonl", "eval.json"),
        "state.json",
        *("checkpoints", "tensorboard", "curves.png", "density.npz", "density.png"),
    }
    Run(folder).evaluate([1e-2, 1e-6])
    written = {path.name for path in report([str(folder)])}
    assert written == {
        *("area_error.png", "tolerances.png", "density.png", "report.html")
    }
    with pytest.raises(ValueError, match="Received: data='mixture1d'"):
        Run(folder).sample(0, 1, out=str(tmp_path / "x.png"))


@pytest.mark.slow  # images are evaluated in both, too
def test_points_are_evaluated_in_both_float_types(few_points, points, tmp_path):
    folder = tmp_path / "run"
    experiment.train(points, str(folder))
    dtypes = ["float32", "float64"]
    rows = Run(folder).evaluate([1e-2, 1e-6], dtypes=dtypes)
    assert [(r["dtype"], r["tolerance"]) for r in rows] == [
        (dtype, tol) for dtype in dtypes for tol in (1e-2, 1e-6)
    ]
    assert rows[3]["bits_per_dim"] == pytest.approx(rows[1]["bits_per_dim"], abs=1e-4)


def test_spirals_are_trained_resumed_evaluated_and_reported(few_spirals, tmp_path):
    config = default_config("latent_ode") | {"data": "spirals"}
    config["model"] |= {"encoder": "rnn:units=6", "dynamics": "mlp:units=(5,)"}
    config["training"] |= {"batch_size": 15, "epochs": 2, "passes": 3}
    config["evaluation"] |= {"tol": 1e-3, "every": 5, "batch_size": 15}
    folder = tmp_path / "run"
    result = experiment.train(config, str(folder))
    lines = [json.loads(t) for t in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [6, 12]
    assert np.isfinite([line["running_elbo"] for line in lines]).all()
    assert lines[1]["test/rmse_window"] > 0
    for domain in ("", "shift_2/", "shift_4/", "held_out/"):
        assert result[f"{domain}rmse_forward"] > 0
        assert 0 <= result[f"{domain}clockwise_error"] <= 100
    model = Run(folder).model
    assert float(model._trackers["running_elbo"].result()) == pytest.approx(
        lines[1]["running_elbo"], rel=1e-6
    )
    again = Run(folder).evaluate([1e-3])[0]
    assert again["rmse_forward"] == pytest.approx(result["rmse_forward"], rel=1e-5)
    train = Run(folder).evaluate([1e-3], split="train")[0]
    assert not any("/" in name for name in train)
    assert (folder / "eval_train.json").exists()
    written = {path.name for path in report([str(folder)])}
    assert written == {"trajectories.png", "report.html"}
    assert Path(folder / "trajectories.npz").exists()


@pytest.mark.slow
def test_images_have_the_same_bits_in_both_float_types(run_copy, data_dir):
    rows = Run(run_copy, data_dir=data_dir).evaluate(
        [1e-6], dtypes=["float32", "float64"]
    )
    assert [row["dtype"] for row in rows] == ["float32", "float64"]
    near, exact = (row["bits_per_dim"] for row in rows)
    assert near == pytest.approx(exact, abs=1e-4)
    assert near != exact
