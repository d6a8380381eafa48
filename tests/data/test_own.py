"""A user's own images, and tfds data sets beyond those of the catalog."""

import socket

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given, settings

from tfcnf.data import catalog
from tfcnf.data.pipeline import training_batches


def image(i, shape=(6, 4, 3)):
    return np.full(shape, 10 * i, np.uint8)


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.save_img(path, values, scale=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_class_folders_is_divided_by_class(channels, tmp_path):
    shape = (6, 4, channels)
    for i in range(10):
        write(
            tmp_path / "own" / ("cats" if i < 5 else "dogs") / f"{i}.png",
            image(i, shape),
        )
    (tmp_path / "own" / ".hidden").write_text("")
    source = catalog.get(str(tmp_path / "own"))
    assert source.event_shape == shape
    assert (source.num_classes, source.num_levels) == ((2,), 256)
    assert source.train.x.dtype == np.uint8
    assert source.train.x[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 50, 60, 70, 80]
    assert source.train.y[:, 0].tolist() == [0] * 4 + [1] * 4
    assert source.test.x[:, 0, 0, 0].tolist() == [40, 90]  # every fifth of a class
    assert source.test.y.tolist() == [[0], [1]]
    x, y = next(iter(training_batches(source, 4, seed=0, epoch=0)))
    assert (x.shape, y.shape) == ((4, *shape), (4, 1))


def test_train_and_test_folders_are_kept_apart(tmp_path):
    for part, name, i in [("train", "a", 1), ("train", "b", 2), ("test", "b", 3)]:
        write(tmp_path / part / name / "0.png", image(i))
    source = catalog.get(str(tmp_path))
    assert source.train.x[:, 0, 0, 0].tolist() == [10, 20]
    assert source.train.y.tolist() == [[0], [1]]
    assert source.test.x[:, 0, 0, 0].tolist() == [30]
    assert source.test.y.tolist() == [[1]]


@pytest.mark.parametrize("factors", [None, 2])
def test_an_npz_file_has_images_and_labels(factors, tmp_path):
    rng = np.random.default_rng(0)
    shape = (8,) if factors is None else (8, factors)
    pairs = np.stack([np.arange(8) % 3, np.arange(8) % 4], 1)
    arrays = {
        "x_train": rng.integers(0, 256, (8, 6, 4), np.uint8),
        "y_train": (np.arange(8) % 4 if factors is None else pairs),
        "x_test": rng.integers(0, 256, (8, 6, 4), np.uint8),
        "y_test": np.full(shape, 2),
    }
    np.savez(tmp_path / "own.npz", **arrays)
    source = catalog.get(str(tmp_path / "own.npz"))
    classes = (4,) if factors is None else (3, 4)
    assert source.num_classes == classes
    np.testing.assert_array_equal(source.train.x[..., 0], arrays["x_train"])
    np.testing.assert_array_equal(source.train.y.reshape(shape), arrays["y_train"])
    np.testing.assert_array_equal(source.test.x[..., 0], arrays["x_test"])
    assert source.test.y.dtype == np.int32


def folders(path, names):
    for name in names:
        write(path / name / "0.png", image(int(name[-1])))


def test_classes_are_numbered_in_natural_order_and_keep_their_names(tmp_path):
    for part in ("train", "Val"):
        folders(tmp_path / part, map(str, range(12)))
    source = catalog.get(str(tmp_path))
    assert source.class_names == (tuple(map(str, range(12))),)
    assert source.train.y[:, 0].tolist() == list(range(12))
    assert source.train.x[10, 0, 0, 0] == 0  # the image of folder 10
    np.testing.assert_array_equal(source.test.y, source.train.y)
    assert source.describe() == (
        f"{tmp_path}: 12 classes, 1 factor, 6x4x3, 256 levels; "
        "12 training and 12 test examples"
    )


def test_a_test_folder_goes_before_a_validation_folder(tmp_path):
    for part, i in [("training", 1), ("validation", 2), ("testing", 3)]:
        write(tmp_path / part / "a" / "0.png", image(i))
    source = catalog.get(str(tmp_path))
    assert (source.train.x[0, 0, 0, 0], source.test.x[0, 0, 0, 0]) == (10, 30)


@pytest.mark.parametrize("part", ["train", "test"])
def test_one_split_alone_is_refused(part, tmp_path):
    folders(tmp_path / part, ["a1", "b2"])
    with pytest.raises(ValueError, match="a folder of one split") as failure:
        catalog.get(str(tmp_path))
    assert str(failure.value).endswith(f"Received: {str(tmp_path)!r} with {part}")


def test_grey_and_coloured_images_are_read_together(tmp_path):
    write(tmp_path / "train" / "a" / "0.png", image(1, (6, 4, 1)))
    write(tmp_path / "train" / "a" / "1.png", image(2))
    write(tmp_path / "test" / "a" / "0.gif", image(3, (6, 4, 1)))
    source = catalog.get(str(tmp_path))
    np.testing.assert_array_equal(source.train.x, [image(1), image(2)])
    np.testing.assert_array_equal(source.test.x, [image(3)])


def test_folders_in_class_folders_and_empty_ones_are_refused(tmp_path):
    folders(tmp_path / "train", ["a1", "b2"])
    folders(tmp_path / "test", ["a1"])
    (tmp_path / "train" / "c").mkdir()
    with pytest.raises(ValueError, match=r"with no training image of c$"):
        catalog.get(str(tmp_path))
    folders(tmp_path / "train" / "c", ["d1"])
    with pytest.raises(ValueError, match=r"must hold images, not folders\. .*/c/d1'"):
        catalog.get(str(tmp_path))


def test_a_name_of_the_catalog_means_the_catalog(tmp_path, monkeypatch):
    folders(tmp_path / "pinwheel" / "train", ["a1"])
    folders(tmp_path / "pinwheel" / "test", ["a1"])
    monkeypatch.chdir(tmp_path)
    assert catalog.get("pinwheel").event_shape == (2,)
    assert catalog.get("./pinwheel").event_shape == (6, 4, 3)
    with pytest.raises(ValueError, match="unknown data set"):
        catalog.get("")  # not the working directory


def npz(path, **changes):
    arrays = {
        "x_train": np.zeros([4, 6, 4], np.uint8),
        "y_train": np.array([0, 1, 2, 1]),
        "x_test": np.zeros([2, 6, 4], np.uint8),
        "y_test": np.array([2, 0]),
    }
    np.savez(path / "own.npz", **(arrays | changes))
    return str(path / "own.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 5, 999999, 0])}, "up to 999999, none of class 1"),
        ({"y_test": np.array([0, 3])}, "labels up to 3, none of class 3"),
        ({"y_train": np.array([0, 1, 2**40, 2])}, "labels from 0 to 1099511627776"),
        ({"y_train": np.array([0, 1, 2, -1])}, "labels from -1 to 2"),
        ({"y_train": np.array([0, 1, 2, 1.5])}, "labels of float64"),
        (
            {"y_train": np.eye(3)[[0, 1, 2, 1]], "y_test": np.eye(3)[[2, 0]]},
            "labels of shape [4, 3]",
        ),
        ({"y_train": np.zeros([4, 1, 1], int)}, "labels of shape [4, 1, 1]"),
        (
            {"x_train": np.zeros([4, 3, 8, 8], np.uint8)},
            "3 pixels high with 8 channels",
        ),
        (
            {"x_train": np.zeros([4, 1, 28, 28], np.uint8)},
            "1 pixels high with 28 channels",
        ),
        ({"x_train": np.full([4, 6, 4], 4095)}, "with values from 4095 to 4095"),
        ({"x_train": np.zeros([4, 6, 4])}, "images of float64"),
        ({"x_train": np.zeros([4, 24], np.uint8)}, "images of shape [4, 24]"),
        ({"x_train": np.array(["a"] * 4)}, "images of shape [4]"),
    ],
)
def test_arrays_of_another_meaning_are_refused(changes, message, tmp_path):
    path = npz(tmp_path, **changes)
    with pytest.raises(ValueError, match="must") as failure:
        catalog.get(path)
    assert message in str(failure.value)
    assert f"data={path!r}" in str(failure.value)
    assert "\n" not in str(failure.value)


