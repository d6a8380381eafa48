"""Outliers that are known to be some, and scores whose order is known."""

import numpy as np
import pytest

from tfcnf import InfoCNF
from tfcnf.data import catalog
from tfcnf.data.source import DataSource, Split
from tfcnf.diagnostics import Outliers
from tfcnf.diagnostics.outliers import perturbed, resized

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 1)


def make_source(name, shape=SHAPE, num_levels=17, count=20):
    x = RNG.integers(0, num_levels, (count, *shape)).astype(np.uint8)
    split = Split(x, np.arange(count, dtype=np.int32)[:, None] % 3)
    return DataSource(name, split, split, (3,), num_levels)


def test_perturbed_images_are_what_they_are_called():
    x = make_source("images").test.x
    images = perturbed(x, 17)
    for name, image in images.items():
        assert image.shape == x.shape, name
        assert image.dtype == x.dtype, name
        assert image.max() <= 16, name
        assert (image != x).any(), name
    np.testing.assert_array_equal(images["inverted"], 16 - x)
    np.testing.assert_array_equal(images["faded"], x // 2)
    for before, after in zip(x, images["rotated"], strict=True):
        np.testing.assert_array_equal(np.rot90(before), after)
    levels = [np.sort(image.reshape(20, -1)) for image in (x, images["shuffled"])]
    np.testing.assert_array_equal(*levels)
    noise = images["noisy"].astype(float) - x
    inner = noise[(x > 5) & (x < 11)]  # where nothing was cut off
    assert inner.std() == pytest.approx(17 / 8, rel=0.25)
    np.testing.assert_array_equal(images["noisy"], perturbed(x, 17)["noisy"])
    assert (images["noisy"] != perturbed(x, 17, seed=1)["noisy"]).any()


def test_colours_stay_together_when_pixels_are_shuffled():
    x = make_source("images", (4, 4, 3)).test.x
    shuffled = perturbed(x, 17)["shuffled"]
    colours = {tuple(c) for c in x[0].reshape(-1, 3)}
    assert {tuple(c) for c in shuffled[0].reshape(-1, 3)} == colours


def test_resized_images_have_the_mean_brightness_of_areas():
    other = make_source("large", (8, 8, 1), 256)
    x = resized(other, make_source("small"))
    assert x.shape == (20, *SHAPE)
    assert x.dtype == np.uint8
    blocks = other.test.x.reshape(20, 4, 2, 4, 2).mean((2, 4)) / 255 * 16
    np.testing.assert_allclose(x[..., 0], blocks, atol=0.51)


def test_arrays_are_the_marginal_log_likelihoods(monkeypatch):
    source, other = make_source("digits"), make_source("mnist", (8, 8, 1), 256)
    monkeypatch.setitem(catalog.LOADERS, "mnist", lambda data_dir: other)
    model = InfoCNF(
        SHAPE, 3, num_levels=17, filters=2, hidden_layers=1, flows_per_block=1, seed=0
    )
    arrays = Outliers("somewhere").compute(model, source, tol=1e-4)
    names = {"train", "test", "mnist", *perturbed(source.test.x, 17)}
    assert set(arrays) == names | {"dims", "levels"}
    expected = model.marginal_log_prob(source.test.x, tol=1e-4)
    np.testing.assert_allclose(arrays["test"], expected, rtol=1e-4)
    expected = model.marginal_log_prob(16 - source.test.x, tol=1e-4)
    np.testing.assert_allclose(arrays["inverted"], expected, rtol=1e-4)
    assert "mnist" not in Outliers().compute(model, source, tol=1e-4)


def test_scores_of_outliers_less_and_more_likely_than_the_data():
    train = RNG.normal(-100, 1, 500)
    arrays = {
        "train": train,
        "test": RNG.normal(-100, 1, 400),
        "strange": RNG.normal(-150, 1, 300),
        "simple": RNG.normal(-50, 1, 300),
        "alike": RNG.normal(-100, 1, 2000),
        "dims": np.array(16),
        "levels": np.array(17),
    }
    measures = dict(Outliers().measures(arrays))
    assert measures["strange/auroc_likelihood"] == 1
    assert measures["strange/auroc_typicality"] == 1
    # a likelihood takes simple images for the most usual ones
    assert measures["simple/auroc_likelihood"] == 0
    assert measures["simple/auroc_typicality"] == 1
    for score in ("likelihood", "typicality"):
        # three standard errors of the area under the curve by chance
        assert measures[f"alike/auroc_{score}"] == pytest.approx(0.5, abs=0.05)
    bits = (np.log(17) + 150 / 16) / np.log(2)
    assert measures["strange/bits_per_dim"] == pytest.approx(bits, rel=1e-3)
    assert not any(key.startswith(("train/auroc", "test/auroc")) for key in measures)


def test_the_area_is_the_probability_of_the_right_order():
    test, other = RNG.normal(size=30), RNG.normal(-0.7, 1, 40)
    arrays = {"train": test, "test": test, "other": other}
    arrays |= {"dims": np.array(1), "levels": np.array(1)}
    order = other[:, None] < test[None]
    measured = dict(Outliers().measures(arrays))["other/auroc_likelihood"]
    assert measured == pytest.approx(order.mean(), abs=1e-9)
