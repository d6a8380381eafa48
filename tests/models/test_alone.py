"""With steps="each" an answer is, to the bit, the same alone and in any batch."""

import functools

import numpy as np
import pytest

from tfcnf import CNF, InfoCNF

RNG = np.random.default_rng(0)
X = RNG.integers(0, 17, [1000, 4, 4, 1]).astype(np.uint8)
X[7] = 16
Y = RNG.integers(0, 3, 1000)
TOL = 1e-3
EACH = {"tol": TOL, "steps": "each"}


@pytest.fixture(scope="module")
def model():
    options = {"num_levels": 17, "filters": 4, "hidden_layers": 1, "alpha": 0.05}
    made = InfoCNF((4, 4, 1), 3, flows_per_block=1, num_scales=1, seed=0, **options)
    for weight in made.flow.trainable_variables:
        weight.assign(4.0 * weight)
    for weight in made.prior.weights + made.reader.weights:
        weight.assign(0.3 * np.random.default_rng(1).standard_normal(weight.shape))
    return made


def parts_agree(ask, *inputs, sizes=(1, 2, 9, 100)):
    """The answers to all, after those to parts were found to be the same."""
    whole = np.asarray(ask(*inputs))
    for size in sizes:
        for start in (0, 7):
            part = slice(start, start + size)
            found = np.asarray(ask(*(x[part] for x in inputs)))
            np.testing.assert_array_equal(found, whole[part])
    return whole


def test_densities_classes_and_codes_do_not_depend_on_the_batch(model):
    nats = parts_agree(lambda x, y: model.log_prob(x, y, **EACH), X, Y)
    shuffled = RNG.permutation(1000)
    found = model.log_prob(X[shuffled], Y[shuffled], batch_size=300, **EACH)
    np.testing.assert_array_equal(found, nats[shuffled])
    for posterior in ("discriminative", "generative"):
        ask = functools.partial(model.classify, posterior=posterior, **EACH)
        parts_agree(ask, X[:100], sizes=(1, 9))
    parts_agree(lambda x: model.marginal_log_prob(x, **EACH), X[:100], sizes=(1, 9))
    codes = parts_agree(lambda x: model.encode(x, **EACH), X[:100], sizes=(1, 9))
    parts_agree(lambda z: model.decode(z, **EACH), codes, sizes=(1, 9))
    assert model.log_prob(X[:0], Y[:0], **EACH).shape == (0,)


def test_what_has_no_steps_of_its_own_is_refused(model):
    with pytest.raises(ValueError, match="Received: steps='own'"):
        model.encode(X[:2], steps="own")
    with pytest.raises(ValueError, match="a context, for each example"):
        model.log_prob(X[:3], Y[:2], **EACH)
    options = {"filters": 3, "hidden_layers": 1}
    x = np.zeros([2, 2], np.float32)
    with pytest.raises(ValueError, match=r"needs a solver .*Received: solver='ref"):
        CNF((2,), solver="reference", **options).log_prob(x, steps="each")
    with pytest.raises(ValueError, match="give tol"):
        CNF((2,), policy="learned", **options).log_prob(x, steps="each")
