"""Images made from codes, and their judge."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CCNF, CNF, InfoCNF
from tfcnf.data.source import DataSource, Split
from tfcnf.diagnostics import Gallery, pictures
from tfcnf.diagnostics.grid import tiled
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.labels.categorical import HIDDEN

RNG = np.random.default_rng(0)
SHAPE, LEVELS, CLASSES, TOL = (4, 4, 1), 17, 3, 1e-5
SMALL = {
    "num_levels": LEVELS,
    "filters": 3,
    "hidden_layers": 1,
    "flows_per_block": 1,
    "alpha": 0.05,
    "seed": 0,
}


def striped(count):
    """Images with a bright column, which tells the class."""
    y = np.arange(count, dtype=np.int32)[:, None] % CLASSES
    x = RNG.integers(0, 6, (count, *SHAPE)).astype(np.uint8)
    x[np.arange(count), :, y[:, 0]] += 11
    return Split(x, y)


@pytest.fixture(scope="module")
def source():
    return DataSource("striped", striped(60), striped(12), (CLASSES,), LEVELS)


@pytest.fixture(scope="module")
def model():
    """InfoCNF with random weights throughout."""
    model = InfoCNF(SHAPE, CLASSES, **SMALL)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.2 * RNG.normal(size=weight.shape))
    return model


def test_a_swap_has_the_codes_of_its_two_images(model, source):
    contents, classes = source.test.x[:2], source.test.x[3:6]
    images = pictures.swaps(model, contents, classes, TOL)
    assert images.shape == (2, 3, *SHAPE)
    codes = model.encode(np.clip(images.reshape(6, *SHAPE), 0, 1), tol=TOL).numpy()
    inside = ((images > 0) & (images < 1)).all((2, 3, 4)).ravel()  # nothing was cut off
    assert inside.any()
    ends = [
        model.encode(pictures.unit_interval(model, x), tol=TOL).numpy()
        for x in (contents, classes)
    ]
    expected = np.concatenate(
        [np.tile(ends[1][:, :8], (2, 1)), np.repeat(ends[0][:, 8:], 3, 0)], 1
    )
    np.testing.assert_allclose(codes[inside], expected[inside], atol=1e-3)


def test_swapping_an_image_with_itself_gives_the_image(model, source):
    x = source.test.x[:3]
    images = pictures.swaps(model, x, x, TOL)
    u = pictures.unit_interval(model, x)
    np.testing.assert_allclose(images[np.arange(3), np.arange(3)], u, atol=1e-3)


def test_a_line_begins_and_ends_at_its_images_and_is_straight(model, source):
    first, second = source.test.x[:2], source.test.x[2:4]
    images = pictures.interpolations(model, first, second, 5, TOL)
    assert images.shape == (2, 5, *SHAPE)
    for i, x in [(0, first), (-1, second)]:
        u = pictures.unit_interval(model, x)
        np.testing.assert_allclose(images[:, i], u, atol=1e-3)
    ends = [
        model.encode(pictures.unit_interval(model, x), tol=TOL) for x in (first, second)
    ]
    middle = model.decode((ends[0] + ends[1]) / 2, tol=TOL)
    np.testing.assert_allclose(images[:, 2], middle, atol=1e-4)


def test_temperature_scales_the_deviation_of_the_same_draw(model):
    labels = np.array([[0], [2]], np.int32)
    images = pictures.tempered_samples(
        model, (0.0, 0.5, 1.0), labels=labels, seed=3, tol=TOL
    )
    assert images.shape == (3, 2, *SHAPE)
    np.testing.assert_array_equal(images[2], model.sample(labels, 3, tol=TOL))
    cold = pictures.tempered_samples(model, (0.0,), labels=labels, seed=99, tol=TOL)
    np.testing.assert_allclose(images[0], cold[0], atol=1e-6)  # the seed has no part
    means = model.labels[0].components().loc.numpy()[[0, 2]]
    decoded = model.decode(np.concatenate([means, np.zeros([2, 8])], 1), tol=TOL)
    np.testing.assert_allclose(images[0], decoded, atol=1e-5)


@pytest.mark.parametrize("kind", [CNF, CCNF])
def test_models_with_one_kind_of_code_have_nothing_to_swap(kind, source):
    model, x = (
        kind(SHAPE, **({} if kind is CNF else {"labels": CLASSES}), **SMALL),
        source.test.x[:1],
    )
    with pytest.raises(ValueError, match=r"Received: supervised_fraction="):
        pictures.swaps(model, x, x, TOL)


def test_tiles_stand_in_rows_with_lines_between():
    images = np.arange(6.0).reshape(2, 3, 1, 1, 1) / 10 * np.ones([1, 1, 2, 2, 1])
    picture = tiled(images)
    assert picture.shape == (8, 12, 1)
    np.testing.assert_array_equal(picture[1:3, 5:7, 0], np.full([2, 2], 0.1))
    np.testing.assert_array_equal(picture[5:7, 9:11, 0], np.full([2, 2], 0.5))
    assert (picture[:, [0, 3, 4, 7, 8, 11]] == 1).all()


def test_the_first_example_of_each_class_is_found():
    y = np.array([[2], [0], [2], [0]])
    assert pictures.first_of_each_class(y, 4).tolist() == [1, 0, 0, 0]


def test_pages_for_tensorboard_are_single_pictures(model, source):
    pages = pictures.gallery_pages(model, source.test.x, source.test.y, 1e-2)
    assert {name: page.shape for name, page in pages.items()} == {
        "samples": (1, 18, 48, 1),
        "interpolations": (1, 18, 48, 1),
        "swaps": (1, 18, 18, 1),
    }
    plain = CNF(SHAPE, **SMALL)
    pages = pictures.gallery_pages(plain, source.test.x, source.test.y, 1e-2)
    assert set(pages) == {"samples", "interpolations"}


def test_the_judge_learns_from_known_labels_and_judges_floats_and_levels(source):
    train = source.train
    judge = PixelClassifier(train, LEVELS)
    assert judge.error(source.test) == 0
    u = (source.test.x + RNG.random(source.test.x.shape)) / LEVELS
    np.testing.assert_array_equal(judge(u), source.test.y[:, 0])
    y = np.where(np.arange(60)[:, None] < 6, train.y, HIDDEN)
    few = PixelClassifier(Split(train.x, y), LEVELS)
    alone = PixelClassifier(Split(train.x[:6], train.y[:6]), LEVELS)
    weights = [judge.classifier[-1].coef_ for judge in (few, alone)]
    np.testing.assert_allclose(*weights)


@pytest.fixture(scope="module")
def arrays(model, source):
    return Gallery().compute(model, source, tol=1e-3)


def test_the_gallery_has_images_and_judgements(arrays, source):
    assert arrays["tempered"].shape == (5, 30, *SHAPE)
    assert arrays["tempered_judged"].shape == (5, 30)
    assert arrays["swaps"].shape == (12, 3, *SHAPE)
    assert arrays["interpolations"].shape == (3, 9, *SHAPE)
    pixel_means = arrays["class_means"][1]
    for k in range(CLASSES):
        chosen = source.train.x[source.train.y[:, 0] == k]
        expected = (chosen.mean(0) + 0.5) / LEVELS
        np.testing.assert_allclose(pixel_means[k], expected, rtol=1e-5)


def test_measures_count_the_judgements(arrays):
    measures = dict(Gallery().measures(arrays))
    assert measures["judge_error"] == 0
    assert measures["interpolations/end_error"] < 0.02
    swapped = arrays | {
        "swaps_judged": np.tile(np.arange(3), (12, 1)),
        "tempered_judged": np.tile(np.arange(30) % 3, (5, 1)),
        "class_means_judged": np.array([[0, 1, 1], [0, 1, 2]]),
    }
    measures = dict(Gallery().measures(swapped))
    assert measures["swaps/agreement"] == 100
    assert measures["swaps/kept"] == 0
    assert measures["tempered_0.7/agreement"] == 100
    assert measures["class_means/agreement"] == pytest.approx(200 / 3)
    # rows of one image each: the content alone makes the difference
    same = np.repeat(arrays["contents"][:12, None], 3, 1)
    measures = dict(Gallery().measures(arrays | {"swaps": same}))
    assert measures["swaps/content_share"] == pytest.approx(100)
    assert measures["swaps/class_share"] == pytest.approx(0, abs=1e-9)
    kept = arrays | {"swaps_judged": np.repeat(arrays["content_labels"][:, None], 3, 1)}
    measures = dict(Gallery().measures(kept))
    assert measures["swaps/agreement"] == 0
    assert measures["swaps/kept"] == 100


def test_an_unconditional_model_has_samples_and_lines(source):
    arrays = Gallery().compute(CNF(SHAPE, **SMALL), source, tol=1e-2)
    assert "swaps" not in arrays
    measures = dict(Gallery().measures(arrays))
    assert set(measures) == {"judge_error", "interpolations/end_error"}
    assert not tf.is_tensor(arrays["tempered"])
