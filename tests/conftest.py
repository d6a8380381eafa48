"""What the tests share: two logical CPU devices, a tiny configuration, the digits."""

import copy
import gc
import os
import random
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

from tfcnf import libraries  # noqa: F401, I001 - imports first

import numpy as np
import pytest
import tensorflow as tf
from filelock import FileLock

from tfcnf.data import catalog
from tfcnf.runs import experiment
from tfcnf.runs.config import default_config
from tfcnf.training.strategy import get_strategy

# before anything runs: MirroredStrategy is tested on two logical CPUs
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
# graphs run a few times only, so that optimizing them takes longer than they do
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


# the dearest files, first those that wait for processes
LONGEST = (
    *("test_docs.py", "test_replicas.py", "test_tolerances.py", "test_accumulation.py"),
    *("test_kills.py", "test_experiment.py", "test_studies.py", "test_export.py"),
    *("test_latent_ode.py", "test_model_policies.py", "test_bad_input.py"),
)


def pytest_collection_modifyitems(items):
    """The longest files first, so that no process has one left at the end.

    The garbage collector is spared what the tests' modules are.
    """
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Spares the garbage collector what a file left: traced graphs stay for ever."""
    if nextitem is None or nextitem.path != item.path:
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup():
    """Seeds what Keras draws without a seed: no test depends on those before it."""
    random.seed(0)
    np.random.seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    """Seeds the test itself, too."""
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def mirrored():
    """MirroredStrategy on two logical CPUs.

    One for all tests: the collective operations of several would be mixed up.
    """
    return get_strategy("mirrored")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A folder of tensorflow-datasets in which only the digits are prepared."""
    folder = tmp_path_factory.mktemp("tfds")
    catalog.get("digits", str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def digits(data_dir):
    """The embedded digits: 1,437 + 360 images of 8x8 pixels with 17 grey levels."""
    return catalog.get("digits", data_dir)


@pytest.fixture(scope="session")
def make_config():
    """A function that makes a configuration of one CNF with 66 weights."""
    config = default_config("infocnf")
    config["model"] |= {
        "num_scales": 1,
        "flows_per_block": 1,
        "filters": 2,
        "hidden_layers": 1,
        "alpha": 0.05,
        "tol": 1e-2,
        "adjoint_tol": 1e-2,
    }
    config["optimizer"] |= {"learning_rate": 1e-2}
    config["training"] |= {"batch_size": 479, "epochs": 2}
    config["evaluation"] |= {"tol": 1e-2, "batch_size": 200}
    return lambda: copy.deepcopy(config)


@pytest.fixture
def config(make_config):
    """The tiny configuration, to be changed at will."""
    return make_config()


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """A function that fills a folder once in all workers: ``once(name, fill)``."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent

    def make(name, fill):
        folder = root / name
        with FileLock(root / f"{name}.lock"):
            if not folder.exists():
                try:
                    fill(folder)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
        return folder

    return make


@pytest.fixture(scope="session")
def finished_run(once, make_config, data_dir):
    """The folder of a finished run of the tiny configuration; only to be read."""

    def fill(folder):
        experiment.train(make_config(), str(folder), data_dir=data_dir)

    return once("finished_run", fill)


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """A copy of the finished run, to be changed at will."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture(scope="session")
def make_trajectories():
    """A function of labels ``[n, 3]`` that makes the arrays of ``trajectories.npz``."""

    def make(labels):
        times, num = np.linspace(-1, 2, 30), len(labels)
        curves = np.stack([np.cos(times), np.sin(times)], -1)[None].repeat(num, 0)
        return {
            "times": times,
            "truth": curves,
            "truth_mask": np.ones([num, 30]),
            "values": curves[:, 10:20],
            "value_times": times[None, 10:20].repeat(num, 0),
            "mask": np.ones([num, 10]),
            "model_times": times,
            "model": curves + 0.1,
            "labels": np.array(labels),
        }

    return make
