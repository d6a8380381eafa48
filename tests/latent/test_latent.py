import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import logsumexp, softmax

from tfcnf import losses
from tfcnf.labels.kinds import make_labels
from tfcnf.labels.linear import ZeroLinear
from tfcnf.latent.partition import Partition
from tfcnf.latent.prior import CodePrior
from tfcnf.latent.reader import CodeReader

CLASSES = (3, 2)
PARTITION = Partition((4, 2), 5)
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 11))
Y = np.stack([RNG.integers(0, 3, 6), RNG.integers(0, 2, 6)], 1).astype(np.int32)


@pytest.fixture(scope="module")
def prior():
    prior = CodePrior(PARTITION, make_labels(CLASSES, "float64"), dtype="float64")
    for variable in prior.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape) * 0.3)
    return prior


def moments(prior, factor, k):
    """Mean and deviation of a class, from the weights by the formula."""
    layer = prior.labels[factor].q_phi
    scale = np.exp(3 * layer.log_scale.numpy())
    row = (layer.kernel.numpy()[k] + layer.bias.numpy()) * scale
    mean, log_scale = np.split(row, 2)
    return mean, np.exp(log_scale)


def class_log_prob(prior, factor, k, z):
    start = sum(PARTITION.supervised[:factor])
    code = z[:, start : start + PARTITION.supervised[factor]]
    return stats.norm.logpdf(code, *moments(prior, factor, k)).sum(1)


def rest_log_prob(z):
    return stats.norm.logpdf(z[:, 6:]).sum(1)


def test_conditional_log_prob_against_scipy(prior):
    expected = rest_log_prob(Z)
    for n, labels in enumerate(Y):
        for factor, k in enumerate(labels):
            expected[n] += class_log_prob(prior, factor, k, Z)[n]
    np.testing.assert_allclose(prior.log_prob(Z, Y), expected, rtol=1e-10)


def test_marginal_is_the_mixture_over_all_labels(prior):
    joint = [
        class_log_prob(prior, 0, i, Z) + class_log_prob(prior, 1, j, Z) - np.log(6)
        for i in range(3)
        for j in range(2)
    ]
    expected = logsumexp(joint, axis=0) + rest_log_prob(Z)
    np.testing.assert_allclose(prior.marginal_log_prob(Z), expected, rtol=1e-10)
    bound = prior.log_prob(Z, Y).numpy() - np.log(6)
    assert (prior.marginal_log_prob(Z).numpy() >= bound).all()


def test_hidden_labels_are_marginalised_factor_by_factor(prior):
    first, second = (
        np.stack([class_log_prob(prior, i, k, Z) for k in range(CLASSES[i])], 1)
        for i in range(2)
    )
    chosen = np.arange(6)
    expected = rest_log_prob(Z) + np.where(
        chosen % 2, logsumexp(first, 1) - np.log(3), first[chosen, Y[:, 0]]
    )
    expected += np.where(
        chosen < 2, logsumexp(second, 1) - np.log(2), second[chosen, Y[:, 1]]
    )
    labels = np.stack(
        [np.where(chosen % 2, -1, Y[:, 0]), np.where(chosen < 2, -1, Y[:, 1])], 1
    )
    np.testing.assert_allclose(prior.log_prob(Z, labels), expected, rtol=1e-10)


def test_class_log_probs_give_the_posterior_by_bayes(prior):
    for factor, scores in enumerate(prior.class_log_probs(tf.constant(Z))):
        expected = np.stack(
            [class_log_prob(prior, factor, k, Z) for k in range(CLASSES[factor])], 1
        )
        np.testing.assert_allclose(
            tf.nn.softmax(scores), softmax(expected, 1), rtol=1e-9
        )


def test_samples_have_the_moments_of_their_class(prior):
    labels = np.tile(np.array([[2, 1]], np.int32), (20_000, 1))
    z = prior.sample(labels, tf.constant([0, 1])).numpy()
    means = np.concatenate([moments(prior, 0, 2)[0], moments(prior, 1, 1)[0], [0] * 5])
    scales = np.concatenate([moments(prior, 0, 2)[1], moments(prior, 1, 1)[1], [1] * 5])
    np.testing.assert_allclose(z.mean(0), means, atol=0.03 * scales.max())
    np.testing.assert_allclose(z.std(0), scales, rtol=0.03)
    still = prior.sample(labels[:1], tf.constant([0, 1]), temperature=0.0)
    np.testing.assert_allclose(still[0], means, rtol=1e-6)