KINDS = st.sampled_from(["u1", "i8", "f4", "?", "<U2", "c8", "M8[s]"])
ANY = hnp.arrays(
    KINDS, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), ANY)
    )
)
@settings(max_examples=60, deadline=None)
def test_any_arrays_are_data_or_refused_in_one_line(tmp_path_factory, arrays):
    path = npz(tmp_path_factory.getbasetemp(), **arrays)
    try:
        source, refused = catalog.get(path), ""
        source.describe()
    except ValueError as failure:
        refused = str(failure)
    assert "\n" not in refused
    assert not refused or path in refused


def test_integers_of_any_type_and_order_are_read(tmp_path):
    x = np.arange(96).reshape(4, 6, 4)
    path = npz(tmp_path, x_train=np.asfortranarray(x), y_train=np.uint8([0, 1, 2, 1]))
    source = catalog.get(path)
    np.testing.assert_array_equal(source.train.x[..., 0], x)
    assert (source.train.x.dtype, source.train.y.dtype) == (np.uint8, np.int32)
    assert source.describe().endswith(
        "3 classes, 1 factor, 6x4x1, 256 levels; 4 training and 2 test examples"
    )


def test_an_npz_may_name_its_classes(tmp_path):
    names = np.array(["cat", "dog", "eel"])
    assert catalog.get(npz(tmp_path, class_names=names)).class_names == (tuple(names),)
    for bad in (names[:2], names[[0, 1, 1]], np.arange(3), names[:, None]):
        with pytest.raises(ValueError, match="class_names must be 3 different texts"):
            catalog.get(npz(tmp_path, class_names=bad))


