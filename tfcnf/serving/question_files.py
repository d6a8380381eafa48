"""Images to be asked about, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.data.arrays import ArrayFile, as_labels, as_levels
from tfcnf.data.image_files import SUFFIXES, list_all_images, read_image

ARRAYS = {"image": "label", "x_test": "y_test"}  # images and their labels


class ImageFolder:
    """The image files of a folder and of the folders in it, in the order of names.

    They are read as for training. Their 8 bits become grey levels 0..L-1 as
    ``value * L // 256``, which for L = 256 leaves them as they are.

    Args:
        path: the folder.
        num_levels: grey levels L of the model.
        classes: names of the model's classes, if it has a single factor of them. An
            image in a folder of such a name has that label, as in training.

    Raises:
        ValueError: for a folder without images.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, num_levels: int, classes: Sequence[str] = ()):
        self.path, self.num_levels, self.classes = path, num_levels, [*classes]
        self.files = list_all_images(path)
        if not self.files:
            raise ValueError(
                f"the folder has no images ({', '.join(SUFFIXES)}). "
                f"Received: images={str(path)!r}"
            )

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labelled(self) -> bool:
        """True where each image is in a folder that has the name of a class."""
        return all(path.parent.name in self.classes for path in self.files)

    @property
    def names(self) -> list[str]:
        """File names, behind those of the folders they are in."""
        return [path.relative_to(self.path).as_posix() for path in self.files]

    def batches(
        self, shape: tuple[int, ...], size: int, labels: Any = None
    ) -> Iterator[dict[str, Any]]:
        """Yields ``{"image": [B, *shape]}``, and ``"label"`` if given their dtype.

        Raises:
            ValueError: for a file that is no image, or not of this shape.
        """
        for start in range(0, len(self), size):
            chosen = self.files[start : start + size]
            images = np.stack([self._read(path, shape) for path in chosen])
            batch: dict[str, Any] = {"image": images}
            if labels:
                found = [self.classes.index(path.parent.name) for path in chosen]
                batch["label"] = np.array(found, labels)
            yield batch

    def _read(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        image = read_image(path, shape[-1])
        if image.shape != shape:
            raise ValueError(
                f"images must have shape {list(shape)}. "
                f"Received: {str(path)!r} with {list(image.shape)}"
            )
        return (image.astype(np.uint16) * self.num_levels // 256).astype(np.uint8)


class ImageArrays:
    """The array ``image`` of an ``.npz``, and ``label`` if it is there.

    Of a file that one trains on, ``x_test`` and ``y_test``. Integers are grey levels,
    floats have black 0 and white 1. Only a batch is in memory.

    Args:
        path: the file.

    Raises:
        ValueError: where the file is no ``.npz`` or has no such array.
    """

    def __init__(self, path: Path):
        self.file = ArrayFile(path)
        found = [name for name in ARRAYS if name in self.file.names]
        if not found:
            raise ValueError(
                f"the file must have an array `{'` or `'.join(ARRAYS)}`. "
                f"Received: images={str(path)!r} with {', '.join(self.file.names)}"
            )
        self.image, self.label = found[0], ARRAYS[found[0]]
        self.labelled = self.label in self.file.names
        self.shape, _, dtype = self.file.header(self.image)
        if 0 in self.shape or not self.shape:
            raise ValueError(
                f"there must be at least one image. Received: images={str(path)!r} "
                f"with shape {list(self.shape)}"
            )
        if dtype.kind not in "iuf":
            raise ValueError(
                "images must be integers or floats. "
                f"Received: images={str(path)!r} with dtype {dtype}"
            )
        labels = self.file.header(self.label).shape if self.labelled else self.shape
        if labels[:1] != self.shape[:1]:
            raise ValueError(
                "there must be a label for each image. "
                f"Received: {self.shape[0]} images, labels {list(labels)}"
            )
        self.dtype = np.dtype(np.float32 if dtype.kind == "f" else np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def names(self) -> list[str]:
        """Numbers from 0."""
        return [str(i) for i in range(len(self))]

    def batches(
        self, shape: tuple[int, ...], size: int, labels: Any = None
    ) -> Iterator[dict[str, Any]]:
        """Yields ``{"image": [B, *shape]}``, and ``"label"`` if given their dtype.

        Raises:
            ValueError: for another shape, integers that are no grey levels, or labels
                that are no integers.
        """
        where = f"images={str(self.file.path)!r}"
        flat = shape[-1] == 1 and self.shape[1:] == shape[:-1]
        if self.shape[1:] != shape and not flat:
            front = self.shape[1:] == (shape[-1], *shape[:-1])
            advice = "; x.transpose(0, 2, 3, 1) puts the channels last" * front
            raise ValueError(
                f"images must have shape {['n', *shape]}{advice}. "
                f"Received: {where} with {list(self.shape)}"
            )
        rows = self.file.batches(self.label, size) if labels else None
        for image in self.file.batches(self.image, size):
            levels = self.dtype == np.uint8
            image = as_levels(where, image) if levels else image.astype(self.dtype)
            batch: dict[str, Any] = {"image": image.reshape(-1, *shape)}
            if rows is not None:
                label = next(rows)
                whole = np.issubdtype(labels, np.integer)
                batch["label"] = (
                    as_labels(where, label) if whole else label.astype(labels)
                )
            yield batch


def open_images(
    path: str, num_levels: int, classes: Sequence[str] = ()
) -> ImageFolder | ImageArrays:
    """Images of a folder or of an ``.npz``; the arguments are those of `ImageFolder`.

    Raises:
        ValueError: for a path that is neither.
    """
    place = Path(path)
    if place.is_dir():
        return ImageFolder(place, num_levels, classes)
    if place.is_file():
        return ImageArrays(place)
    raise ValueError(
        f"images must be a folder or an .npz file. Received: images={path!r}"
    )
