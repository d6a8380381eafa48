"""Running costs as a part of a model's loss and among its measures."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CNF, Chain, CNFLayer, DenseDynamics, InfoCNF
from tfcnf.types import Control, On

COSTS = {"kinetic_energy": 0.3, "jacobian_norm": 0.02}
SMALL = {"hidden_layers": 1, "filters": 4, "flows_per_block": 2, "seed": 0}
SMALL |= {"trace": "exact", "tol": 1e-6, "dropout": 0.0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 2)).astype(np.float32)
Y = np.arange(8, dtype=np.int32)[:, None] % 2


@pytest.fixture(scope="module")
def model():
    model = InfoCNF((2,), 2, costs=COSTS, **SMALL)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def test_the_loss_is_that_without_costs_and_their_weighted_means_a_dimension(model):
    terms, out = model.terms(X, Y, Control(), True)
    plain = terms["bits_per_dim"] + model.beta * terms["cross_entropy"].values
    expected = plain + sum(COSTS[k] * out.costs[k] / 2 for k in COSTS)
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-6)
    assert float(tf.reduce_min(out.costs["kinetic_energy"])) > 0
    # the sum over both CNFs
    parts, x = [], tf.constant(X)
    for layer in model.flow.layers:
        parts.append(layer(x))
        x = parts[-1].z
    for name in COSTS:
        np.testing.assert_allclose(
            out.costs[name], sum(part.costs[name] for part in parts), rtol=1e-5
        )


def test_fit_shows_them(model):
    history = model.fit(X, Y, batch_size=8, epochs=1, verbose=0).history
    terms, out = model.terms(X, Y, Control(), True)
    assert history["loss"][0] == pytest.approx(np.mean(terms["loss"]), rel=1e-5)
    for name in COSTS:
        mean = np.mean(out.costs[name]) / 2
        assert history[name][0] == pytest.approx(mean, rel=1e-5)


def test_what_needs_no_costs_takes_none_along(model):
    assert model(X, control=model._control(None, 0)).costs == {}
    assert model(X, control=Control(skip_log_det=On())).costs == {}


def test_a_weight_of_zero_leaves_a_cost_out():
    model = CNF((2,), costs={"kinetic_energy": 0.0}, **SMALL)
    assert model.costs == {}
    assert model.flow.layers[0].costs == ()
    assert "kinetic_energy" not in {metric.name for metric in model.metrics}


def test_a_flow_of_your_own_must_take_the_costs_along():
    def make(costs):
        flow = Chain([CNFLayer(DenseDynamics((2,)), costs=costs)])
        return CNF((2,), flow=flow, costs={"kinetic_energy": 0.1})

    with pytest.raises(ValueError, match="Received: a flow without kinetic_energy"):
        make([]).terms(X, None, Control(), True)
    terms, _ = make(["kinetic_energy", "jacobian_norm"]).terms(X, None, Control(), True)
    assert set(terms) == {"loss", "bits_per_dim", "kinetic_energy"}


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), "1", True])
def test_weights_that_are_negative_or_not_finite_are_refused(weight):
    with pytest.raises(ValueError, match=r"Received: costs\.kinetic_energy="):
        CNF((2,), costs={"kinetic_energy": weight}, **SMALL)


def test_a_model_with_costs_is_rebuilt_from_its_configuration(model):
    twin = InfoCNF.from_config(model.get_config())
    assert twin.costs == COSTS
    assert [len(layer.costs) for layer in twin.flow.layers] == [2, 2]