def test_prior_starts_as_standard_normal_for_every_class():
    prior = CodePrior(PARTITION, make_labels(CLASSES, "float64"), dtype="float64")
    expected = stats.norm.logpdf(Z).sum(1)
    np.testing.assert_allclose(prior.log_prob(Z, Y), expected, rtol=1e-12)
    np.testing.assert_allclose(prior.marginal_log_prob(Z), expected, rtol=1e-12)


def test_gradients_reach_q_phi(prior):
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(prior.marginal_log_prob(tf.constant(Z)))
    for gradient in tape.gradient(value, prior.trainable_variables):
        assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("fraction", "factors", "expected"),
    [
        (0.5, 1, Partition((32,), 32)),
        (1.0, 1, Partition((64,), 0)),
        (0.0, 1, Partition((), 64)),
        (0.5, 2, Partition((16, 16), 32)),
        (0.3, 1, Partition((19,), 45)),
    ],
)
def test_partition_sizes(fraction, factors, expected):
    partition = Partition.from_fraction(64, fraction, factors)
    assert partition == expected
    z = tf.reshape(tf.range(128.0), [2, 64])
    codes, rest = partition.split(z)
    assert [code.shape[1] for code in codes] == list(expected.supervised)
    np.testing.assert_array_equal(partition.merge(codes, rest), z)


@pytest.mark.parametrize("fraction", [-0.1, 1.5, 0.01])
def test_impossible_partitions_are_refused(fraction):
    with pytest.raises(ValueError, match=r"supervised_fraction.*Received: "):
        Partition.from_fraction(64, fraction, 1)


def test_classifier_starts_uniform_and_each_factor_reads_its_own_code():
    reader = CodeReader(PARTITION, make_labels(CLASSES, "float64"), dtype="float64")
    first, second = reader.losses(reader.codes(tf.constant(Z)), Y)
    np.testing.assert_allclose(first, np.log(3), rtol=1e-12)
    np.testing.assert_allclose(second, np.log(2), rtol=1e-12)
    for variable in reader.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape))
    moved = Z.copy()
    moved[:, :4] += 1.0  # the code of the first factor
    before, after = reader.logits(tf.constant(Z)), reader.logits(tf.constant(moved))
    assert (before[0].numpy() != after[0].numpy()).any()
    np.testing.assert_array_equal(before[1], after[1])


def test_dropout_acts_in_training_only_and_keeps_the_mean():
    partition = Partition((2000,), 0)
    reader = CodeReader(partition, make_labels(2), dropout=0.5, seed=0)
    z = tf.ones([1, 2000])
    np.testing.assert_array_equal(reader.codes(z)[0], z)
    draws = [reader.codes(z, training=True)[0].numpy() for _ in range(2)]
    assert (draws[0] != draws[1]).any()
    assert np.mean(draws) == pytest.approx(1, rel=0.05)
    with pytest.raises(ValueError, match="dropout"):
        CodeReader(partition, make_labels(2), dropout=1.0)


def test_zero_linear_formula():
    layer = ZeroLinear(2, dtype="float64")
    layer.build((None, 3))
    x = RNG.normal(size=(4, 3))
    assert not layer(x).numpy().any()
    weights = [RNG.normal(size=v.shape) for v in layer.trainable_variables]
    layer.set_weights(weights)
    expected = (x @ weights[0] + weights[1]) * np.exp(3 * weights[2])
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12)


def test_bits_per_dim_of_a_uniform_density():
    # density 1 on [0, 1]^D spreads evenly over the levels: log2(levels) bits
    bits = losses.bits_per_dim(tf.zeros([3]), 64, 256)
    np.testing.assert_allclose(bits, 8.0)
    half = tf.fill([2], 64 * np.log(2.0))  # density 2 a dimension: one bit less
    np.testing.assert_allclose(losses.bits_per_dim(half, 64, 256), 7.0, rtol=1e-6)
