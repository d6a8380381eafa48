"""Hidden points of real series: which are hidden, and what lines make of them."""

import numpy as np
import pytest

from benchmarks import real_series as bench
from tfcnf.data.series import make_series, pad_series


def series():
    """Ten series on lines of their own, of 5 to 14 points."""
    values = [np.outer(np.arange(n), [1.0, -3.0]) + n for n in range(5, 15)]
    return pad_series(values, [np.arange(float(len(v))) for v in values])


def test_ends_are_never_hidden_and_what_is_hidden_is_not_seen():
    x = series()
    seen, hidden = bench.hide(x, np.random.default_rng(0))
    assert 0.15 < hidden.sum() / x.mask.sum() < 0.35
    np.testing.assert_array_equal(seen.mask + hidden, x.mask)
    np.testing.assert_array_equal(seen.times.max(1), x.times.max(1))
    assert seen.mask[:, 0].all()


def test_lines_meet_the_hidden_points_of_lines():
    x = series()
    seen, hidden = bench.hide(x, np.random.default_rng(0))
    curves = bench.lines(seen, np.arange(14.0))
    assert bench.distance(curves, x, hidden) == pytest.approx(0, abs=1e-6)
    # a shift by a deviation in one of two dimensions
    shift = np.array([x.values[..., 0][x.mask > 0].std(), 0.0])
    off = bench.distance(curves + shift, x, hidden)
    assert off == pytest.approx(0.5**0.5, rel=1e-5)


def test_gaussian_processes_meet_the_hidden_points_of_waves():
    times = np.arange(12.0)
    phase = np.linspace(0, 3, 6)[:, None]
    values = np.stack([np.sin(times + phase), 5 + np.cos(times + phase)], -1)
    x = make_series(values, times)
    seen, hidden = bench.hide(x, np.random.default_rng(0))
    curves = bench.gaussian_processes(x, seen, times)
    smooth, straight = (
        bench.distance(found, x, hidden) for found in (curves, bench.lines(seen, times))
    )
    assert smooth < 0.3 * straight


def test_errors_of_the_class_are_in_percent():
    y = np.array([[0], [1], [2], [2]])
    assert bench.class_error(np.array([0, 1, 1, 2]), y) == 25.0
