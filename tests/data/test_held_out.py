"""A part of the training split is held out: by seed, once, with all that is of it."""

import dataclasses

import numpy as np
import pytest

from tfcnf.data.held_out import hold_out
from tfcnf.data.series import SeriesSource, SeriesSplit, make_series
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.binary import Binary


def split(size, start=0):
    numbers = np.arange(start, start + size)
    return Split(numbers[:, None].astype(np.float32), numbers[:, None] % 2)


@pytest.fixture
def source():
    return DataSource("numbers", split(50), split(10, 50), (2,), 1)


def test_both_parts_make_up_the_training_split(source):
    held = hold_out(source, 0.3, seed=1)
    parts = held.train, held.validation
    assert [len(part) for part in parts] == [35, 15]
    x = np.concatenate([part.x for part in parts])
    np.testing.assert_array_equal(np.sort(x, 0), source.train.x)
    for part in parts:
        np.testing.assert_array_equal(part.x % 2, part.y)  # labels stay with them
        assert (np.diff(part.x[:, 0]) > 0).all()
    assert held.test is source.test
    assert "35 training, 15 validation and 10 test examples" in held.describe()


def test_the_seed_chooses_and_more_hold_those_of_fewer(source):
    def chosen(fraction, seed):
        return set(hold_out(source, fraction, seed).validation.x[:, 0])

    assert chosen(0.2, 3) == chosen(0.2, 3) != chosen(0.2, 4)
    assert chosen(0.2, 3) < chosen(0.5, 3)


def test_nothing_is_held_out_of_data_that_have_their_own_or_for_nothing(source):
    assert hold_out(source, 0.0, seed=0) is source
    own = dataclasses.replace(source, validation=split(5))
    assert hold_out(own, 0.5, seed=0) is own


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 0.001, 0.999, float("nan")])
def test_a_part_without_an_example_is_refused(source, fraction):
    with pytest.raises(ValueError, match=r"Received: validation="):
        hold_out(source, fraction, seed=0)


def test_series_keep_their_curves():
    values = np.arange(20.0)[:, None, None] + np.zeros([20, 3, 1])
    series = make_series(values, times=np.arange(3.0))
    labels = np.arange(20)[:, None] % 2
    mask = np.ones([20, 3])
    curves = {"truth": values, "truth_times": np.arange(3.0), "truth_mask": mask}
    one = SeriesSplit(series, labels, 4, **curves)
    source = SeriesSource("rows", one, one, {}, (Binary(),), window=2.0)
    held = hold_out(source, 0.25, seed=0).validation
    assert len(held) == 5
    assert held.passes == 1
    np.testing.assert_array_equal(held.x.values, held.truth)
    np.testing.assert_array_equal(held.truth[:, 0, 0] % 2, held.y[:, 0])
    assert held.truth_mask.shape == (5, 3)
    assert held.truth_times.shape == (3,)
