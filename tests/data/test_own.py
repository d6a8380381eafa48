"""A user's own images, and tfds data sets beyond those of the catalog."""

import socket

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

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
    x, y = next(iter(training_batches(source, 4, 0, 0)))
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
    arrays = {
        "x_train": rng.integers(0, 256, (8, 6, 4), np.uint8),
        "y_train": rng.integers(0, 3, shape),
        "x_test": rng.integers(0, 256, (8, 6, 4), np.uint8),
        "y_test": np.full(shape, 3),
    }
    np.savez(tmp_path / "own.npz", **arrays)
    source = catalog.get(str(tmp_path / "own.npz"))
    assert source.num_classes == (4,) * (factors or 1)
    np.testing.assert_array_equal(source.train.x[..., 0], arrays["x_train"])
    np.testing.assert_array_equal(source.train.y.reshape(shape), arrays["y_train"])
    np.testing.assert_array_equal(source.test.x[..., 0], arrays["x_test"])
    assert source.test.y.dtype == np.int32


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
    x, _ = next(iter(training_batches(source, 6, 0, 0)))
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
    assert source.event_shape == (28, 28, 1)
    assert (source.num_classes, source.num_levels) == ((10,), 256)
    assert (len(source.train), len(source.test)) == (5, 3)
    for split in (source.train, source.test):
        np.testing.assert_array_equal(split.x[:, 0, 0, 0], 10 * split.y[:, 0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("imdb_reviews", "must have an image and a class label"),
        ("cats_vs_dogs", "must have one size"),
    ],
)
def test_data_of_another_kind_is_refused(name, message, tmp_path, as_prepared):
    with pytest.raises(ValueError, match=message) as failure:
        catalog.get(f"tfds:{name}", str(tmp_path))
    assert f"Received: data='tfds:{name}'" in str(failure.value)
