"""Failures of a graph become the errors that they name."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.series import make_series
from tfcnf.labels.real import Real
from tfcnf.models.failures import named_failures, tell_once
from tfcnf.models.finite import DivergenceError
from tfcnf.models.infocnf import InfoCNF
from tfcnf.models.latent_ode import LatentODE
from tfcnf.ode.status import SolverError


@tf.function(autograph=False)
def fail(text):
    with tf.control_dependencies([tf.debugging.Assert(tf.size(text) < 0, [text])]):
        return tf.constant(0)


@pytest.mark.parametrize("error", [SolverError, DivergenceError, ValueError])
def test_a_named_failure_becomes_its_error(error):
    call = named_failures()(fail)
    with pytest.raises(error, match=r"^cnf_0: too stiff$"):
        call(tf.constant(f"{error.__name__}: cnf_0: too stiff"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="KeyError: x"):
        call(tf.constant("KeyError: x"))


def test_the_name_of_the_operation_is_not_of_the_message():
    with pytest.raises(ValueError, match=r"^Received: y=\[3\]$"), named_failures():
        tf.raw_ops.Assert(condition=False, data=["ValueError: Received: y=", [[3]]])


def test_a_failed_solve_is_told_once_and_replaced(caplog):
    tell = tell_once("it failed")
    for _ in range(3):
        found = tell(lambda: fail(tf.constant("SolverError: cnf_0: stiff")), {"a": 1})
        assert found == {"a": 1}
    assert tell(lambda: 2, None) == 2
    assert caplog.text.count("it failed (said once): cnf_0: stiff") == 1
    with pytest.raises(ValueError, match="labels must be"):
        tell(lambda: fail(tf.constant("ValueError: labels must be in 0..9")), {})


# every way into a solve

X, Y = np.array([[0.3, -0.2], [1.0, 2.0]], np.float32), np.array([0, 1])
SERIES = make_series(np.ones([2, 4, 1]), np.arange(4.0))
AMOUNTS = np.ones([2, 1], np.float32)
STIFF = {"solver": "dopri5:max_num_steps=1", "tol": 1e-7, "seed": 0}


@pytest.fixture(scope="module")
def flow():
    small = {"filters": 2, "hidden_layers": 1, "flows_per_block": 1}
    model = InfoCNF((2,), 2, **small, **STIFF)
    model.compile("sgd")
    return model


@pytest.fixture(scope="module")
def curves():
    small = {"encoder": "rnn:units=2", "dynamics": "mlp:units=(2,)", "decoder_units": 2}
    model = LatentODE(1, [Real(1)], latent_dims=2, **small, **STIFF)
    model.compile("sgd")
    return model


FLOW = {
    "call": lambda m: m(X),
    "log_prob": lambda m: m.log_prob(X, Y),
    "log_prob in batches": lambda m: m.log_prob(X, Y, batch_size=1),
    "marginal_log_prob": lambda m: m.marginal_log_prob(X),
    "classify": lambda m: m.classify(X),
    "predict_labels": lambda m: m.predict_labels(X),
    "encode": lambda m: m.encode(X),
    "decode": lambda m: m.decode(X),
    "sample": lambda m: m.sample(Y),
    "trajectory": lambda m: m.trajectory(X, [1.0]),
    "trajectory back": lambda m: m.trajectory(X, [0.0], inverse=True),
    "distribution.log_prob": lambda m: m.distribution(Y).log_prob(X),
    "distribution.prob": lambda m: m.distribution(Y).prob(X),
    "distribution.sample": lambda m: m.distribution(Y).sample(seed=0),
    "sample_and_log_prob": lambda m: m.distribution(Y).experimental_sample_and_log_prob(
        seed=0
    ),
    "bijector.forward": lambda m: m.distribution().bijector.forward(X),
    "bijector.inverse": lambda m: m.distribution().bijector.inverse(X),
    "forward_log_det_jacobian": lambda m: (
        m.distribution().bijector.forward_log_det_jacobian(X)
    ),
    "inverse_log_det_jacobian": lambda m: (
        m.distribution().bijector.inverse_log_det_jacobian(X)
    ),
}
KERAS = {
    "fit": lambda m, x, y: m.fit(x, y, verbose=0),
    "evaluate": lambda m, x, y: m.evaluate(x, y, verbose=0),
    "predict": lambda m, x, y: m.predict(x, verbose=0),
    "train_on_batch": lambda m, x, y: m.train_on_batch(x, y),
    "test_on_batch": lambda m, x, y: m.test_on_batch(x, y),
    "predict_on_batch": lambda m, x, y: m.predict_on_batch(x),
    "test_step": lambda m, x, y: m.test_step((x, y)),
}
CURVES = {
    "call": lambda m: m(SERIES),
    "decode": lambda m: m.decode(X, [0.5, -1.0]),
    "evaluate": lambda m: KERAS["evaluate"](m, SERIES, AMOUNTS),
    "predict": lambda m: KERAS["predict"](m, SERIES, AMOUNTS),
    "test_step": lambda m: KERAS["test_step"](m, SERIES, AMOUNTS),
}


def fails_by_its_solve(call, *given):
    with pytest.raises(SolverError, match=r"^[^\n]*the step limit was reached[^\n]*$"):
        call(*given)


@pytest.mark.parametrize("name", FLOW)
def test_a_failed_solve_of_a_flow_is_named(name, flow):
    fails_by_its_solve(FLOW[name], flow)


@pytest.mark.parametrize("name", KERAS)
def test_a_failed_solve_within_keras_is_named(name, flow):
    fails_by_its_solve(KERAS[name], flow, X, Y)


@pytest.mark.parametrize("name", CURVES)
def test_a_failed_solve_of_a_latent_ode_is_named(name, curves):
    fails_by_its_solve(CURVES[name], curves)


def test_methods_keep_their_signatures_and_subclasses_name_theirs(flow):
    class Mine(InfoCNF):
        def half(self, x):
            """Half."""
            return self(x)

    assert Mine.half.__doc__ == "Half."
    mine = Mine.from_config(flow.get_config())
    fails_by_its_solve(mine.half, X)
    assert str(inspect.signature(mine.half)) == "(x)"
