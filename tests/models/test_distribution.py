import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf import CNF, InfoCNF

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = (4, 4, 1)
SMALL = {
    "num_levels": 17,
    "filters": 3,
    "hidden_layers": 1,
    "flows_per_block": 1,
    "alpha": 0.05,
    "tol": 1e-5,
    "trace": "exact",
}
RNG = np.random.default_rng(0)
U = RNG.random((3, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    made = InfoCNF(SHAPE, 3, seed=0, **SMALL)
    for weight in made.trainable_variables:  # away from where it starts
        weight.assign(weight + 0.1 * RNG.standard_normal(weight.shape))
    return made


def test_log_prob_is_the_models(model):
    y = np.array([0, 1, 2])
    distribution = model.distribution(y)
    assert isinstance(distribution, tfd.Distribution)
    assert distribution.batch_shape == [3]
    assert distribution.event_shape == SHAPE
    assert distribution.dtype == tf.float32
    np.testing.assert_allclose(
        distribution.log_prob(U), model.log_prob(U, y), rtol=1e-5
    )
    one = model.distribution(1)
    assert one.batch_shape == []
    np.testing.assert_allclose(one.log_prob(U), model.log_prob(U, [1] * 3), rtol=1e-5)


def test_without_labels_it_is_the_marginal(model):
    marginal = model.distribution()
    assert (marginal.batch_shape, marginal.event_shape) == ([], SHAPE)
    nats = marginal.log_prob(U)
    np.testing.assert_allclose(nats, model.marginal_log_prob(U), rtol=1e-5)
    assert marginal.sample(5, seed=0).shape == (5, *SHAPE)
    alone = CNF(SHAPE, seed=0, **SMALL)
    expected = alone.log_prob(U)
    for y in (None, [0, 1, 2]):
        np.testing.assert_allclose(
            alone.distribution(y).log_prob(U), expected, rtol=1e-5
        )


def test_shapes_broadcast_as_in_tfp(model):
    distribution = model.distribution([0, 1])
    samples = distribution.sample([4, 3], seed=[0, 1])
    assert samples.shape == (4, 3, 2, *SHAPE)
    assert distribution.log_prob(samples).shape == (4, 3, 2)
    np.testing.assert_array_equal(samples, distribution.sample([4, 3], seed=[0, 1]))
    assert (samples.numpy() != distribution.sample([4, 3], seed=[0, 2]).numpy()).any()
    one = distribution.sample(seed=0)  # of each label
    np.testing.assert_array_equal(one, distribution.sample([], seed=0))
    assert one.shape == distribution.batch_shape + SHAPE
    several = InfoCNF(SHAPE, (3, 2), seed=0, **SMALL)
    assert several.distribution([1, 0]).batch_shape == []
    assert several.distribution([[1, 0]] * 5).batch_shape == [5]


def test_samples_come_with_their_log_probs(model):
    distribution = model.distribution([2])
    x, nats = distribution.experimental_sample_and_log_prob(6, seed=3)
    np.testing.assert_allclose(nats, distribution.log_prob(x), atol=2e-3)


def test_the_bijector_inverts_and_knows_its_volume(model):
    bijector = model.distribution(0).bijector
    assert isinstance(bijector, tfb.Bijector)
    z = bijector.inverse(U)
    np.testing.assert_allclose(z, model.encode(U), atol=1e-6)
    np.testing.assert_allclose(bijector.forward(tf.identity(z)), U, atol=1e-4)
    inverse = bijector.inverse_log_det_jacobian(U)
    forward = bijector.forward_log_det_jacobian(tf.identity(z))
    np.testing.assert_allclose(forward, -inverse, atol=2e-3)
    # against autodiff through the solve, a copy of the example for each row
    x = tf.repeat(U[:1], 16, 0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        diagonal = tf.linalg.trace(bijector.inverse(x))
    _, log_det = np.linalg.slogdet(tf.reshape(tape.gradient(diagonal, x), [16, 16]))
    assert log_det == pytest.approx(float(inverse[0]), abs=5e-3)
    assert bijector.forward_event_shape([16]) == SHAPE
    assert bijector.inverse_event_shape([2, *SHAPE]) == [2, 16]
    np.testing.assert_array_equal(
        bijector.forward_event_shape_tensor([5, 16]), [5, *SHAPE]
    )


def test_it_composes_with_tfp(model):
    each = tfd.Independent(model.distribution([0, 1, 2]), 1)
    nats = model.log_prob(U, [0, 1, 2])
    np.testing.assert_allclose(each.log_prob(U), np.sum(nats), rtol=1e-5)
    shifted = tfd.TransformedDistribution(model.distribution(1), tfb.Scale(255.0))
    np.testing.assert_allclose(
        shifted.log_prob(255 * U),
        model.log_prob(U, [1] * 3) - 16 * np.log(255),
        rtol=1e-4,
    )
    joint = tfd.JointDistributionSequential(
        [
            tfd.Categorical(probs=[0.5, 0.3, 0.2]),
            lambda y: model.distribution(y),
        ]
    )
    y, x = joint.sample(4, seed=0)
    assert (y.shape, x.shape) == ((4,), (4, *SHAPE))
    u = np.clip(x, 0.0, 1.0)  # some density lies a little outside of the pixels' range
    expected = np.log([0.5, 0.3, 0.2])[y] + model.log_prob(u, y)
    np.testing.assert_allclose(joint.log_prob(y, u), expected, rtol=1e-4)
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[1 / 3] * 3), model.distribution([0, 1, 2])
    )
    np.testing.assert_allclose(
        mixture.log_prob(U), model.marginal_log_prob(U), rtol=1e-4
    )
    half = model.distribution([0, 1, 2])[1:]
    np.testing.assert_allclose(half.log_prob(U[1:]), nats[1:], atol=2e-3)


def test_gradients_reach_examples_and_weights(model):
    distribution = model.distribution([0, 1, 2])
    x = tf.constant(U)
    weights = distribution.trainable_variables
    assert len(weights) == len(model.flow.trainable_variables)
    with tf.GradientTape() as tape:
        tape.watch(x)
        nats = tf.reduce_sum(distribution.log_prob(x))
    dx, *dweights = tape.gradient(nats, [x, *weights])
    assert all(np.abs(g).max() > 0 for g in [dx, *dweights])
    step = np.zeros_like(U)
    step[1, 2, 2] = 1e-2
    ends = [np.sum(distribution.log_prob(U + s * step)) for s in (1, -1)]
    slope = (ends[0] - ends[1]) / 2e-2
    assert slope == pytest.approx(float(dx[1, 2, 2, 0]), rel=0.05, abs=0.05)


@pytest.mark.parametrize("y", [3, [0, 3], -1])
def test_a_label_out_of_range_is_refused(y, model):
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2. Received: y="):
        model.distribution(y)


def test_weights_serve_any_batch_size_and_tolerance(model, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    loose = InfoCNF(
        SHAPE,
        3,
        seed=1,
        **(SMALL | {"tol": 1e-2, "trace": "hutchinson:noise=gaussian"}),
    )
    loose.load_weights(tmp_path / "model.weights.h5")
    u = RNG.random((9, *SHAPE)).astype(np.float32)
    y = RNG.integers(0, 3, 9)
    expected = model.log_prob(u, y).numpy()
    found = loose.log_prob(u, y, tol=1e-5, exact=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    for size in (1, 4):  # one step size a batch: equal up to the tolerance
        alone = loose.log_prob(u[:size], y[:size], tol=1e-5, exact=True)
        np.testing.assert_allclose(alone, expected[:size], atol=2e-3)
    samples = [m.sample(y, seed=4, tol=1e-5) for m in (model, loose)]
    np.testing.assert_allclose(*samples, atol=1e-5)
