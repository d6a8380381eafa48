"""Answers of many batches in one file, written as they come."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.files import temporary_folder

Answer = dict[str, np.ndarray]
Heads = Mapping[str, Sequence[str]]


class _CsvWriter:
    """A line an example; a vector takes a column for each entry."""

    def __init__(self, path: Path, names: Sequence[str], heads: Heads):
        self.file = path.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self.names, self.heads, self.done = names, heads, 0

    def add(self, answer: Answer) -> None:
        """Writes the rows of a batch; the first also the head."""
        for name, value in answer.items():
            if value.ndim > 2:
                raise ValueError(
                    "a table holds numbers and vectors; use --out=FILE.npz. "
                    f"Received: {name} with shape {list(value.shape)}"
                )
        if not self.done:
            self.writer.writerow(["example", *self._heads(answer)])
        columns = [value.reshape(len(value), -1) for value in answer.values()]
        for row in zip(*columns, strict=True):
            cells = [cell.item() for part in row for cell in part]
            self.writer.writerow([self.names[self.done], *cells])
            self.done += 1

    def _heads(self, answer: Answer) -> Iterator[str]:
        for name, value in answer.items():
            if value.ndim == 1:
                yield name
            else:
                ends = [h for end, h in self.heads.items() if name.endswith(end)]
                entries = ends[0] if ends else map(str, range(value.shape[1]))
                yield from (f"{name}_{entry}" for entry in entries)

    def close(self) -> None:
        """Ends the file."""
        self.file.close()


class _NpzWriter:
    """One array a name; until the end they grow as files of their own on disk."""

    def __init__(self, path: Path, names: Sequence[str], heads: Heads):
        self.path, self.names, self.done = path, names, 0
        self.columns: dict[str, Any] = {}

    def add(self, answer: Answer) -> None:
        """Copies a batch into the arrays."""
        for name, value in answer.items():
            if name not in self.columns:
                self.columns[name] = np.lib.format.open_memmap(
                    self.path.with_name(f"{len(self.columns)}.npy"),
                    "w+",
                    value.dtype,
                    (len(self.names), *value.shape[1:]),
                )
            self.columns[name][self.done : self.done + len(value)] = value
        self.done += len(value)

    def close(self) -> None:
        """Puts the arrays into the file, if all rows are there."""
        if self.done == len(self.names):
            with self.path.open("wb") as file:
                examples = np.array(self.names)
                np.savez(file, example=examples, **self.columns)
        self.columns.clear()


@contextmanager
def open_table(
    out: str, names: Sequence[str], heads: Heads
) -> Iterator[_CsvWriter | _NpzWriter]:
    """Gives a writer with ``add(answer)``; the file is whole or not there.

    Args:
        out: path that ends in .csv or .npz.
        names: of the examples.
        heads: names of the entries of vectors, by the ending of the vectors' names.

    Raises:
        ValueError: for another ending.
    """
    check_table(out)
    path = Path(out)
    kind = _CsvWriter if path.suffix == ".csv" else _NpzWriter
    with temporary_folder(path.parent, f".{path.name}-") as folder:
        writer = kind(folder / path.name, names, heads)
        try:
            yield writer
        finally:
            writer.close()
        os.replace(folder / path.name, path)


def check_table(out: str) -> None:
    """Raises a ValueError for a path that cannot become a table."""
    path = Path(out)
    if path.suffix not in (".csv", ".npz"):
        raise ValueError(f"out must end in .csv or .npz. Received: out={out!r}")
    if path.exists():
        raise ValueError(f"the file exists; choose another. Received: out={out!r}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"out must be in an existing folder. Received: out={out!r}")
