"""Tests on arrays: right models are left alone, and wrong ones are found.

A posterior whose deviation is 10 % too small has to be found in 95 of 100 tables of 500
examples, and a right one may be suspected in 5. Both numbers are counted here over
simulated tables; the bounds leave three standard deviations of the count itself.
"""

import numpy as np
import pytest
from scipy import stats

from tfcnf.diagnostics import chance, coverage, intervals, ranks, two_sample

COUNT, TABLES = 500, 300


def false_alarms(p_values):
    """True where about one of twenty p-values is below 0.05."""
    part = np.mean(np.array(p_values) < 0.05)
    return part <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p_values))


def codes(seed, dims, width=1.0):
    """Standard codes of a table by a model with ``width`` of the right deviation."""
    return np.random.default_rng(seed).normal(size=(COUNT, dims)) / width


@pytest.mark.parametrize("dims", [2, 6])
def test_a_deviation_that_is_10_percent_too_small_is_found(dims):
    tested = [chance.width_test(codes(i, dims, 0.9)) for i in range(TABLES)]
    assert np.mean([p < 0.05 for _, p in tested]) >= 0.95
    assert np.mean([width for width, _ in tested]) == pytest.approx(0.9, abs=0.005)


def test_of_one_number_it_is_found_where_only_narrow_is_asked_for():
    # the most powerful test there is has 0.954, two-sided 0.93
    power = stats.chi2.sf(0.81 * stats.chi2.isf(0.05, COUNT), COUNT)
    found = [chance.width_test(codes(i, 1, 0.9), "narrow")[1] for i in range(1000)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(power, abs=0.02)
    assert power > 0.95


@pytest.mark.parametrize("dims", [1, 2, 6])
@pytest.mark.parametrize("alternative", ["two-sided", "narrow", "wide"])
def test_a_right_model_passes(dims, alternative):
    p_values = [
        chance.width_test(codes(i, dims), alternative)[1] for i in range(TABLES)
    ]
    assert false_alarms(p_values)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_alternatives_look_at_one_side():
    assert chance.width_test(codes(0, 3, 0.8), "wide")[1] > 0.99
    assert chance.width_test(codes(0, 3, 1.2), "narrow")[1] > 0.99
    assert chance.width_test(codes(0, 3, 1.2), "wide")[1] < 1e-4
    with pytest.raises(ValueError, match="Received: alternative='less'"):
        chance.width_test(codes(0, 1), "less")


def test_the_sum_of_squares_is_compared_with_the_chi_square_of_scipy():
    z = codes(1, 3)
    total = (z**2).sum()
    one_sided = stats.chi2.sf(total, z.size), stats.chi2.cdf(total, z.size)
    assert chance.width_test(z)[1] == pytest.approx(2 * min(one_sided))


def test_levels_are_the_chi_square_of_scipy():
    squares = np.array([0.0, 1.386294361119891, 5.991464547107979])
    # two dimensions: 1 - exp(-r^2 / 2)
    np.testing.assert_allclose(coverage.levels_of(squares, 2), [0, 0.5, 0.95])
    levels = coverage.levels_of(stats.chi2.ppf([0.1, 0.9], 7), 7)
    np.testing.assert_allclose(levels, [0.1, 0.9])


def simulated(seed, dims, width, samples=99):
    """Values and samples of a correlated posterior of ``width`` times its deviation."""
    rng = np.random.default_rng(seed)
    factor = np.tril(np.full([dims, dims], 0.7)) + 0.3 * np.eye(dims)
    values = rng.normal(size=(COUNT, dims)) @ factor.T
    return values, width * rng.normal(size=(samples, COUNT, dims)) @ factor.T


def test_ranks_find_it_too_and_leave_right_models_alone():
    def tested(width, tables):
        for seed in range(tables):
            found = ranks.ranks_of(*simulated(seed, 3, width), seed)
            yield chance.width_test_of_levels(found)[1]

    assert np.mean([p < 0.05 for p in tested(0.9, 40)]) >= 0.95
    assert false_alarms(list(tested(1.0, 100)))


def test_ranks_and_tarp_levels_of_a_right_model_are_uniform():
    each = [simulated(seed, 2, 1.0, 19) for seed in range(120)]
    pooled = [ranks.ranks_of(*table, i)[:, 0] for i, table in enumerate(each)]
    assert stats.kstest(np.concatenate(pooled), "uniform").pvalue > 1e-3
    p_values = [
        chance.uniform_p_value(ranks.tarp_levels(*table, i))
        for i, table in enumerate(each)
    ]
    assert false_alarms(p_values)


def test_tarp_finds_what_no_coordinate_shows():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(COUNT, 2)) @ [[1.0, 0.9], [0.0, 0.44]]
    samples = rng.normal(size=(99, COUNT, 2))  # the same marginals, independent
    found = ranks.ranks_of(values, samples)
    assert min(map(chance.uniform_p_value, found.T)) > 0.01
    assert chance.uniform_p_value(ranks.tarp_levels(values, samples)) < 1e-3


