"""One domain for both directions, empty batches, and batches of any size."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf import CCNF, InfoCNF
from tfcnf.flows.base import Chain
from tfcnf.flows.dequantize import Dequantize
from tfcnf.flows.multiscale import build_multiscale
from tfcnf.flows.reshape import Squeeze
from tfcnf.types import Control

SHAPE = (4, 4, 1)
MARGIN = 0.05 / 0.9
RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 17, (7, *SHAPE)).astype(np.uint8)
U = RNG.random((7, *SHAPE)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2, 0])
SPOILT = U.copy()
SPOILT[1, 0, 0] = 1 + MARGIN + 1e-3
SPOILT[3, 1, 2] = -1.0
OTHERS = [0, 2, 4, 5, 6]


def away_from_the_start(model):
    for weight in model.prior.weights + model.reader.weights:
        weight.assign(0.3 * np.random.default_rng(1).standard_normal(weight.shape))
    return model


@pytest.fixture(scope="module")
def images():
    """A model whose flow has no solve."""
    flow = Chain([Dequantize(17, 0.05), build_multiscale(SHAPE, Squeeze, 1, 1)])
    return away_from_the_start(InfoCNF(SHAPE, 3, num_levels=17, flow=flow, seed=0))


@pytest.fixture(scope="module")
def solved():
    options = {"filters": 4, "hidden_layers": 1, "flows_per_block": 1, "tol": 1e-5}
    return away_from_the_start(InfoCNF((2,), 2, seed=0, **options))


def test_what_the_model_draws_it_takes_back(images):
    x = images.sample(np.repeat([0, 1, 2], 100), seed=0, temperature=5.0)
    assert x.numpy().min() < -0.05
    assert x.numpy().max() > 1.05
    y = np.repeat([0, 1, 2], 100)
    for answer in (
        images.log_prob(x, y),
        images.marginal_log_prob(x),
        images.classify(x),
        images.encode(x),
        images.distribution(y).log_prob(x),
        images.classify(images.decode(images.encode(x))),
    ):
        assert np.isfinite(answer).all()


def test_outside_the_support_a_density_is_0_for_that_example_alone(images):
    for found, good in [
        (images.log_prob(SPOILT, Y), images.log_prob(U, Y)),
        (images.marginal_log_prob(SPOILT), images.marginal_log_prob(U)),
        (images.distribution(Y).log_prob(SPOILT), images.log_prob(U, Y)),
        (tf.function(images.log_prob)(SPOILT, Y), images.log_prob(U, Y)),
    ]:
        np.testing.assert_array_equal(found.numpy()[[1, 3]], [-np.inf] * 2)
        np.testing.assert_allclose(found.numpy()[OTHERS], good.numpy()[OTHERS], 1e-5)
    bijector = images.distribution().bijector
    for ask in (images.encode, images.classify, bijector.inverse):
        found, good = ask(SPOILT).numpy(), ask(U).numpy()
        assert np.isnan(found[[1, 3]]).all()
        np.testing.assert_array_equal(found[OTHERS], good[OTHERS])
    back = images.decode(images.encode(SPOILT)).numpy()
    assert np.isnan(back[[1, 3]]).all()
    np.testing.assert_allclose(back[OTHERS], U[OTHERS], atol=1e-5)


def test_what_is_not_finite_spoils_no_other(solved):
    x = np.float32([[0, 1], [np.inf, 0], [0, np.nan], [1, 1]])
    nats = solved.distribution(1, exact=True).log_prob(x).numpy()
    assert nats[1] == -np.inf
    assert np.isnan(nats[2])
    good = solved.log_prob(x[[0, 3]], [1, 1], exact=True)
    np.testing.assert_allclose(nats[[0, 3]], good, atol=1e-3)
    with pytest.raises(ValueError, match="finite"):
        solved.log_prob(x, [1] * 4)
    back = solved.decode([[0.0, 1.0], [np.nan, 0.0]]).numpy()
    assert np.isfinite(back[0]).all()
    assert np.isnan(back[1]).all()


def test_a_markov_chain_over_images_survives_the_ends(images):
    target = images.distribution(1)
    kernel = tfp.mcmc.HamiltonianMonteCarlo(target.log_prob, 0.1, 3)

    @tf.function(autograph=False)
    def run():
        return tfp.mcmc.sample_chain(
            30, U[:4], kernel=kernel, seed=[0, 1], trace_fn=lambda _, r: r.is_accepted
        )

    states, accepted = run()
    assert np.isfinite(target.log_prob(states)).all()
    assert 0 < np.mean(accepted) < 1


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("x", [LEVELS, U], ids=["levels", "floats"])
def test_nothing_is_answered_with_nothing(x, batch_size, images):
    ask = {"batch_size": batch_size}
    assert images.log_prob(x[:0], Y[:0], **ask).shape == (0,)
    assert images.marginal_log_prob(x[:0], **ask).shape == (0,)
    for posterior in ("discriminative", "generative"):
        assert images.classify(x[:0], posterior, **ask).shape == (0, 3)
    assert images.encode(x[:0], **ask).shape == (0, 16)
    assert images.decode(np.zeros([0, 16], np.float32), **ask).shape == (0, *SHAPE)
    for y in ([], Y[:0]):
        assert images.sample(y, **ask).shape == (0, *SHAPE)


def test_a_solve_of_nothing_is_nothing(solved):
    x, y = np.zeros([0, 2], np.float32), np.zeros([0], np.int32)
    assert solved.log_prob(x, y).shape == (0,)
    assert solved.distribution([]).log_prob(x).shape == (0,)
    assert solved.distribution([]).sample(3, seed=0).shape == (3, 0, 2)
    assert solved.distribution(1).sample(0, seed=0).shape == (0, 2)
    assert solved.distribution().sample(0, seed=0).shape == (0, 2)
    several = CCNF((2,), [3, 2], flow=solved.flow)
    assert several.sample([]).shape == (0, 2)


def test_batches_give_what_all_at_once_give(images, solved):
    x = RNG.standard_normal((7, 2)).astype(np.float32)
    asked = [
        (images.log_prob, (LEVELS, Y), 0),
        (images.marginal_log_prob, (LEVELS,), 0),
        (images.classify, (LEVELS,), 0),
        (images.encode, (LEVELS,), 0),
        (images.sample, (Y,), 0),
        (images.decode, (images.encode(U),), 0),
        (solved.log_prob, (x, Y % 2), 1e-3),  # the noise of the trace, too
        (solved.sample, (Y % 2,), 1e-3),
    ]
    for ask, inputs, atol in asked:
        expected = ask(*inputs).numpy()
        for size in (3, 7, 100):
            found = ask(*inputs, batch_size=size)
            np.testing.assert_allclose(found, expected, atol=atol + 1e-6, rtol=1e-6)


def test_batches_are_cut_in_graphs_too(images):
    signature = [
        tf.TensorSpec([None, *SHAPE], tf.uint8),
        tf.TensorSpec([None], tf.int32),
    ]
    graph = tf.function(
        lambda x, y: images.log_prob(x, y, batch_size=3), input_signature=signature
    )
    np.testing.assert_allclose(graph(LEVELS, Y), images.log_prob(LEVELS, Y), rtol=1e-6)
    factors = InfoCNF(SHAPE, (3, 2), num_levels=17, flow=images.flow)
    first, second = factors.classify(U, batch_size=4)
    assert (first.shape, second.shape) == ((7, 3), (7, 2))


def test_only_a_batch_is_read_at_a_time(images):
    class Rows:
        shape = LEVELS.shape
        read: list[int] = []

        def __getitem__(self, part):
            self.read.append(len(LEVELS[part]))
            return LEVELS[part]

    rows = Rows()
    expected = images.encode(LEVELS)
    np.testing.assert_allclose(images.encode(rows, batch_size=3), expected, rtol=1e-6)
    assert rows.read == [3, 3, 1]


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "3"])
def test_a_batch_size_is_a_positive_integer(batch_size, images):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        images.encode(U, batch_size=batch_size)


def test_labels_of_another_length_are_refused(images):
    with pytest.raises(ValueError, match=r"each example. Received: 7 and 6"):
        images.log_prob(U, Y[:6], batch_size=3)


def test_answers_do_not_depend_on_the_compiler(images):
    single = images.distribution(1)

    def ask(seed):
        return (
            images.sample(Y, seed=5),
            images.log_prob(LEVELS, Y, seed=5),
            single.sample(4, seed=seed),
            images.distribution().distribution.sample(4, seed=seed),
        )

    seed = tf.constant([1, 2])
    compiled = tf.function(ask, jit_compile=True, autograph=False)(seed)
    for found, expected in zip(compiled, ask(seed), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5, rtol=2e-6)


def test_samples_of_a_distribution_are_of_its_law(images):
    prior = images.prior
    y = tf.constant([[2]])
    code = prior.distribution(y).sample(4000, seed=0).numpy()[:, 0]
    np.testing.assert_allclose(code.mean(0), prior.distribution(y).loc[0], atol=0.1)
    np.testing.assert_allclose(
        code.std(0), prior.distribution(y).scale.diag[0], rtol=0.06
    )
    mixed = prior.marginal().sample(6000, seed=0).numpy()
    means = np.mean(prior.distribution(tf.constant([[0], [1], [2]])).loc, 0)
    np.testing.assert_allclose(mixed.mean(0), means, atol=0.1)
    assert prior.marginal().sample(seed=3).shape == (16,)
    fresh = [prior.marginal().sample().numpy() for _ in range(2)]
    assert (fresh[0] != fresh[1]).any()


@pytest.mark.parametrize(
    "x",
    [
        LEVELS,
        tf.constant(LEVELS),
        "a",
        np.array(["a"]),
        None,
        True,
        1j,
        U[:, :3],
        object(),
    ],
    ids=[
        "levels",
        "tensor",
        "text",
        "texts",
        "none",
        "truth",
        "complex",
        "shape",
        "any",
    ],
)
def test_wrong_types_given_to_a_distribution_are_refused(x, images):
    with pytest.raises(ValueError, match=r"examples must|unsupported type"):
        images.distribution(1).log_prob(x)


def test_numbers_of_another_type_are_answered(images, solved):
    nats = images.distribution(1).log_prob(U.astype(np.float64))
    assert nats.dtype == tf.float32
    np.testing.assert_allclose(nats, images.distribution(1).log_prob(U), rtol=1e-6)
    point = solved.distribution(1, exact=True)
    np.testing.assert_allclose(
        point.log_prob([[1, 2]]), point.log_prob([[1.0, 2.0]]), rtol=1e-6
    )


def test_training_refuses_what_lies_outside_the_support(images):
    with pytest.raises(ValueError, match="must lie in"):
        images.terms(SPOILT, Y, Control(), True)
    drawn = images.sample(Y, seed=0, temperature=5.0)
    assert np.isfinite(images.terms(drawn, Y, Control(), True)[0]["loss"]).all()
