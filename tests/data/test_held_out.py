"""A part of the training split is held out: by seed, once, with all that is of it."""

import dataclasses

import keras
import numpy as np
import pytest

from tfcnf.data import catalog
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


def test_a_validation_folder_beside_a_test_folder_is_for_validation(tmp_path):
    for i, part in enumerate(("train", "val", "test")):
        for k, name in enumerate("ab"):
            path = tmp_path / part / name / "0.png"
            path.parent.mkdir(parents=True)
            keras.utils.save_img(path, np.full([4, 4, 1], 10 * i + k), scale=False)
    source = catalog.get(str(tmp_path))
    found = {n: s.x[:, 0, 0, 0].tolist() for n, s in source.splits.items()}
    assert found == {"train": [0, 1], "validation": [10, 11], "test": [20, 21]}
    assert source.validation.y.tolist() == [[0], [1]]
    (tmp_path / "test").rename(tmp_path / "other")
    assert catalog.get(str(tmp_path)).validation is None  # it is the test split


def test_an_npz_file_may_have_validation_arrays(tmp_path):
    path = tmp_path / "own.npz"
    arrays = {
        f"{name}_{part}": np.arange(2, dtype=np.uint8)[:, None, None] * np.ones([4, 4])
        if name == "x"
        else np.arange(2)
        for name in "xy"
        for part in ("train", "test", "validation")
    }
    arrays = {k: v.astype(np.uint8) for k, v in arrays.items()}
    np.savez(path, **arrays)
    source = catalog.get(str(path))
    assert source.validation.x.shape == (2, 4, 4, 1)
    np.savez(path, **arrays | {"y_validation": np.array([0, 2])})
    with pytest.raises(ValueError, match="none of class 2"):
        catalog.get(str(path))
    del arrays["y_validation"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"must have the arrays .* y_validation"):
        catalog.get(str(path))
