"""Honesty: measured right, heard by policies, and no part of the training."""

import math

import keras
import numpy as np
import pytest

import tfcnf
from tfcnf.data.source import Split
from tfcnf.runs.config import check_config, default_config
from tfcnf.training.honesty import Honesty

A = -3.0
X = np.random.default_rng(0).normal(size=[64, 1]).astype(np.float32)
SPLIT = Split(X, np.zeros([64, 0], np.int32))


class Shrink(tfcnf.Dynamics):
    """dz/dt = a z, whose log-determinant is exact at any tolerance."""

    def call(self, t, z):
        return A * z


def test_honesty_is_the_error_of_the_single_step_and_is_warned_of_once(caplog):
    policy = tfcnf.FixedTolerance(1.0, dtype="float64")
    layer = tfcnf.CNFLayer(
        Shrink(dtype="float64"), policy, trace="exact", dtype="float64"
    )
    model = tfcnf.CNF((1,), flow=layer, dtype="float64", seed=0)
    model.compile("sgd")
    honesty = Honesty(SPLIT, batch_size=64)
    honesty.set_model(model)
    # one step of Dopri5: the exponential series to x^5 / 5! and x^6 / 600
    step = sum(A**k / math.factorial(k) for k in range(6)) + A**6 / 600
    bits = (step**2 - math.exp(2 * A)) / 2 * np.mean(X.astype(float) ** 2) / math.log(2)
    assert honesty.measure(0) == pytest.approx(abs(bits), rel=0.05)
    assert abs(bits) > 0.01
    for _ in range(2):
        honesty.on_train_batch_end(0)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "gains by the errors of its solver" in warning
    assert f"{honesty.measure(0):.2g} bits/dim" in warning


def make(**options):
    model = tfcnf.CNF(
        (1,), filters=4, hidden_layers=1, flows_per_block=1, tol=1e-2, seed=0, **options
    )
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def test_a_training_is_the_same_with_it_and_logs_the_newest():
    models = [make(), make()]
    honesty = Honesty(SPLIT, batch_size=16, every=3)
    measured, measure = {}, honesty.measure
    honesty.measure = lambda step: measured.setdefault(step, measure(step))
    options = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0}
    models[0].fit(X, SPLIT.y, **options)
    history = models[1].fit(X, SPLIT.y, callbacks=[honesty], **options).history
    for plain, other in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(plain, other)
    assert list(measured) == [1, 3, 6]
    assert history["honesty"] == [np.float32(measured[step]) for step in (3, 6)]
    assert min(measured.values()) > 0


def test_of_several_steps_at_a_time_the_last_is_measured():
    model = make()
    honesty, measured = Honesty(SPLIT, batch_size=16, every=6), []
    honesty.measure = lambda step: measured.append(step) or 0.0
    honesty.set_model(model)
    honesty.on_train_begin()
    for step in (4, 8, 12, 16):
        model.optimizer.iterations.assign(step)
        honesty.on_train_batch_end(step - 1)
    assert measured == [4, 8, 12]
    model.optimizer.iterations.assign(6)  # a failed step took the training back
    honesty.on_train_batch_end(5)
    assert measured.pop() == 6
    model.optimizer.iterations.assign(16)
    honesty.on_train_begin()  # a training that goes on
    model.optimizer.iterations.assign(17)
    honesty.on_train_batch_end(16)
    assert measured == [4, 8, 12]


def test_tolerances_hear_of_it():
    model = make(policy="adapted", policy_options={"limit": 0.1, "up": 1.5})
    model.track_honesty()
    for value, tol in [(0.1, 1.5e-2), (0.2, 0.75e-2)]:
        model.hear_honesty(value)
        assert float(model.flow.layers[0].policy.now.value) == pytest.approx(tol)
    (metric,) = [m for m in model.metrics if m.name == "honesty"]
    model.reset_metrics()
    assert float(metric.result()) == np.float32(0.2)


@pytest.mark.parametrize(
    ("model", "policy", "every", "message"),
    [
        ("latent_ode", "fixed", 5, "honesty is of flows.* model_name='latent_ode'"),
        ("infocnf", "fixed", -1, "honesty must be at least 0"),
        ("infocnf", "adapted", 0, "adapt to honesty.* policy='adapted'"),
    ],
)
def test_honesty_that_cannot_be_is_refused(model, policy, every, message):
    config = default_config(model, policy)
    check_config(config)
    config["training"]["honesty"] = every
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_a_callback_for_a_latent_ode_is_refused():
    model = tfcnf.LatentODE(obs_dims=1, partition="none", encoder="rnn:units=2")
    with pytest.raises(ValueError, match=r"honesty is of flows.* model='latent"):
        Honesty(SPLIT, 4).set_model(model)
