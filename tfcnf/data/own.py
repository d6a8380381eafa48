"""A user's own images: a folder of class folders, or an ``.npz`` file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.data.source import DataSource, Split

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
TEST_SHARE = 5  # without a test folder, every fifth image of a class is for the test
NUM_LEVELS = 256


def load(path: str) -> DataSource:
    """Images from a folder or a file.

    Args:
        path: an ``.npz`` file with uint8 images ``x_train`` and ``x_test``,
            ``[n, H, W]`` or ``[n, H, W, C]``, and integer labels ``y_train`` and
            ``y_test``, ``[n]`` or ``[n, L]``; or a folder with a folder of images for
            each class, or with the folders ``train`` and ``test`` of such folders.
            Classes are numbered in the order of their names.

    Raises:
        ValueError: for a path, file or array that is none of these.
    """
    if path.endswith(".npz"):
        return _load_npz(path)
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(
            f"neither a folder of images nor an .npz file. Received: data={path!r}"
        )
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        classes = _classes(folder / "train")
        parts = [_files(folder / part, classes) for part in ("train", "test")]
    else:
        classes = _classes(folder)
        parts = _divide(_files(folder, classes))
    train, test = (_read_split(part, path) for part in parts)
    return DataSource(path, train, test, (len(classes),), NUM_LEVELS)


def _load_npz(path: str) -> DataSource:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as failure:
        raise ValueError(
            f"the .npz file cannot be read ({failure}). Received: data={path!r}"
        ) from failure
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ValueError(
            f"an .npz file must have the arrays {', '.join(ARRAYS)}. "
            f"Received: data={path!r} with {', '.join(arrays) or 'none'}"
        )
    train, test = (
        Split(_images(arrays, f"x_{part}", path), _labels(arrays, f"y_{part}", path))
        for part in ("train", "test")
    )
    if train.x.shape[1:] != test.x.shape[1:] or train.y.shape[1:] != test.y.shape[1:]:
        raise ValueError(
            "training and test arrays must have the same shapes but for their length. "
            f"Received: data={path!r} with x {train.x.shape} and {test.x.shape}, "
            f"y {train.y.shape} and {test.y.shape}"
        )
    classes = np.maximum(train.y.max(0), test.y.max(0)) + 1
    return DataSource(path, train, test, tuple(map(int, classes)), NUM_LEVELS)


def _images(arrays: dict[str, np.ndarray], name: str, path: str) -> np.ndarray:
    x = arrays[name]
    if x.ndim == 3:
        x = x[..., None]
    if x.dtype != np.uint8 or x.ndim != 4 or not x.size:
        raise ValueError(
            f"{name} must be uint8 images of shape [n, H, W] or [n, H, W, C]. "
            f"Received: data={path!r} with {name}: {arrays[name].dtype} {x.shape}"
        )
    return x


def _labels(arrays: dict[str, np.ndarray], name: str, path: str) -> np.ndarray:
    y = arrays[name]
    if y.ndim == 1:
        y = y[:, None]
    if not np.issubdtype(y.dtype, np.integer) or y.ndim != 2 or not y.size:
        raise ValueError(
            f"{name} must be integer labels of shape [n] or [n, L]. "
            f"Received: data={path!r} with {name}: {y.dtype} {arrays[name].shape}"
        )
    return y.astype(np.int32)


def _classes(folder: Path) -> list[str]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and _shown(p))
    if not names:
        raise ValueError(
            "the folder must have a folder of images for each class. "
            f"Received: data={str(folder)!r}"
        )
    return names


def _files(folder: Path, classes: Sequence[str]) -> list[list[Path]]:
    """The files of each class, by name."""
    other = [p.name for p in folder.iterdir() if p.is_dir() and _shown(p)]
    unknown = sorted(set(other) - set(classes))
    if unknown:
        raise ValueError(
            "test folders must be of classes that have a training folder. "
            f"Received: {str(folder / unknown[0])!r}"
        )
    found = []
    for name in classes:
        part = folder / name
        files = sorted(filter(_shown, part.iterdir())) if part.is_dir() else []
        for path in files:
            if path.suffix.lower() not in SUFFIXES:
                raise ValueError(
                    f"class folders must hold images alone ({', '.join(SUFFIXES)}). "
                    f"Received: {str(path)!r}"
                )
        found.append(files)
    return found


def _divide(files: list[list[Path]]) -> list[list[list[Path]]]:
    """Training and test files of each class."""

    def is_test(i: int) -> bool:
        return i % TEST_SHARE == TEST_SHARE - 1

    return [
        [[p for i, p in enumerate(part) if is_test(i) == test] for part in files]
        for test in (False, True)
    ]


def _read_split(files: list[list[Path]], path: str) -> Split:
    images: list[Any] = []
    labels: list[int] = []
    for label, part in enumerate(files):
        for file in part:
            image = _read_image(file)
            if images and image.shape != images[0].shape:
                raise ValueError(
                    "all images must have the same height, width and channels, "
                    f"{images[0].shape} as the first. "
                    f"Received: {str(file)!r} with {image.shape}"
                )
            images.append(image)
            labels.append(label)
    if not images:
        raise ValueError(
            "there must be training and test images; without a test folder, "
            f"{TEST_SHARE} of a class. Received: data={path!r}"
        )
    return Split(np.stack(images), np.asarray(labels, np.int32)[:, None])


def _read_image(path: Path) -> np.ndarray:
    try:
        image = tf.io.decode_image(tf.io.read_file(str(path)), expand_animations=False)
    except (tf.errors.OpError, ValueError) as failure:
        raise ValueError(
            f"the file cannot be read as an image. Received: {str(path)!r}"
        ) from failure
    return image.numpy()


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")
