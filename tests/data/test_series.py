"""Series: what is kept of values and times, and what is refused."""

import dataclasses

import numpy as np
import pytest

from tfcnf.data.series import Series, SeriesSource, SeriesSplit, make_series, pad_series
from tfcnf.data.series_units import SeriesUnits
from tfcnf.data.spirals import Design, draw, labels
from tfcnf.labels.real import Real

VALUES, TIMES = np.ones([2, 3, 2]), np.array([0.0, 1.0, 2.0])
NAN = np.array([[[1, 1], [np.nan, 1], [1, 1]]] * 2)
NEVER = np.stack([np.arange(6.0).reshape(2, 3), np.full([2, 3], np.nan)], -1)
DATES = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[s]")


@pytest.mark.parametrize(
    ("values", "times", "mask", "message"),
    [
        ([np.ones([3, 2]), np.ones([2, 2])], TIMES, None, "need a mask"),
        ([np.ones([3, 2]), np.ones([3, 1])], TIMES, None, "of the same dimensions"),
        (np.ones([3, 2]), TIMES, None, r"values.shape=\(3, 2\)"),
        (np.ones([2, 0, 2]), [], None, r"values.shape=\(2, 0, 2\)"),
        (VALUES.astype(str), TIMES, None, "real numbers. Received: values of type <U"),
        (VALUES + 0j, TIMES, None, "real numbers. Received: values of type complex128"),
        (VALUES * 1e39, TIMES, None, "apart in float32.* in dimension 0"),
        (VALUES + np.arange(3)[:, None] * 1e-9, TIMES, None, "apart in float32"),
        (2**62 + np.arange(12).reshape(2, 3, 2), TIMES, None, "subtract an offset"),
        (VALUES, TIMES[:2], None, r"times.shape=\(2,\)"),
        (VALUES, TIMES[::-1], None, "must increase .* step of -1 in series 0"),
        (VALUES, [0.0, 1.0, 1.0], None, "a step of 0 in series 0"),
        (VALUES, np.array([5, 4, 6], np.uint8), None, "a step of -1 in series 0"),
        (VALUES, [0.0, 1.0, np.inf], None, "times must be finite"),
        (VALUES, [0.0, 1e9, 1e9 + 1], None, "step of 1 at 1e\\+09 in series 0"),
        (VALUES, DATES, None, "divide by a unit.* of type datetime64"),
        (VALUES, DATES - DATES[0], None, "divide by a unit.* of type timedelta64"),
        (VALUES, [None, 1.0, 2.0], None, "times must be finite"),
        (NAN, TIMES, np.ones([2, 3]), "nan.* in series 0, point 1"),
        (NAN, TIMES, np.ones([2, 3, 2]), "nan.* in series 0, point 1"),
        (
            VALUES * [[[1.0], [1.0], [np.inf]]],
            TIMES,
            None,
            "inf.* in series 0, point 2",
        ),
        (np.ma.masked_equal(VALUES, 1.0), TIMES, None, "none in series 0"),
        (VALUES, TIMES, np.ones([2, 3, 1]), r"mask.shape=\(2, 3, 1\)"),
        (VALUES, TIMES, np.ones([2, 2]), r"mask.shape=\(2, 2\)"),
        (VALUES, TIMES, 2 * np.ones([2, 3]), "zeros and ones"),
        (VALUES, TIMES, [[1, 0, 1], [0, 0, 0]], "none in series 1"),
    ],
)
def test_bad_series_are_refused(values, times, mask, message):
    with pytest.raises(ValueError, match=message) as failure:
        make_series(values, times, mask)
    assert "Received: " in str(failure.value)


