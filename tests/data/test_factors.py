"""The digits with three labels: what is painted is what the labels say."""

import numpy as np
import pytest

from tfcnf.data import catalog
from tfcnf.data.factors import FAINT, INKS, paint
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real


@pytest.fixture(scope="module")
def factors(data_dir):
    return catalog.get("factors", data_dir)


def test_the_three_labels_and_the_sizes_are_those_documented(factors):
    digit, ink, rotation = factors.labels
    assert (digit.title, ink.title, rotation.title) == ("class", "ink", "rotation")
    assert isinstance(ink, Categorical)
    assert isinstance(rotation, Real)
    assert ink.names == tuple(INKS)
    assert (len(factors.train), len(factors.test)) == (5748, 360)
    assert (factors.event_shape, factors.num_levels) == ((12, 12, 3), 17)
    assert factors.train.x.max() == 16
    angles = factors.train.y[:, 2]
    assert np.abs(angles).max() <= 45
    assert angles.std() == pytest.approx(90 / np.sqrt(12), rel=0.02)  # uniform


def test_each_digit_has_its_class_four_times_and_stays_in_its_split(factors, digits):
    for split, source, copies in [
        (factors.train, digits.train, 4),
        (factors.test, digits.test, 1),
    ]:
        counts = np.bincount(split.y[:, 0].astype(int), minlength=10)
        own = np.bincount(source.y[:, 0], minlength=10)
        np.testing.assert_array_equal(counts, copies * own)


def test_the_channels_are_those_of_the_ink(factors):
    for k, strength in enumerate(INKS.values()):
        images = factors.test.x[factors.test.y[:, 1] == k].astype(float)
        means = images.mean((0, 1, 2))
        expected = np.maximum(strength, FAINT)
        np.testing.assert_allclose(means / means.max(), expected, atol=0.03)


def test_an_angle_turns_counterclockwise():
    digit = np.random.default_rng(0).integers(0, 17, (8, 8))
    upright = paint(digit, "white", 0.0)
    np.testing.assert_array_equal(upright[2:-2, 2:-2, 0], digit)
    assert upright.sum() == 3 * digit.sum()
    turned = paint(digit, "white", 90.0)
    np.testing.assert_allclose(turned[..., 0], np.rot90(upright[..., 0]), atol=1)
