"""The baselines against scipy, numerical integrals and autodiff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from papers import baselines
from tfcnf.data.source import DataSource, Split
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.models.infocnf import InfoCNF

SEED = 3
MARGIN = baselines.ALPHA / (1 - 2 * baselines.ALPHA)


@pytest.fixture(scope="module")
def u_test(digits: DataSource) -> np.ndarray:
    """The test split as `run` dequantizes it."""
    return baselines.dequantize(digits.test.x, digits.num_levels, [SEED, -1]).numpy()


@pytest.fixture(scope="module")
def trained(digits: DataSource) -> baselines.ConditionalRealNVP:
    return fit_two_couplings(digits)


def fit_two_couplings(source: DataSource) -> baselines.ConditionalRealNVP:
    small = partial(baselines.ConditionalRealNVP, num_couplings=2)
    with mock.patch.object(baselines, "ConditionalRealNVP", small):
        return baselines.fit_realnvp(source, SEED, epochs=1)


def single_pixels(levels: list[int], labels: list[int]) -> Split:
    x = np.array(levels, np.uint8).reshape(-1, 1, 1, 1)
    return Split(x, np.array(labels, np.int32)[:, None])


def logits_of(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and log-determinants ``[B]`` in double precision."""
    s = baselines.ALPHA + (1 - 2 * baselines.ALPHA) * u.astype(np.float64)
    slope = (1 - 2 * baselines.ALPHA) / (s * (1 - s))
    return special.logit(s), np.log(slope).sum(-1)


def to_bits(log_prob: np.ndarray, dims: int, num_levels: int) -> float:
    """Bits/dim from the probability of a level, of which each is 1/num_levels wide."""
    return float(np.mean(-np.log2(np.exp(log_prob / dims) / num_levels)))


def test_logistic_regression_counts_wrong_test_labels() -> None:
    train = single_pixels([0, 1, 2, 14, 15, 16], [0, 0, 0, 1, 1, 1])
    test = single_pixels([0, 1, 15, 16], [0, 0, 1, 0])
    source = DataSource("pixels", train, test, (2,), 17)
    classifier = PixelClassifier(source.train, source.num_levels)
    assert classifier.error(source.test) == pytest.approx(25.0)


def test_dequantized_levels_are_uniform_in_their_bins(
    digits: DataSource, u_test: np.ndarray
) -> None:
    scaled = u_test.astype(np.float64) * digits.num_levels
    noise = scaled - digits.test.x.reshape(scaled.shape)
    assert stats.kstest(noise.ravel(), stats.uniform.cdf).statistic < 0.01
    # float32 rounds u to within a millionth of a bin
    assert noise.min() > -1e-5
    assert noise.max() < 1 + 1e-5


def test_gaussian_measures_equal_scipys(digits: DataSource, u_test: np.ndarray) -> None:
    measures = dict(islice(baselines.run(digits, SEED), 3))
    train_u = baselines.dequantize(digits.train.x, digits.num_levels, [SEED, 0])
    train, _ = logits_of(train_u.numpy())
    test, log_det = logits_of(u_test)
    scores = np.empty([len(test), 10])
    for k in range(10):
        members = train[digits.train.y[:, 0] == k]
        normal = stats.norm(members.mean(0), members.std(0))
        scores[:, k] = normal.logpdf(test).sum(-1) + log_det
    labels = digits.test.y[:, 0]
    bits = to_bits(scores[np.arange(len(labels)), labels], 64, 17)
    assert measures["gaussian_bits_per_dim"] == pytest.approx(bits, abs=1e-4)
    error = 100 * np.mean(scores.argmax(1) != labels)
    assert measures["gaussian_error"] == pytest.approx(error, abs=1e-3)


def test_gaussian_density_integrates_to_one() -> None:
    split = single_pixels([0, 1, 0, 3, 9, 12], [0, 0, 0, 1, 1, 1])
    source = DataSource("pixels", split, split, (2,), 17)
    gaussians = baselines.fit_gaussians(source, SEED)
    edges = np.linspace(-MARGIN, 1 + MARGIN, 40_001)
    middles = (edges[1:] + edges[:-1]) / 2
    density = np.exp(gaussians.log_prob(middles.astype(np.float32)[:, None, None]))
    np.testing.assert_allclose(density.sum(0) * np.diff(edges)[0], 1, atol=1e-3)
    # the part on [0, 1] is what the Gaussian has between the logits of 0 and 1
    inside = density[(middles > 0) & (middles < 1)].sum(0) * np.diff(edges)[0]
    ends = special.logit([baselines.ALPHA, 1 - baselines.ALPHA])
    normal = gaussians.distribution
    cdf = stats.norm(normal.mean()[:, 0], normal.stddev()[:, 0]).cdf(ends[:, None])
    np.testing.assert_allclose(inside, cdf[1] - cdf[0], atol=1e-3)


def test_constant_pixels_get_the_floor() -> None:
    split = single_pixels([4, 9], [0, 1])
    source = DataSource("pixels", split, split, (2,), 17)
    gaussians = baselines.fit_gaussians(source, SEED, floor=0.04)
    np.testing.assert_allclose(gaussians.distribution.stddev(), 0.2, rtol=1e-6)