@pytest.mark.parametrize(
    ("values", "times", "message"),
    [
        (
            [np.ones([3, 2]), np.ones([2, 1])],
            [TIMES, TIMES[:2]],
            r"values\[1\].shape=\(2, 1\)",
        ),
        ([np.ones([3, 2]), np.ones(3)], [TIMES, TIMES], r"values\[1\].shape=\(3,\)"),
        ([np.ones(3)], [TIMES], r"\[times, dimensions\]. .*values\[0\].shape=\(3,\)"),
        ([np.ones([3, 2]), np.ones([0, 2])], [TIMES, []], "none in series 1"),
        ([np.ones([0, 2])], [[]], r"values.shape=\(1, 0, 2\)"),
        ([np.ones([3, 2])], [TIMES[:, None]], r"lengths \[3\] and \[\(3, 1\)\]"),
        ([np.ones([3, 2])], [TIMES, TIMES], r"lengths \[3\] and"),
        ([], [], r"lengths \[\] and \[\]"),
        ({"a": np.ones([3, 2])}, [TIMES], r"values\[0\] must be real numbers"),
        ([[["1.0"]]], [[0.0]], r"values\[0\] of type <U3"),
        ([np.ones([3, 2])], [DATES], r"times\[0\] must be numbers; divide by a unit"),
    ],
)
def test_bad_unequal_series_are_refused(values, times, message):
    with pytest.raises(ValueError, match=message) as failure:
        pad_series(values, times)
    assert "Received: " in str(failure.value)


@pytest.mark.parametrize(
    "first",
    [
        np.array(1_764_000_000.0),  # Unix seconds: float32 has steps of 128 there
        np.array(1_764_000_000),
        np.array(1_764_000_000, np.uint32),
        np.array(1_764_000_000_000_000_001),  # nanoseconds, which float64 rounds
        np.array(2**64 - 200, np.uint64),
        np.array(-100, np.int8),
        np.array(-5.0),
    ],
)
def test_the_first_time_is_subtracted_before_times_are_narrowed(first):
    stamps = first + np.array([0, 60, 121], first.dtype)
    expected = [[0, 60, 121]] * 2
    np.testing.assert_array_equal(make_series(VALUES, stamps).times, expected)
    np.testing.assert_array_equal(pad_series(VALUES, [stamps] * 2).times, expected)
    np.testing.assert_array_equal(make_series(VALUES, stamps.tolist()).times, expected)


def test_times_count_from_the_first_observed_point_of_each_series():
    series = make_series(VALUES, [[7, 8, 10], [np.nan, 3, 5]], [[1, 1, 1], [0, 1, 1]])
    np.testing.assert_array_equal(series.times, [[0, 1, 3], [0, 0, 2]])
    assert {part.dtype for part in series} == {np.dtype(np.float32)}


def test_values_whose_differences_are_kept_are_taken():
    pressure = 101_325 + np.random.default_rng(0).normal(0, 100, [2, 3, 1])
    kept = make_series(pressure, TIMES).values
    np.testing.assert_allclose(kept, pressure, rtol=1e-7)
    constant = make_series(np.full([2, 3, 1], 1e9 + 0.1), TIMES).values
    np.testing.assert_array_equal(constant, np.float32(1e9))
    booleans = make_series(VALUES > 0, np.arange(3)).values
    np.testing.assert_array_equal(booleans, VALUES)


def test_values_are_missing_one_by_one():
    values = np.arange(12.0).reshape(2, 3, 2)
    values[0, 1, 1] = values[1, 0] = np.nan
    expected = ~np.isnan(values)
    for mask in (None, expected):
        series = make_series(values, TIMES, mask)
        np.testing.assert_array_equal(series.mask, expected)
        np.testing.assert_array_equal(series.values, np.nan_to_num(values))
        # time 0 is where anything was observed first
        np.testing.assert_array_equal(series.times, [[0, 1, 2], [0, 0, 1]])
    unequal = pad_series([values[0, :2], values[1]], [TIMES[:2], TIMES])
    expected[0, 2] = False
    np.testing.assert_array_equal(unequal.mask, expected)
    whole = make_series(np.where(np.arange(3)[:, None] == 1, np.nan, 1.0)[None], TIMES)
    np.testing.assert_array_equal(whole.mask, [[1, 0, 1]])  # no point in part