def test_channels_may_be_few_or_many_where_they_are_last(tmp_path):
    for shape in [(6, 4, 3), (6, 4, 16), (2, 8, 1), (3, 8, 3)]:
        path = npz(
            tmp_path,
            x_train=np.zeros([4, *shape], np.uint8),
            x_test=np.zeros([2, *shape], np.uint8),
        )
        assert catalog.get(path).event_shape == shape


@pytest.fixture
def as_prepared(monkeypatch):
    """Data sets are taken as prepared, wherever they are."""

    def prepared(name, data_dir):
        return tfds.builder(name, data_dir=data_dir)

    monkeypatch.setattr("tfcnf.data.images._prepared", prepared)


def test_cifar10_of_tfds_own_mock_is_read(tmp_path, as_prepared):
    policy = tfds.testing.MockPolicy.USE_CODE
    with tfds.testing.mock_data(num_examples=12, policy=policy):
        source = catalog.get("cifar10", str(tmp_path))
    assert source.event_shape == (32, 32, 3)
    assert source.num_classes == (10,)
    assert (len(source.train), len(source.test)) == (12, 12)
    assert source.train.x.dtype == np.uint8
    assert source.flip
    x, _ = next(iter(training_batches(source, 6, seed=0, epoch=0)))
    assert x.shape == (6, 32, 32, 3)


def test_any_data_set_of_tfds_is_prepared_and_read(tmp_path, monkeypatch):
    def generators(self, dl_manager):
        return {
            part: ((i, {"image": image(i, (28, 28, 1)), "label": i}) for i in range(n))
            for part, n in [("train", 5), ("test", 3)]
        }

    builder = tfds.builder_cls("fashion_mnist")
    monkeypatch.setattr(builder, "_split_generators", generators)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    source = catalog.get("tfds:fashion_mnist", str(tmp_path))
    assert source.name == "fashion_mnist"
    assert source.class_names[0][:2] == ("T-shirt/top", "Trouser")
    assert source.event_shape == (28, 28, 1)
    assert (source.num_classes, source.num_levels) == ((10,), 256)
    assert (len(source.train), len(source.test)) == (5, 3)
    for split in (source.train, source.test):
        np.testing.assert_array_equal(split.x[:, 0, 0, 0], 10 * split.y[:, 0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("imdb_reviews", "must have an image, of uint8, and a class label"),
        ("cats_vs_dogs", "must have one size"),
        ("celeb_a", "must have an image, of uint8, and a class label"),
    ],
)
def test_data_of_another_kind_is_refused(name, message, tmp_path, as_prepared):
    with pytest.raises(ValueError, match=message) as failure:
        catalog.get(f"tfds:{name}", str(tmp_path))
    assert f"Received: data='tfds:{name}'" in str(failure.value)


def unknown(name, tmp_path):
    with pytest.raises(ValueError, match="Received: ") as failure:
        catalog.get(name, str(tmp_path))
    assert "\n" not in str(failure.value)
    assert f"Received: data={name!r}" in str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist:9.9.9", "no data set of this name, version and configuration"),
        ("mnist/foo=1", "no data set of this name, version and configuration"),
        ("mnist/foo", "no data set of this name, version and configuration"),
        ("huggingface:mnist", "other collections are not read"),
        ("", "no data set of this name, version and configuration"),
    ],
)
def test_names_that_tfds_does_not_know(name, message, tmp_path):
    assert message in unknown(f"tfds:{name}", tmp_path)


@given(st.text("mnist/:=.19*,[]\n", max_size=12).filter(lambda n: n[:5] != "mnist"))
@settings(max_examples=30, deadline=None)
def test_any_name_that_tfds_does_not_know_is_refused(tmp_path_factory, name):
    unknown(f"tfds:{name}", tmp_path_factory.getbasetemp())


def test_a_builder_that_fails_is_named(tmp_path, monkeypatch):
    def generators(self, dl_manager):
        raise AssertionError("Manual directory does not exist.\nMore about it")

    builder = tfds.builder_cls("fashion_mnist")
    monkeypatch.setattr(builder, "_split_generators", generators)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    message = unknown("tfds:fashion_mnist", tmp_path)
    assert "could not prepare this data set (Manual directory" in message
