"""The comparison of latent ODEs, from run folders that were written by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf

from papers import report
from tfcnf.runs.config import default_config


def write_run(folder, arrays, partition, seed, rmse, data="spirals"):
    folder.mkdir(parents=True)
    config = default_config("latent_ode") | {"seed": seed, "data": data}
    config["model"]["partition"] = partition
    scores = {f"rmse_{part}": rmse for part in ("window", "forward", "backward")}
    results = scores | {f"shift_2/{name}": 2 * value for name, value in scores.items()}
    if partition != "none":
        results["b_rmse"] = 0.02
    lines = [
        {"epoch": i, "step": 100 * i, "seconds": 30.0, "running_elbo": -1e4 / i}
        | {f"test/{name}": value / i for name, value in scores.items()}
        | {"nfe_forward": 32.0, "nfe_backward": 31.0}
        for i in (1, 2)
    ]
    (folder / "config.json").write_text(json.dumps(config))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    (folder / "eval.json").write_text(json.dumps(results))
    np.savez(folder / "trajectories.npz", **arrays)


@pytest.fixture
def arrays(make_trajectories):
    return make_trajectories([[1.0, 0.25, turn] for turn in (0, 1, 0, 1)])


@pytest.fixture
def runs(arrays, tmp_path):
    for seed, shift in enumerate((-0.1, 0.0, 0.1)):
        for partition, rmse in (("code", 1.0), ("head", 1.5), ("none", 2.0)):
            folder = tmp_path / "runs" / partition / f"seed_{seed}"
            write_run(folder, arrays, partition, seed, rmse + shift)
    return tmp_path / "runs"


def test_arms_are_compared_in_every_domain(runs):
    report.write(str(runs), str(runs))
    text = (runs / "report.md").read_text()
    assert "200 steps in 1.0 to 1.0 minutes a run" in text
    head = "| measure | partitioned (3) | linear head (3) | no labels (3) |"
    assert text.count(head) == 2
    # standard error of the difference: sqrt(2 * 0.1^2 / 3) = 0.0816
    row = "| rmse_forward | 1 ± 0.1 | 1.5 ± 0.1 | 2 ± 0.1 | +6.1 | +12.2 |"
    assert row in text
    assert "### shift_2" in text
    assert "| shift_2/rmse_forward | 2 ± 0.2 | 3 ± 0.2 | 4 ± 0.2 |" in text
    pictures = {path.name for path in runs.glob("*.png")}
    assert pictures == {
        f"{stem}_spirals_batch_900.png"
        for stem in ("curves", "domains", "trajectories")
    }
    for name in pictures:
        assert f"]({name})" in text
        image = tf.io.decode_png((runs / name).read_bytes(), channels=3).numpy()
        assert image.std() > 5


def test_under_the_authors_conditions_the_elbo_is_beside_theirs(arrays, tmp_path):
    write_run(tmp_path / "runs" / "none", arrays, "none", 0, 1.0, "spirals_reference")
    report.write(str(tmp_path / "runs"), str(tmp_path / "out"))
    text = (tmp_path / "out" / "report.md").read_text()
    rows = [[c.strip() for c in x.split("|")] for x in text.splitlines()]
    assert ["", "no labels", "100", "-10000.0", "63", ""] in rows
    assert ["", "authors: LatentODE, 5 dimensions", "100", "-14576.0", "", ""] in rows
    assert (tmp_path / "out" / "elbo_spirals_reference_batch_900.png").is_file()
