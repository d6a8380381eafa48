"""Every policy keeps the contract ``policy(features, sample) -> (tol, log_pi)``."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfcnf.tolerances.adapted import AdaptedTolerance
from tfcnf.tolerances.fixed import FixedTolerance
from tfcnf.tolerances.network import GateNetwork
from tfcnf.tolerances.policy import TolerancePolicy, build_policies, policy_options
from tfcnf.tolerances.sampled import LearnedTolerance, RandomTolerance
from tfcnf.tolerances.scheduled import ScheduledTolerance

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 8, 8, 2)).astype(np.float32)
VECTORS = RNG.normal(size=(6, 3)).astype(np.float32)
FEATURES = {"images": IMAGES, "vectors": VECTORS}
MAKE = {
    "fixed": lambda: FixedTolerance(1e-4),
    "scheduled": lambda: ScheduledTolerance(1e-4, (0, 3), (10.0, 1.0)),
    "adapted": lambda: AdaptedTolerance(1e-4),
    "random": lambda: RandomTolerance(1e-3, seed=1),
    "random, linear": lambda: RandomTolerance(
        5e-5, 1e-5, high=1e-4, spread=0.2, log_scale=False, seed=1
    ),
    "learned": lambda: LearnedTolerance(1e-3, seed=1),
    "learned, linear": lambda: LearnedTolerance(
        5e-5, 1e-5, high=1e-4, spread=0.2, log_scale=False, seed=1
    ),
}


@pytest.fixture(params=MAKE)
def policy(request):
    return MAKE[request.param]()


@pytest.mark.parametrize("sample", [False, True])
def test_a_policy_gives_a_tolerance_and_a_density(policy, sample):
    tol, log_pi = policy(IMAGES, sample=sample)
    assert tol.shape == log_pi.shape == ()
    assert tol.dtype == log_pi.dtype == tf.float32
    assert float(tol) > 0
    sampled = sample and policy.samples
    assert (float(log_pi) != 0) == sampled


def test_a_policy_is_rebuilt_from_its_config(policy):
    config = keras.saving.serialize_keras_object(policy)
    twin = keras.saving.deserialize_keras_object(config)
    policy(VECTORS), twin(VECTORS)
    twin.set_weights(policy.get_weights())
    assert twin.get_config() == policy.get_config()
    assert float(twin(VECTORS)[0]) == float(policy(VECTORS)[0])


def test_a_scheduled_tolerance_follows_the_epoch():
    policy, tols = ScheduledTolerance(1e-4, (0, 3, 5), (10.0, 1.0, 0.1)), []
    for epoch in range(7):
        policy.epoch.assign(epoch)
        tols.append(float(policy(VECTORS)[0]))
    assert tols == pytest.approx([1e-3] * 3 + [1e-4] * 2 + [1e-5] * 2)


def test_an_adapted_tolerance_follows_honesty_within_its_bounds():
    policy = AdaptedTolerance(1e-3, 0.01, up=2.0, down=0.5, low=4e-4, high=3e-3)
    told = [0.01, 0.0, 0.02, np.nan, np.inf, 0.02]
    expected = [2e-3, 3e-3, 1.5e-3, 7.5e-4, 4e-4, 4e-4]
    for honesty, tol in zip(told, expected, strict=True):
        policy.hear(honesty)
        assert float(policy(VECTORS)[0]) == pytest.approx(tol, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tol": 1.0}, "between the bounds"),
        ({"up": 0.9}, "either side of 1"),
        ({"limit": 0.0}, "limit must be positive"),
    ],
)
def test_bad_options_of_an_adapted_tolerance_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptedTolerance(**options)


# sampled tolerances


@pytest.mark.parametrize("kind", ["random", "learned"])
@pytest.mark.parametrize("scale", ["", ", linear"])
def test_samples_are_gaussian_with_the_density_told(kind, scale):
    policy = MAKE[kind + scale]()
    mean_tol = 5e-5 if scale else 1e-3
    assert float(policy(IMAGES)[0]) == pytest.approx(mean_tol, rel=1e-5)
    low, high = (1e-5, 1e-4) if scale else (-6, -1)
    mean = 5e-5 if scale else -3
    deviation = (0.2 if scale else 0.1) * (high - low)

    @tf.function(autograph=False)
    def draw(seeds):
        return tf.map_fn(
            lambda seed: tf.stack(policy(IMAGES, sample=True, seed=seed)),
            seeds,
            fn_output_signature=tf.float32,
        )

    tols, log_pi = draw(tf.random.uniform([1000, 2], 0, 2**30, tf.int32, 3)).numpy().T
    v = tols.astype(float) if scale else np.log10(tols.astype(float))
    inside = (v > low + 1e-3 * (high - low)) & (v < high - 1e-3 * (high - low))
    assert inside.mean() > 0.95
    assert v.min() >= low * (1 - 1e-5 * np.sign(low))
    assert v.max() <= high * (1 + 1e-5 * np.sign(high))
    exact = scipy.stats.norm(mean, deviation)
    np.testing.assert_allclose(log_pi[inside], exact.logpdf(v[inside]), atol=2e-3)
    center, width = np.median(v), np.subtract(*np.percentile(v, [75, 25]))
    assert center == pytest.approx(mean, abs=5 * 1.25 * deviation / 1000**0.5)
    assert width == pytest.approx(1.349 * deviation, rel=0.15)


def test_a_seed_fixes_the_sample_and_no_seed_draws_a_new_one():
    policy = LearnedTolerance(1e-3, seed=1)
    seed = tf.constant([3, 4])
    first, second = (policy(IMAGES, sample=True, seed=seed)[0] for _ in range(2))
    assert float(first) == float(second)
    first, second = (policy(IMAGES, sample=True)[0] for _ in range(2))
    assert float(first) != float(second)


def test_the_control_is_the_distribution_that_learning_starts_with():
    control, gate = RandomTolerance(1e-4, seed=7), LearnedTolerance(1e-4, seed=7)
    seed = tf.constant([1, 2])
    for features in FEATURES.values():
        expected = control(features, sample=True, seed=seed)
        gate = LearnedTolerance(1e-4, seed=7)
        np.testing.assert_allclose(
            gate(features, sample=True, seed=seed), expected, rtol=1e-4
        )


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("log_scale", [True, False])
def test_gradients_reach_mean_and_scale_but_not_the_features(kind, log_scale):
    policy = LearnedTolerance(
        1e-3, 1e-4, high=1e-2, spread=0.1, log_scale=log_scale, seed=1
    )
    features = tf.constant(FEATURES[kind])
    policy.build(features.shape)
    kernel = policy.network.head.kernel
    kernel.assign(tf.random.stateless_normal(kernel.shape, [0, 1]))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        tol, log_pi = policy(features, sample=True)
    gradients = tape.gradient(log_pi, policy.trainable_variables)
    assert all(np.abs(g).max() > 0 for g in gradients)
    bias = tape.gradient(log_pi, policy.network.head.bias)
    assert (np.abs(bias) > 0).all()  # of the mean and of the scale
    assert tape.gradient(log_pi, features) is None
    assert tape.gradient(tol, policy.trainable_variables[0]) is None


@pytest.mark.parametrize("kind", FEATURES)
def test_the_network_averages_over_examples(kind):
    network, x = GateNetwork(seed=0), FEATURES[kind]
    network.build(x.shape)
    network.head.kernel.assign(RNG.normal(size=(10, 2)))
    each = np.stack([network(x[i : i + 1]) for i in range(len(x))])
    assert np.ptp(each, axis=0).min() > 0.01
    np.testing.assert_allclose(network(np.repeat(x, 2, 0)), network(x), rtol=1e-5)
    pooled = tf.constant(x)
    for layer in network.hidden:
        pooled = layer(pooled)
    mean = pooled.numpy().mean(0)
    expected = mean / (1 + np.abs(mean).sum()) @ network.head.kernel.numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-5)


# from keywords


def test_the_first_layer_of_a_stack_is_strict():
    options = {
        "first_factor": 0.1,
        "adjoint_first_factor": 0.01,
        "epochs": (0, 2),
        "factors": (1.0, 3.0),
        "adjoint_factors": (1.0, 5.0),
    }
    tols = {}
    for first in (True, False):
        pair = build_policies(
            "scheduled",
            options,
            first=first,
            tol=1e-3,
            adjoint_tol=1e-2,
            seed=0,
            dtype="float32",
        )
        for policy in pair:
            policy.epoch.assign(2)
        tols[first] = [float(policy(VECTORS)[0]) for policy in pair]
    assert tols[True] == pytest.approx([3e-4, 5e-4])
    assert tols[False] == pytest.approx([3e-3, 5e-2])


@pytest.mark.parametrize("policy", TolerancePolicy.known)
def test_options_of_each_policy_have_defaults(policy):
    forward, backward = build_policies(
        policy,
        policy_options(policy),
        first=True,
        tol=1e-3,
        adjoint_tol=None,
        seed=0,
        dtype="float32",
    )
    assert float(forward(VECTORS)[0]) > 0
    assert (backward is not None) == (policy == "scheduled")
    _, backward = build_policies(
        policy, None, first=False, tol=1e-3, adjoint_tol=1e-4, seed=0, dtype="float32"
    )
    assert float(backward(VECTORS)[0]) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ScheduledTolerance(1e-4, (1,), (1.0,)), "epochs must increase from 0"),
        (lambda: ScheduledTolerance(1e-4, (0, 2, 2), (1.0,) * 3), "epochs must"),
        (lambda: ScheduledTolerance(1e-4, (0, 2), (1.0,)), "factors must be as many"),
        (lambda: ScheduledTolerance(1e-4, (0,), (0.0,)), "factors must be positive"),
        (
            lambda: RandomTolerance(1e-1, 1e-6, high=1e-1),
            "bounds must be on either side",
        ),
        (lambda: LearnedTolerance(1e-7), "bounds must be on either side"),
        (lambda: LearnedTolerance(1e-3, low=0.0), "low must be positive"),
        (lambda: LearnedTolerance(1e-3, spread=0.5), "spread must be between"),
        (lambda: LearnedTolerance(1e-3, width=0), "width must be a positive"),
        (
            lambda: build_policies(
                "learnt",
                None,
                first=True,
                tol=1e-3,
                adjoint_tol=None,
                seed=0,
                dtype=None,
            ),
            "policy must be one of adapted, fixed, random, learned, scheduled",
        ),
        (
            lambda: build_policies(
                "random",
                {"width": 3},
                first=True,
                tol=1e-3,
                adjoint_tol=None,
                seed=0,
                dtype=None,
            ),
            "options of policy='random' are low, high, spread, log_scale",
        ),
        (
            lambda: build_policies(
                "fixed",
                {"low": 3},
                first=True,
                tol=1e-3,
                adjoint_tol=None,
                seed=0,
                dtype=None,
            ),
            "options of policy='fixed' are none",
        ),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=rf"{words}[\s\S]*Received: "):
        make()
