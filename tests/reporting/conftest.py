"""Runs as they would be left behind, made by hand."""

import json

import numpy as np
import pytest
from scipy.special import log_softmax

from tfcnf.diagnostics import Calibration, Certificate, Outliers

CLASSES = ["airplane", "a$b$c", r"$\frac", "d<e>", *"456789"]  # of the run of uses
RNG = np.random.default_rng(0)


def grid(*shape):
    return RNG.random((*shape, 8, 8, 1))


def calibration():
    logs = log_softmax(4 * RNG.normal(size=(300, 10)), 1)
    labels = np.argmax(logs + RNG.gumbel(size=logs.shape), 1)
    return {"discriminative": logs, "generative": logs / 2, "labels": labels}


def outliers():
    values = {name: RNG.normal(60, 9, 50) for name in ("train", "test")}
    values |= {name: RNG.normal(40, 9, 50) for name in ("noisy", "faded")}
    return values | {"dims": np.array(64), "levels": np.array(17)}


def gallery():
    return {
        "temperatures": np.array([0.0, 1.0]),
        "tempered": grid(2, 30),
        "interpolations": grid(10, 9),
        "ends": grid(10, 2),
        "swaps": grid(20, 10),
        "contents": grid(20),
        "class_means": grid(2, 10),
        "class_names": np.array(CLASSES),
    }


def paths():
    return {
        "positions": grid(10, 4),
        "times": np.linspace(1, 0, 4),
        "rows": np.arange(10),
    }


def certificate():
    tols = np.array([1e-2, 1e-1, 1e-2, 1e-5])
    numbers = {"tolerance": tols, "mass_error": tols, "mass_error_se": tols / 10}
    rows = np.array(["trained", "0.1", "0.01", "1e-05"])
    return numbers | {"rows": rows, "limit": np.array(1e-3)}


@pytest.fixture(scope="session")
def used_run(tmp_path_factory):
    """The folder of a run on images with all uses evaluated."""
    folder = tmp_path_factory.mktemp("run")
    makers = (calibration, outliers, gallery, paths, certificate)
    arrays = {make.__name__: make() for make in makers}
    training = {"epochs": 3, "batch_size": 128, "labels": 10}
    config = {"seed": 0, "model_name": "infocnf", "data": "digits"}
    row = {"tolerance": 1e-5, "dtype": "float32", "bits_per_dim": 1.971}
    row |= {"test_error": 1.14, "num_parameters": 38234}
    files = {
        "config": config | {"training": training},
        "data": {"class_names": [CLASSES], "exchanged": [], "task": "images"},
        "eval": row | {"evaluations": [row]},
        "metadata": {"date": "2026-11-22T07:43:04+0000", "note": "<&>"},
        "calibration": dict(Calibration().measures(arrays["calibration"])),
        "outliers": dict(Outliers().measures(arrays["outliers"])),
        "certificate": dict(Certificate().measures(arrays["certificate"])),
        "paths": {"detour": 1.2},
        "gallery": {"swaps/agreement": 87.5, "judge_error": 3.3},
    }
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    for name, values in arrays.items():
        np.savez(folder / f"{name}.npz", **values)
    return folder
