"""One export of the tiny run for all tests of serving."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.runs.run import Run
from tfcnf.training.checkpoints import Checkpoints, Position

CERTIFICATE = {"limit": 0.001, "trained/tolerance": 0.01, "trained/inversion": 0.02}


@pytest.fixture(scope="session")
def served_run(once, finished_run, digits):
    """The finished run with larger weights, so that its solves take some steps."""

    def fill(folder):
        (folder / "checkpoints").mkdir(parents=True)
        for name in ("config.json", "data.json", "metadata.json", "eval.json"):
            (folder / name).write_bytes((finished_run / name).read_bytes())
        (folder / "certificate.json").write_text(json.dumps(CERTIFICATE))
        model = Run(finished_run).model
        for weight in model.flow.trainable_variables:
            weight.assign(2.0 * weight)
        for weight in model.prior.trainable_variables:
            weight.assign(weight + 0.02 * np.sin(np.arange(weight.shape[-1])))
        Checkpoints(folder / "checkpoints", model).save(Position(2))

    return once("served_run", fill)


@pytest.fixture(scope="session")
def export_dir(once, served_run, data_dir):
    """The folder of an export with the exact trace; only to be read."""

    def fill(folder):
        Run(served_run, data_dir=data_dir).export(str(folder), draws=3)

    return once("export", fill)


@pytest.fixture(scope="session")
def in_memory(served_run, digits):
    """The model that was exported."""
    return Run(served_run).model


@pytest.fixture(scope="session")
def served(export_dir):
    """The SavedModel, loaded."""
    return tf.saved_model.load(str(export_dir))
