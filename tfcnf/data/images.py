"""Image sources through tensorflow-datasets."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfcnf.data import digits
from tfcnf.data.source import DataSource, Split

HOSTS = {"mnist": "storage.googleapis.com", "cifar10": "www.cs.toronto.edu"}


def load_digits(data_dir: str | None = None) -> DataSource:
    """The embedded 8x8 digits; prepared on first use, without a download."""
    builder = digits.Digits(data_dir=data_dir)
    if not Path(builder.data_dir).exists():
        tfds.disable_progress_bar()
        builder.download_and_prepare()
        tfds.enable_progress_bar()
    return _from_builder(builder, digits.NUM_LEVELS)


def load_mnist(data_dir: str | None = None) -> DataSource:
    """MNIST, 28x28 grey images."""
    return _from_builder(_prepared("mnist", data_dir), 256)


def load_cifar10(data_dir: str | None = None) -> DataSource:
    """CIFAR10, 32x32 colour images, flipped at random in training (InfoCNF 4.1)."""
    return _from_builder(_prepared("cifar10", data_dir), 256, flip=True)


def _prepared(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """The builder of a data set found in data_dir, downloaded if need be and can be."""
    builder = tfds.builder(name, data_dir=data_dir)
    if Path(builder.data_dir).exists():
        return builder
    root = Path(builder.data_dir).parents[1]
    manual = root / "downloads" / "manual"
    try:
        if not (manual.is_dir() and any(manual.iterdir())):
            # asked first, because a download without a network retries for minutes
            socket.getaddrinfo(HOSTS[name], 443)
        builder.download_and_prepare()
    except OSError as failure:
        raise ValueError(
            f"{name} is not prepared in {builder.data_dir} and could not be "
            f"downloaded from {HOSTS[name]} ({failure}). Prepare it where there is a "
            f"network with `tfds build {name} --data_dir=DIR` and copy DIR/{name} to "
            f"{root / name}, or put its archives into {manual} and run again. "
            f"Received: data_dir={data_dir!r}"
        ) from failure
    return builder


def _from_builder(
    builder: tfds.core.DatasetBuilder, num_levels: int, flip: bool = False
) -> DataSource:
    """Decodes both splits once, into memory."""

    def split(name: str) -> Split:
        dataset = builder.as_dataset(split=name, batch_size=-1, shuffle_files=False)
        arrays = tfds.as_numpy(dataset)
        labels = np.asarray(arrays["label"], np.int32)[:, None]
        return Split(np.asarray(arrays["image"]), labels)

    classes = builder.info.features["label"].num_classes
    return DataSource(
        builder.name, split("train"), split("test"), (classes,), num_levels, flip
    )
