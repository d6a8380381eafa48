"""Images to be asked about, read a batch at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")


class ImageFolder:
    """The image files of a folder, in the order of their names.

    Their 8 bits become grey levels 0..L-1 as ``value * L // 256``, which for L = 256
    leaves them as they are.

    Args:
        path: the folder.
        num_levels: grey levels L of the model.

    Raises:
        ValueError: for a folder without images.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, num_levels: int):
        self.files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        self.num_levels = num_levels
        if not self.files:
            raise ValueError(
                f"the folder has no images ({', '.join(SUFFIXES)}). "
                f"Received: images={str(path)!r}"
            )

    def __len__(self) -> int:
        return len(self.files)

    @property
    def names(self) -> list[str]:
        """File names."""
        return [path.name for path in self.files]

    def batches(self, shape: tuple[int, ...], size: int) -> Iterator[dict[str, Any]]:
        """Yields ``{"image": [B, *shape]}``.

        Raises:
            ValueError: for a file that is no image, or not of this shape.
        """
        for start in range(0, len(self), size):
            chosen = self.files[start : start + size]
            yield {"image": np.stack([self._read(path, shape) for path in chosen])}

    def _read(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        try:
            image = tf.io.decode_image(
                path.read_bytes(), channels=shape[-1], expand_animations=False
            ).numpy()
        except (tf.errors.InvalidArgumentError, OSError) as failure:
            raise ValueError(
                f"the file cannot be read as an image. Received: {str(path)!r}"
            ) from failure
        if image.shape != shape:
            raise ValueError(
                f"images must have shape {list(shape)}. "
                f"Received: {str(path)!r} with {list(image.shape)}"
            )
        return (image.astype(np.uint16) * self.num_levels // 256).astype(np.uint8)


class ImageArrays:
    """The array ``image`` of an ``.npz``, and ``label`` if it is there.

    Integers are grey levels, floats are in [0, 1]. Only a batch is in memory.

    Args:
        path: the file.

    Raises:
        ValueError: where the file is no ``.npz`` or has no such array.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as file:
                members = {name.removesuffix(".npy") for name in file.namelist()}
        except (OSError, zipfile.BadZipFile) as failure:
            raise ValueError(
                f"the file cannot be read as .npz. Received: images={str(path)!r}"
            ) from failure
        self.arrays = [name for name in ("image", "label") if name in members]
        if "image" not in members:
            raise ValueError(
                "the file must have an array `image`. "
                f"Received: images={str(path)!r} with {', '.join(sorted(members))}"
            )
        headers = {name: self._open(name)[1:] for name in self.arrays}
        self.shape, dtype = headers["image"]
        if not self.shape or not self.shape[0]:
            raise ValueError(
                f"there must be at least one image. Received: images={str(path)!r} "
                f"with shape {list(self.shape)}"
            )
        if dtype.kind not in "iuf":
            raise ValueError(
                "images must be integers or floats. "
                f"Received: images={str(path)!r} with dtype {dtype}"
            )
        if "label" in headers and headers["label"][0][:1] != self.shape[:1]:
            raise ValueError(
                "there must be a label for each image. "
                f"Received: {self.shape[0]} images, labels {headers['label'][0]}"
            )
        self.dtype = np.dtype(np.float32 if dtype.kind == "f" else np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def names(self) -> list[str]:
        """Numbers from 0."""
        return [str(i) for i in range(len(self))]

    def batches(self, shape: tuple[int, ...], size: int) -> Iterator[dict[str, Any]]:
        """Yields ``{"image": [B, *shape]}``, and ``"label"`` where there are labels.

        Raises:
            ValueError: for another shape, or integers that are no grey levels.
        """
        if self.shape[1:] != shape:
            raise ValueError(
                f"images must have shape {['n', *shape]}. "
                f"Received: images={str(self.path)!r} with {list(self.shape)}"
            )
        opened = {name: self._open(name) for name in self.arrays}
        for start in range(0, len(self), size):
            count = min(size, len(self) - start)
            batch: dict[str, Any] = {
                name: _take(*parts, count) for name, parts in opened.items()
            }
            image = batch["image"]
            if self.dtype == np.uint8 and (image.min() < 0 or image.max() > 255):
                raise ValueError(
                    "integer images must be grey levels. "
                    f"Received: values from {image.min()} to {image.max()}"
                )
            batch["image"] = image.astype(self.dtype)
            yield batch

    def _open(self, name: str) -> tuple[Any, tuple[int, ...], np.dtype]:
        """The stream behind an array's header, its shape and dtype."""
        stream = zipfile.ZipFile(self.path).open(f"{name}.npy")  # noqa: SIM115
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(stream)
        if fortran_order or dtype.hasobject:
            raise ValueError(
                f"the array `{name}` must be in C order and hold numbers. "
                f"Received: images={str(self.path)!r}"
            )
        return stream, shape, dtype


def _take(
    stream: Any, shape: tuple[int, ...], dtype: np.dtype, count: int
) -> np.ndarray:
    """The next ``count`` rows of an array that is read as a stream."""
    row = shape[1:]
    data = stream.read(count * int(np.prod(row, dtype=int)) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(count, *row)


def open_images(path: str, num_levels: int) -> ImageFolder | ImageArrays:
    """Images of a folder or of an ``.npz``.

    Raises:
        ValueError: for a path that is neither.
    """
    place = Path(path)
    if place.is_dir():
        return ImageFolder(place, num_levels)
    if place.is_file():
        return ImageArrays(place)
    raise ValueError(
        f"images must be a folder or an .npz file. Received: images={path!r}"
    )
