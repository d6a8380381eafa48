"""A user's own images: a folder of class folders, or an ``.npz`` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfcnf.data.image_files import list_images, natural_order, read_image, shown
from tfcnf.data.own_arrays import NUM_LEVELS, load_arrays
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.categorical import Categorical

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation")
TEST = ("test", "testing", *VALIDATION)  # the first that is there
TEST_SHARE = 5  # without a test folder, every fifth image of a class is for the test


def load(path: str) -> DataSource:
    """Images from a folder or a file.

    Args:
        path: an ``.npz`` file or a folder. The file has images ``x_train`` and
            ``x_test``, integers 0..255 of shape ``[n, H, W]`` or ``[n, H, W, C]``, and
            integer labels ``y_train`` and ``y_test``, ``[n]`` or ``[n, L]``, with a
            training example of every class. For a single factor it may name its
            classes by texts ``class_names``, ``[K]``. The folder has a folder of images
            for each class, or the folders ``train`` and ``test`` (without one ``val``)
            of such folders; beside ``test``, ``val`` is the validation split, as are
            ``x_validation`` and ``y_validation`` of a file. Classes are numbered in the
            natural order of the names of their folders, 2 before 10.

    Raises:
        ValueError: for a path, file or array that is none of these.
    """
    if path.endswith(".npz"):
        return load_arrays(path)
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(
            f"neither a folder of images nor an .npz file. Received: data={path!r}"
        )
    divided = _parts(folder)
    if divided:
        classes = _classes(divided[0])
        parts = [_files(part, classes) for part in divided]
    else:
        classes = _classes(folder)
        parts = _divide(_files(folder, classes))
    _check_files(path, classes, *parts[:2])
    images = _read_images([file for part in parts for files in part for file in files])
    ends = np.cumsum([sum(map(len, part)) for part in parts])[:-1]
    train, test, *more = (
        Split(x, _labels(part))
        for x, part in zip(np.split(images, ends), parts, strict=True)
    )
    label = Categorical(len(classes), classes)
    validation = more[0] if more else None
    return DataSource(path, train, test, (label,), NUM_LEVELS, validation=validation)


def _folders(folder: Path) -> list[str]:
    return [path.name for path in shown(folder) if path.is_dir()]


def _parts(folder: Path) -> list[Path]:
    """The folders of training, test and validation split; none where there are none."""
    names = {name.lower(): name for name in _folders(folder)}
    found = [[names[n] for n in known if n in names] for known in (TRAIN, TEST)]
    if all(found):
        rest = [names[n] for n in VALIDATION if n in names and names[n] != found[1][0]]
        more = rest[:1] if found[1][0].lower() not in VALIDATION else []
        return [folder / part for part in (found[0][0], found[1][0], *more)]
    if any(_folders(folder / part[0]) for part in found if part):
        raise ValueError(
            f"beside a folder of one split there must be one of the other, {TRAIN[0]} "
            f"and one of {', '.join(TEST)}. "
            f"Received: {str(folder)!r} with {', '.join(names)}"
        )
    return []


def _classes(folder: Path) -> list[str]:
    names = sorted(_folders(folder), key=natural_order)
    if not names:
        raise ValueError(
            "the folder must have a folder of images for each class. "
            f"Received: data={str(folder)!r}"
        )
    return names


def _files(folder: Path, classes: Sequence[str]) -> list[list[Path]]:
    """The files of each class, by name."""
    unknown = [name for name in _folders(folder) if name not in classes]
    if unknown:
        raise ValueError(
            "test folders must be of classes that have a training folder. "
            f"Received: {str(folder / unknown[0])!r}"
        )
    return [
        _class_files(folder / name) if (folder / name).is_dir() else []
        for name in classes
    ]


def _class_files(folder: Path) -> list[Path]:
    inner = _folders(folder)
    if inner:
        raise ValueError(
            "a class folder must hold images, not folders. "
            f"Received: {str(folder / inner[0])!r}"
        )
    return list_images(folder)


def _divide(files: list[list[Path]]) -> list[list[list[Path]]]:
    """Training and test files of each class."""

    def is_test(i: int) -> bool:
        return i % TEST_SHARE == TEST_SHARE - 1

    return [
        [[p for i, p in enumerate(part) if is_test(i) == test] for part in files]
        for test in (False, True)
    ]


def _check_files(
    path: str, classes: Sequence[str], train: list[list[Path]], test: list[list[Path]]
) -> None:
    empty = [name for name, files in zip(classes, train, strict=True) if not files]
    if empty or not any(test):
        raise ValueError(
            "there must be training images of every class, and test images; without a "
            f"test folder, {TEST_SHARE} of a class. Received: data={path!r} "
            f"with {f'no training image of {empty[0]}' if empty else 'no test image'}"
        )


def _labels(files: list[list[Path]]) -> np.ndarray:
    """Labels ``[n, 1]``, the number of the class for each of its files."""
    numbers: np.ndarray = np.arange(len(files), dtype=np.int32)
    return np.repeat(numbers, list(map(len, files)))[:, None]


def _read_images(files: Sequence[Path]) -> np.ndarray:
    """Images ``[n, H, W, C]``, with as many channels as any of them needs."""
    images = [read_image(file) for file in files]
    size = images[0].shape[:2]
    for file, image in zip(files, images, strict=True):
        if image.shape[:2] != size:
            raise ValueError(
                f"all images must have the same height and width, {size} "
                f"as the first. Received: {str(file)!r} with {image.shape[:2]}"
            )
    found = {image.shape[-1] for image in images}
    channels = (3 if max(found) > 2 else 1) + bool(found & {2, 4})
    return np.stack(
        [
            image if image.shape[-1] == channels else read_image(file, channels)
            for file, image in zip(files, images, strict=True)
        ]
    )