def test_units_are_those_of_the_observed_values():
    values = 100 + 5 * np.random.default_rng(0).normal(size=[4, 5, 2])
    values[0, :3, 0] = np.nan
    series = make_series(values, 60 * np.arange(5.0))
    units = SeriesUnits.of(series)
    np.testing.assert_allclose(units.mean, np.nanmean(values, (0, 1)), rtol=1e-6)
    np.testing.assert_allclose(units.scale, np.nanstd(values, (0, 1)), rtol=1e-4)
    assert units.duration == 240
    assert SeriesUnits.get(units.record()) == units
    # of a series that `make_series` did not make too
    values, mask = (np.pad(part, [(0, 0), (0, 1), (0, 0)]) for part in series[::2])
    times = np.pad(1000 + series.times, [(0, 0), (0, 1)], constant_values=-7)
    assert SeriesUnits.of(Series(values, times, mask)) == units


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SeriesUnits((0.0,), (0.0,)), "must be finite, scale and duration"),
        (lambda: SeriesUnits((0.0, 1.0), (1.0,)), "of the same length"),
        (lambda: SeriesUnits.get([1.0]), r"Received: units=\[1.0\]"),
        (lambda: SeriesUnits.of(make_series(VALUES, TIMES)), "1 in dimension 0"),
        (lambda: SeriesUnits.of(make_series(NEVER, TIMES)), "no value in dimension 1"),
    ],
)
def test_what_has_no_units_is_refused(make, message):
    with pytest.raises(ValueError, match=message) as failure:
        make()
    assert "Received: " in str(failure.value)


def test_missing_points_may_be_anything():
    mask = np.array([[1, 0, 1]] * 2)
    series = make_series(NAN, [0.0, -5.0, 2.0], mask)
    assert np.isfinite(series.values).all()
    np.testing.assert_array_equal(series.mask, mask)
    masked = np.ma.masked_invalid(NAN)
    np.testing.assert_array_equal(
        make_series(masked, TIMES, mask).values, series.values
    )
    huge = np.where(np.isnan(NAN), 1e300, NAN)
    np.testing.assert_array_equal(make_series(huge, TIMES, mask).values, series.values)


def test_series_of_unequal_length_are_padded():
    values = [np.ones([3, 2]), 2 * np.ones([1, 2])]
    series = pad_series(values, [[0.5, 1.0, 3.0], [7.0]])
    np.testing.assert_array_equal(series.mask, [[1, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(series.times, [[0, 0.5, 2.5], [0, 0, 0]])
    np.testing.assert_array_equal(series.values[1], [[2, 2], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match=r"lengths \[3, 1\] and \[\(3,\), \(2,\)\]"):
        pad_series(values, [[0.0, 1.0, 3.0], [0.5, 1.0]])


def test_a_frame_is_read_by_its_values():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"t": [3, 4, 6], "a": [1.0, 2.0, 3.0]}, index=[9, 8, 7])
    series = pad_series([frame[["a"]]], [frame["t"]])
    np.testing.assert_array_equal(series.values[0, :, 0], [1, 2, 3])
    np.testing.assert_array_equal(series.times[0], [0, 1, 3])
    column = pandas.Series([frame[["a"]], frame[["a"]]], index=[5, 6])
    assert pad_series(column, [frame["t"]] * 2).values.shape == (2, 3, 1)
    with pytest.raises(ValueError, match=r"values\[0\] must be real numbers"):
        pad_series(frame, [frame["t"]] * 2)


def test_a_constant_label_is_refused():
    split = draw(Design(spirals=40, length=60, window=5), 0)
    constant = split.y * [0, 1, 1] + np.array([0.1, 0, 0], np.float32)
    split = dataclasses.replace(split, y=constant.astype(np.float32))
    assert split.y.std(0)[0] > 0  # rounding
    source = SeriesSource("s", split, split, {}, labels(), 1.0)
    with pytest.raises(ValueError, match=r"supervises nothing.*Received: a=\[0.1\]"):
        source.model_keywords()


def test_what_a_model_must_know_of_series_with_missing_values():
    y = np.array([[0.0], [1.0]])
    values = np.random.default_rng(0).normal(50, 9, [2, 3, 2])
    values[0, 1, 1] = np.nan
    split = SeriesSplit(make_series(values, TIMES), y)
    source = SeriesSource("s", split, split, {}, (Real(),), 2.0, standardise=True)
    known = source.model_keywords()
    assert known["encode_mask"]
    assert not known["regular"]
    assert known["units"] == SeriesUnits.of(split.x).record()
    never = dataclasses.replace(split, x=make_series(NEVER, TIMES))
    with pytest.raises(ValueError, match="no value in dimension 1"):
        dataclasses.replace(source, train=never).model_keywords()