def test_ranks_of_ties_are_drawn():
    found = ranks.ranks_of(np.zeros([2000]), np.zeros([9, 2000]))
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    low, high = ranks.ranks_of(np.array([-1.0, 1.0]), np.zeros([9, 2]))
    assert 0 < low < 0.1 < 0.9 < high < 1


@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
def test_fractions_stay_in_their_interval_so_often(level):
    low, high = chance.binomial_interval(level, COUNT)
    counts = np.random.default_rng(0).binomial(COUNT, level, 20_000) / COUNT
    assert 0.95 <= np.mean((low <= counts) & (counts <= high)) < 0.98


def test_distributions_stay_in_their_band_so_often():
    band, parts = chance.uniform_band(50), np.arange(1, 51) / 50
    values = np.sort(np.random.default_rng(0).random((4000, 50)), 1)
    gaps = np.maximum(parts - values, values - parts + 1 / 50).max(1)
    assert np.mean(gaps <= band) == pytest.approx(0.95, abs=0.011)


def test_the_smallest_of_several_counts_them():
    assert chance.smallest_p_value([0.01, 0.5, 0.9]) == pytest.approx(0.03)
    assert chance.smallest_p_value([0.9, 0.8]) == 1.0
    tables = np.random.default_rng(0).random((4000, 7))
    assert false_alarms([chance.smallest_p_value(row) for row in tables])


def test_coverage_counts_the_levels_below():
    measures = dict(chance.coverage_measures(np.arange(100) / 100 + 0.005))
    assert measures["50 %/coverage"] == 0.5
    assert measures["95 %/coverage"] == 0.95
    assert (measures["80 %/low"], measures["80 %/high"]) == (
        tuple(stats.binom.interval(0.95, 100, 0.8) / np.array(100))
    )
    assert set(dict(chance.coverage_measures(np.ones(9), "TARP"))) == {
        f"TARP {level} %/{name}"
        for level in (50, 80, 95)
        for name in ("coverage", "low", "high")
    }


def test_central_intervals_have_the_quantiles_of_the_normal_distribution():
    np.testing.assert_allclose(
        intervals.central_levels(np.array([0.0, -1.959963985, 0.67448975])),
        [0.0, 0.95, 0.5],
    )


def test_a_classifier_tells_other_samples_and_not_the_same():
    rng = np.random.default_rng(0)
    given = rng.normal(size=(COUNT, 1))
    values, same = given + rng.normal(size=(2, COUNT, 1))
    scores = two_sample.two_sample_scores(values, same, given)
    assert scores.shape == (2, COUNT)
    by_chance = two_sample.chance_accuracies(values, same, given, swaps=39)
    low, high = by_chance.min(), by_chance.max()
    assert low < 0.5 < high
    assert low <= two_sample.accuracy(scores) <= high
    # the marginal is right and the dependence is not
    other = values[rng.permutation(COUNT)]
    told = two_sample.two_sample_scores(values, other, given)
    assert two_sample.accuracy(told) > high + 0.05
    assert two_sample.accuracy(two_sample.two_sample_scores(values, other)) <= high


def test_swaps_know_how_far_chance_goes():
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=(2, 100, 2)) for _ in range(60)]
    each = [two_sample.accuracy(two_sample.two_sample_scores(*t)) for t in tables]
    swapped = two_sample.chance_accuracies(*tables[0], swaps=60)
    # of 60 numbers, a ratio of deviations is known to 13 %
    assert np.std(swapped) / np.std(each) == pytest.approx(1.0, abs=0.35)
    assert np.mean(swapped) == pytest.approx(np.mean(each), abs=0.02)


def test_the_classifier_does_not_see_what_it_is_asked():
    # a row and its copy are in one fold: memory does not help
    values = np.random.default_rng(0).normal(size=(60, 1))
    scores = two_sample.two_sample_scores(values, values.copy())
    assert two_sample.accuracy(scores) == 0.5
    with pytest.raises(ValueError, match=r"Received: values\.shape=\(9, 1\)"):
        two_sample.two_sample_scores(values[:9], values[:9])
