"""Arrays that someone else wrote: looked at before they are read or narrowed."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes
DEFLATED = 1032  # bytes that deflate makes of one, at most


class Header(NamedTuple):
    """Header of an array."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """The arrays of numbers of an ``.npz``.

    Whatever is wrong with the file is a ValueError, and nothing is allocated for an
    array that the file has no place for.

    Args:
        path: the file.

    Raises:
        ValueError: for a file that is no ``.npz``.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._blamed(), zipfile.ZipFile(path) as file:
            members = file.namelist()
        self.names = [m.removesuffix(".npy") for m in members if m.endswith(".npy")]

    def header(self, name: str) -> Header:
        """Shape, order and type of an array, once they agree with the file.

        Raises:
            ValueError: for an array that is damaged, or not of numbers.
        """
        with self._opened(name) as (_, header):
            return header

    def read(self, name: str) -> np.ndarray:
        """A whole array.

        Raises:
            ValueError: as `header`.
        """
        with self._opened(name) as (stream, header):
            data = np.frombuffer(_take(stream, header.size, True), header.dtype)
            order = "F" if header.fortran_order else "C"
            return data.reshape(header.shape, order=order)

    def batches(self, name: str, size: int) -> Iterator[np.ndarray]:
        """Yields ``size`` rows of an array at a time; the last may be fewer.

        Only a batch is in memory, unless the array is in Fortran order.

        Raises:
            ValueError: as `header`.
        """
        header = self.header(name)
        starts = range(0, header.shape[0], size)
        if header.fortran_order:
            array = self.read(name)
            yield from (array[start : start + size] for start in starts)
            return
        row = header.size // header.shape[0] if header.size else 0
        with self._opened(name) as (stream, _):
            for start in starts:
                count = min(size, header.shape[0] - start)
                data = _take(stream, count * row, start + size >= header.shape[0])
                batch = np.frombuffer(data, header.dtype)
                yield batch.reshape(count, *header.shape[1:])

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[tuple[IO[bytes], Header]]:
        """The stream behind the header of an array, and the header."""
        with self._blamed(name), zipfile.ZipFile(self.path) as file:
            member = file.getinfo(f"{name}.npy")
            _check_member(member, self.path.stat().st_size)
            with file.open(member) as stream:
                header = _read_header(stream)
                _check_header(header, member.file_size - stream.tell())
                yield stream, header

    @contextlib.contextmanager
    def _blamed(self, name: str = "") -> Iterator[None]:
        """Says of which file and array a failure is."""
        try:
            yield
        except Exception as failure:  # damaged bytes may fail anywhere below
            reason = str(failure).partition("\n")[0] or type(failure).__name__
            where = f" with array {name}" * bool(name)
            raise ValueError(
                f"the .npz file cannot be read ({reason}). "
                f"Received: {str(self.path)!r}{where}"
            ) from failure


def _read_header(stream: IO[bytes]) -> Header:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    if version not in read:
        raise ValueError(f"no array of numbers, version {version}")
    return Header(*read[version](stream))


def _check_member(member: zipfile.ZipInfo, place: int) -> None:
    """Refuses a member that promises more bytes than the file can hold."""
    if member.compress_type not in METHODS:
        raise ValueError(f"compression method {member.compress_type}, not NumPy's")
    most = member.compress_size
    if member.compress_type == zipfile.ZIP_DEFLATED:
        most *= DEFLATED
    if member.compress_size > place or member.file_size > most:
        raise ValueError(f"no place for the {member.file_size} bytes that it promises")


def _check_header(header: Header, rest: int) -> None:
    if header.dtype.kind not in "biufU":
        raise ValueError(f"neither numbers nor text, {header.dtype}")
    if min(header.shape, default=0) < 0 or header.size != rest:
        raise ValueError(
            f"shape {list(header.shape)} of {header.dtype} needs {header.size} bytes, "
            f"and there are {rest}"
        )


def _take(stream: IO[bytes], count: int, last: bool) -> bytes:
    """The next bytes; with the last ones the check sum is looked at."""
    data = stream.read(count)
    if len(data) != count or (last and stream.read(1)):
        raise ValueError("the array ends early")
    return data


def as_levels(where: str, x: np.ndarray) -> np.ndarray:
    """Grey levels as uint8, if they are integers 0..255 of whatever type.

    Raises:
        ValueError: for others; it ends with ``where``, the file and array.
    """
    if x.dtype.kind not in "iu":
        raise ValueError(
            "images must be uint8, or other integers 0..255. "
            f"Received: {where} of {x.dtype}"
        )
    low, high = int(x.min()), int(x.max())
    if low < 0 or high > np.iinfo(np.uint8).max:
        raise ValueError(
            "images must be grey levels 0..255; scale them yourself, 12 bits for "
            "instance by value * 255 // 4095. "
            f"Received: {where} with values from {low} to {high}"
        )
    return x.astype(np.uint8)


def as_labels(where: str, y: np.ndarray) -> np.ndarray:
    """Labels as int32, if they are integers from 0 on that it can hold.

    Raises:
        ValueError: for others; it ends with ``where``, the file and array.
    """
    if y.dtype.kind not in "iu":
        raise ValueError(
            "there must be integer labels; y.astype(int) makes them of whole numbers. "
            f"Received: {where} of {y.dtype}"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(
            "labels must be classes 0..K-1; "
            "np.unique(y, return_inverse=True)[1] numbers them so. "
            f"Received: {where} with labels from {low} to {high}"
        )
    return y.astype(np.int32)
