"""A user's own images in an ``.npz`` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfcnf.data.arrays import ArrayFile, as_labels, as_levels
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.categorical import Categorical

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
VALIDATION = ("x_validation", "y_validation")  # both or none
NAMES = "class_names"
NUM_LEVELS = 256
FLAT = 4  # channels, or rows, at most, of what may have its channels in front
COLOURS = (1, 3)


def load_arrays(path: str) -> DataSource:
    """Images and labels of an ``.npz``, see `tfcnf.data.own.load`.

    Raises:
        ValueError: for a file that is damaged, or arrays of another shape or meaning.
    """
    file = ArrayFile(Path(path))
    needed = ARRAYS + VALIDATION * any(name in file.names for name in VALIDATION)
    missing = [name for name in needed if name not in file.names]
    if missing:
        raise ValueError(
            f"an .npz file must have the arrays {', '.join(needed)}. "
            f"Received: data={path!r} with {', '.join(file.names) or 'none'}"
        )
    arrays = [file.read(name) for name in needed]
    _refuse_one_hot(path, *arrays[1::2])
    train, test, *more = (
        _split(f"data={path!r} with {name[2:]}", x, y)
        for name, x, y in zip(needed[::2], arrays[::2], arrays[1::2], strict=True)
    )
    for other in (test, *more):
        _check_shapes(path, train, other)
    columns = [
        np.concatenate(c) for c in zip(*(s.y.T for s in (test, *more)), strict=True)
    ]
    classes = [
        _num_classes(f"data={path!r}, factor {i}", *pair)
        for i, pair in enumerate(zip(train.y.T, columns, strict=True))
    ]
    names = _class_names(path, file, classes)
    labels = [
        Categorical(count, named) for count, named in zip(classes, names, strict=True)
    ]
    validation = more[0] if more else None
    return DataSource(path, train, test, labels, NUM_LEVELS, validation=validation)


def _check_shapes(path: str, train: Split, other: Split) -> None:
    if train.x.shape[1:] != other.x.shape[1:] or train.y.shape[1:] != other.y.shape[1:]:
        raise ValueError(
            "the arrays of all splits must have the same shapes but for their length. "
            f"Received: data={path!r} with x {train.x.shape} and {other.x.shape}, "
            f"y {train.y.shape} and {other.y.shape}"
        )


def _split(where: str, x: np.ndarray, y: np.ndarray) -> Split:
    return Split(_images(f"{where} images", x), _labels(f"{where} labels", y))


def _images(where: str, x: np.ndarray) -> np.ndarray:
    """Grey levels ``[n, H, W, C]``."""
    images = x[..., None] if x.ndim == 3 else x
    if images.ndim != 4 or not images.size:
        raise ValueError(
            "images must be uint8 of shape [n, H, W] or [n, H, W, C], at least one. "
            f"Received: {where} of shape {list(x.shape)}"
        )
    _, rows, _, channels = images.shape
    if channels not in COLOURS and rows <= FLAT and rows < channels:
        raise ValueError(
            "the channels must come last; x.transpose(0, 2, 3, 1) puts them there. "
            f"Received: {where} of shape {list(x.shape)}, {rows} pixels high with "
            f"{channels} channels"
        )
    return as_levels(where, images)


def _labels(where: str, y: np.ndarray) -> np.ndarray:
    """Labels ``[n, L]``."""
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(
            "labels must be integers of shape [n] or [n, L], at least one. "
            f"Received: {where} of shape {list(y.shape)}"
        )
    return as_labels(where, y.reshape(len(y), -1))


def _refuse_one_hot(path: str, *labels: np.ndarray) -> None:
    """Refuses ``[n, K]`` where every row is 0 but for one 1."""

    def is_one_hot(y: np.ndarray) -> bool:
        numbers = y.dtype.kind in "biuf" and y.ndim == 2 and y.shape[1] > 1
        return numbers and bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())

    if all(map(is_one_hot, labels)):
        raise ValueError(
            "labels must be class numbers, not one-hot vectors; y.argmax(1) makes "
            "them. A column is a label factor with classes of its own. "
            f"Received: data={path!r} with labels of shape {list(labels[0].shape)}"
        )


def _num_classes(where: str, train: np.ndarray, test: np.ndarray) -> int:
    """Classes of a factor; each must have a training example."""
    seen = np.unique(train)
    count = max(int(seen[-1]), int(test.max())) + 1
    if len(seen) < count:
        gaps = np.flatnonzero(seen != np.arange(len(seen)))
        first = int(gaps[0]) if len(gaps) else len(seen)
        raise ValueError(
            "every class 0..K-1 must have a training example; number those that have "
            "one, by np.unique(y, return_inverse=True)[1] for instance, and leave out "
            f"test examples of others. Received: {where} labels up to {count - 1}, "
            f"none of class {first}"
        )
    return count


def _class_names(
    path: str, file: ArrayFile, classes: list[int]
) -> list[list[str] | None]:
    """Names of the classes of a single factor, if the file has them."""
    if NAMES not in file.names:
        return [None] * len(classes)
    names = file.read(NAMES)
    is_text = names.dtype.kind == "U" and [*names.shape] == classes and names.ndim == 1
    if not is_text or len({*names.tolist()}) < len(names):
        raise ValueError(
            f"{NAMES} must be {' and '.join(map(str, classes))} different texts, for "
            f"the classes of a single factor. Received: data={path!r} with "
            f"{names.dtype} of shape {list(names.shape)}"
        )
    return [names.tolist()]