def test_untrained_realnvp_is_a_standard_normal_of_the_logits(
    digits: DataSource, u_test: np.ndarray
) -> None:
    model = baselines.ConditionalRealNVP(64, 10, seed=SEED)
    logits, log_det = logits_of(u_test)
    expected = stats.norm.logpdf(logits).sum(-1) + log_det
    log_prob = model.distribution(digits.test.y).log_prob(u_test)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)


def test_realnvp_has_as_many_parameters_as_infocnf_on_the_digits() -> None:
    model = baselines.ConditionalRealNVP(64, 10, seed=SEED)
    infocnf = InfoCNF(
        (8, 8, 1),
        num_levels=17,
        num_scales=2,
        flows_per_block=1,
        filters=32,
        hidden_layers=2,
    )
    assert model.count_params() == pytest.approx(infocnf.count_params(), rel=0.01)


def test_realnvp_change_of_variables_equals_autodiff(
    digits: DataSource, u_test: np.ndarray, trained: baselines.ConditionalRealNVP
) -> None:
    # copy i of the example gives row i of the Jacobian
    u = tf.repeat(u_test[:1], 64, 0)
    distribution = trained.distribution(np.repeat(digits.test.y[:1], 64, 0))
    with tf.GradientTape() as tape:
        tape.watch(u)
        z = distribution.bijector.inverse(u)
        diagonal = tf.linalg.trace(z)
    jacobian = tape.gradient(diagonal, u).numpy().astype(np.float64)
    _, log_det = np.linalg.slogdet(jacobian)
    expected = stats.norm.logpdf(z[0].numpy()).sum() + log_det
    np.testing.assert_allclose(distribution.log_prob(u)[0], expected, rtol=1e-5)


def test_realnvp_density_integrates_to_one_for_each_label() -> None:
    model = baselines.ConditionalRealNVP(2, 2, seed=SEED, num_couplings=4, units=3)
    rng = np.random.default_rng(SEED)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    edges = np.linspace(-MARGIN, 1 + MARGIN, 401)
    middles = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    u = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    areas = []
    for label in range(2):
        y = np.full([len(u), 1], label, np.int32)
        areas.append(np.exp(model.distribution(y).log_prob(u)))
    np.testing.assert_allclose(
        np.sum(areas, 1) * np.diff(edges)[0] ** 2, [1, 1], atol=1e-3
    )
    assert np.abs(areas[0] - areas[1]).max() > 0.1


def test_one_epoch_improves_realnvp_and_repeats_with_its_seed(
    digits: DataSource, u_test: np.ndarray, trained: baselines.ConditionalRealNVP
) -> None:
    y = digits.test.y
    untrained = baselines.ConditionalRealNVP(64, 10, seed=SEED).distribution(y)
    log_prob = trained.distribution(y).log_prob(u_test).numpy()
    assert np.all(np.isfinite(log_prob))
    assert np.mean(log_prob) > np.mean(untrained.log_prob(u_test)) + 1
    again = fit_two_couplings(digits).distribution(y)
    np.testing.assert_allclose(again.log_prob(u_test), log_prob, rtol=1e-4)


def test_run_measures_the_realnvp_on_the_test_split(
    digits: DataSource,
    u_test: np.ndarray,
    trained: baselines.ConditionalRealNVP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(baselines, "fit_realnvp", lambda source, seed: trained)
    measures = dict(baselines.run(digits, SEED))
    assert list(measures) == [
        "logistic_regression_error",
        "gaussian_bits_per_dim",
        "gaussian_error",
        "realnvp_bits_per_dim",
        "realnvp_num_parameters",
    ]
    log_prob = trained.distribution(digits.test.y).log_prob(u_test).numpy()
    bits = to_bits(log_prob.astype(np.float64), 64, 17)
    assert measures["realnvp_bits_per_dim"] == pytest.approx(bits, rel=1e-5)
    hidden, outputs = (32 + 10) * 40 + 40, 40 * 64 + 64
    assert measures["realnvp_num_parameters"] == 2 * (hidden + outputs)


def test_save_prints_and_writes_what_was_measured(
    digits: DataSource,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(source: DataSource, seed: int) -> Iterator[tuple[str, float]]:
        yield "examples", len(source.test)
        yield "seed", seed / 2

    monkeypatch.setattr(baselines, "run", run)
    out = tmp_path / "new" / "baselines.json"
    baselines.save(digits, str(out), SEED)
    assert json.loads(out.read_text()) == {"examples": 360, "seed": 1.5}
    assert capsys.readouterr().out == "examples: 360\nseed: 1.5\n"


def test_save_refuses_a_path_that_cannot_be_written(
    digits: DataSource, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a file"):
        baselines.save(digits, str(tmp_path))
    with pytest.raises(ValueError, match="cannot be made"):
        baselines.save(digits, str(tmp_path / "file" / "baselines.json"))
