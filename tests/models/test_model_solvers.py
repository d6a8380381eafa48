"""Solvers, gradients and traces of models: as objects, as text, and of your own."""

import runpy
from textwrap import dedent

import keras
import numpy as np
import pytest

from tfcnf import CNF
from tfcnf.data.source import DataSource, Split
from tfcnf.models.latent_ode import LatentODE
from tfcnf.ode.discrete import Checkpoint
from tfcnf.ode.solver import Solver
from tfcnf.ode.solvers.tsit5 import Tsit5
from tfcnf.ode.trace import Hutchinson
from tfcnf.runs.build import build_model
from tfcnf.runs.config import check_config

X = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
TINY = {"flows_per_block": 1, "filters": 3, "hidden_layers": 1, "tol": 1e-4, "seed": 0}
SPLIT = Split(X, np.zeros([4, 1], np.int32))
SOURCE = DataSource("x", SPLIT, SPLIT, (2,), 1)


def test_objects_and_their_texts_make_the_same_model(tmp_path):
    made = CNF(
        (2,),
        **TINY,
        solver=Tsit5(max_num_steps=500),
        gradient=Checkpoint(),
        trace=Hutchinson(probes=2),
    )
    texts = {
        "solver": "tsit5:max_num_steps=500",
        "gradient": "checkpoint",
        "trace": "hutchinson:probes=2",
    }
    assert {key: made.get_config()[key] for key in texts} == texts
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    (layer,) = loaded.flow.layers
    assert layer.solver == Tsit5(500)
    assert layer.gradient == Checkpoint()
    assert layer.trace == Hutchinson(2)
    assert loaded.get_config() == made.get_config()
    expected = made.log_prob(X, np.zeros([4, 1], np.int32))
    found = loaded.log_prob(X, np.zeros([4, 1], np.int32))
    np.testing.assert_array_equal(found, expected)


def test_a_record_is_a_keras_object():
    config = keras.saving.serialize_keras_object(Tsit5(max_num_steps=7))
    assert keras.saving.deserialize_keras_object(config) == Tsit5(7)


@pytest.fixture
def ralston(tmp_path):
    """A pair of orders 2 and 1 in a file of its own, not of this package."""
    path = tmp_path / "ralston.py"
    path.write_text(
        dedent(
            '''
            from dataclasses import dataclass
            from tfcnf.ode.solver import RungeKutta
            from tfcnf.ode.tableau import Tableau

            @dataclass(frozen=True)
            class Ralston(RungeKutta):
                """Ralston 2(1)."""

                tableau = Tableau(
                    order=2,
                    embedded_order=1,
                    c=(0, 2 / 3, 1),
                    a=((2 / 3,), (1 / 4, 3 / 4)),
                    b=(1 / 4, 3 / 4, 0),
                    error=(-3 / 4, 3 / 4, 0),
                )
            '''
        )
    )
    yield runpy.run_path(str(path))["Ralston"]
    del Solver.known["ralston"]


def test_a_solver_in_one_file_serves_models_and_configurations(ralston, config):
    config["model_name"], config["data"] = "infocnf", "x"
    config["model"]["solver"] = "ralston:max_num_steps=300"
    config["training"]["batch_size"] = 4
    check_config(config)
    config["model"].pop("num_scales")
    model = build_model(config, SOURCE)
    (layer,) = model.flow.layers
    assert layer.solver == ralston(max_num_steps=300)
    y = np.zeros([4, 1], np.int32)
    model.fit(X, y, batch_size=4, verbose=0)
    log_prob = model.log_prob(X, y, tol=1e-4, exact=True)
    layer.solver = Tsit5()
    exact = model.log_prob(X, y, tol=1e-6, exact=True)
    np.testing.assert_allclose(log_prob, exact, atol=1e-2)
    assert np.abs(log_prob - exact).max() > 0
    series = LatentODE(obs_dims=1, partition="none", solver=ralston())
    assert series.flow.solver == ralston()


def test_a_latent_ode_needs_a_solver_that_keeps_its_steps():
    with pytest.raises(ValueError, match=r"a latent ODE needs .* Received: solver='tf"):
        LatentODE(obs_dims=1, partition="none", solver="tfp")
