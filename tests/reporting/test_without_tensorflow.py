"""Reports are drawn where there is no TensorFlow."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import runpy, sys
for name in ("tensorflow", "keras", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def draw(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", CODE, "launch/report.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {Path(line).name for line in done.stdout.splitlines()}


@pytest.mark.parametrize("workdirs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_runs_are_drawn(workdirs, used_run, tmp_path):
    runs = [shutil.copytree(used_run, tmp_path / f"run_{i}") for i in range(workdirs)]
    written = draw(f"--workdir={','.join(map(str, runs))}")
    assert {"calibration.png", "outliers.png", "paths.gif"} < written
    assert ("report.html" if workdirs == 1 else "scores.md") in written


def test_steps_and_curves_of_the_papers_are_drawn(make_trajectories, tmp_path):
    config = {"seed": 0, "model_name": "latent_ode", "data": "spirals_reference"}
    config["training"] = {"epochs": 1, "batch_size": 1}
    row = {"tolerance": 1e-4, "dtype": "float32", "elbo": -70.0}
    line = {"step": 100, "nfe_forward": 9.0, "nfe_backward": 8.0, "running_elbo": -1e4}
    results = row | {"evaluations": [row]}
    for name, value in {"config": config, "eval": results}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    arrays = make_trajectories([[1.0, 0.25, 1.0], [1.0, 0.2, 0.0]])
    np.savez(tmp_path / "trajectories.npz", **arrays)
    written = draw(f"--workdir={tmp_path}")
    assert written == {
        *("trajectories.png", "report.html", "authors.png", "authors.md"),
        "spirals.png",
    }
