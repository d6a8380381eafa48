"""Half precision within the dynamics, and float32 around them."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CNF, CNFLayer, DenseDynamics, Dynamics
from tfcnf.ode import fields
from tfcnf.precision import tell_of_noise

X = np.random.default_rng(0).normal(size=[8, 2]).astype(np.float32)
OPTIONS = {"flows_per_block": 1, "filters": 8, "hidden_layers": 2, "seed": 0}


def make(policy):
    return CNF((2,), dtype=policy, tol=1e-2, **OPTIONS)


@pytest.fixture
def computed(monkeypatch):
    """The dtypes that the linear maps were computed in."""
    found = []

    def matmul(a, b):
        found.append(a.dtype.name)
        return tf.linalg.matmul(a, b)

    monkeypatch.setattr(fields.tf, "matmul", matmul)
    return found


def test_the_maps_between_hidden_layers_alone_are_rounded(computed):
    dynamics = DenseDynamics((8, 8), seed=1, dtype="mixed_bfloat16")
    dynamics.build((None, 2))
    field, theta = dynamics.prepare()
    assert {x.dtype for x in theta} == {tf.float32}
    dz = field.value(theta, tf.constant(0.3), tf.constant(X))
    assert computed == ["float32", "bfloat16", "float32"]
    assert dz.dtype == tf.float32
    exact = field._replace(half="").value(theta, tf.constant(0.3), tf.constant(X))
    assert 0 < np.abs(dz - exact).max() < 2.0**-8 * 8


@pytest.mark.parametrize(
    "policy",
    ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)],
)
def test_models_train_and_keep_their_policy(policy, tmp_path):
    model, full = make(policy), make("float32")
    nats, expected = model.log_prob(X).numpy(), full.log_prob(X).numpy()
    assert nats.dtype == np.float32
    np.testing.assert_allclose(nats, expected, atol=0.05)
    assert (nats != expected).any()
    assert {w.dtype for w in model.weights} == {"float32"}
    for each in (model, full):
        each.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        each.fit(X, epochs=1, batch_size=8, verbose=0)
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    for half, other in zip(model.get_weights(), full.get_weights(), strict=True):
        np.testing.assert_allclose(half, other, atol=5e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == policy
    np.testing.assert_array_equal(loaded.log_prob(X), model.log_prob(X))


def test_a_scaled_step_that_is_not_finite_is_left_out():
    model = make("mixed_float16")
    inner = keras.optimizers.SGD(0.1)
    model.compile(keras.optimizers.LossScaleOptimizer(inner), run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    part, decision = model.differentiate((X,))
    scale = float(model.optimizer.dynamic_scale)
    plain = make("float32")
    plain.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    expected, _ = plain.differentiate((X,))
    for ours, theirs in zip(part.gradients, expected.gradients, strict=True):
        np.testing.assert_allclose(ours / scale, theirs, atol=2e-2)
    before = model.get_weights()
    spoilt = [g * np.inf for g in part.gradients]
    model.apply(part._replace(gradients=spoilt), decision)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert float(model.optimizer.dynamic_scale) == scale / 2


class Own(Dynamics):
    """Layers, time and state mixed, as a user writes them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.map = keras.layers.Dense(2)

    def call(self, t, z):
        return self.map(tf.tanh(z)) * t - z


def test_a_global_policy_reaches_dynamics_of_your_own():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = CNFLayer(Own(), trace="exact")
    finally:
        keras.config.set_dtype_policy("float32")
    out = layer(X[:3])
    assert out.z.dtype == out.log_det.dtype == tf.float32
    assert layer.dynamics.map.compute_dtype == "bfloat16"
    assert layer.compute_dtype == layer.policy.compute_dtype == "float32"


def test_a_state_in_half_precision_is_refused_and_noise_is_told_once():
    for policy in ("float16", "bfloat16"):
        with pytest.raises(ValueError, match=f"Received: dtype='{policy}'"):
            make(policy)
    tell_of_noise.cache_clear()
    with pytest.warns(UserWarning, match=r"below a tolerance of 0\.001"):
        CNF((2,), dtype="mixed_bfloat16", tol=1e-4, **OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CNF((2,), dtype="mixed_bfloat16", tol=1e-4, **OPTIONS)


@pytest.mark.parametrize("policy", ["mixed_float16", "float32"])
def test_gradients_of_a_scaled_loss_may_overflow(policy):
    model, optimizer = make(policy), keras.optimizers.SGD(0.1)
    gradients = [tf.fill(w.shape, np.inf) for w in model.flow_weights]
    if policy == "mixed_float16":
        model.compile(keras.optimizers.LossScaleOptimizer(optimizer))
        model.require_finite(gradients)
        return
    model.compile(optimizer)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
        model.require_finite(gradients)
