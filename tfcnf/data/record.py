"""A record of a data set: enough to build its model, and to know it again."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcnf.data.series import SeriesColumns, SeriesSource
from tfcnf.data.source import DataSource, Split

PRECISION = 1e-6  # floats drawn on two machines differ by less, other data by more


@dataclass(frozen=True)
class SplitRecord:
    """A record of a split.

    Attributes:
        size: examples.
        fingerprint: of each array, see `record_of`.
        passes: as of a `Split`.
    """

    size: int
    fingerprint: Sequence[str | float]
    passes: int = 1

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True)
class DataRecord:
    """A record of a data set, in values that JSON has.

    Attributes:
        name: catalog name or path.
        keywords: see `DataSource.model_keywords`.
        class_names: names of the classes of each label factor; none of series.
        flip: whether training images are flipped at random.
        splits: by name.
        exchanged: differences from the data that a training was begun with.
        task: kind of data, see `tfcnf.tasks`.
        table_columns: names of those of `SeriesSource.table_columns`, if any.
    """

    name: str
    keywords: Mapping[str, Any]
    class_names: Sequence[Sequence[str]]
    flip: bool
    splits: Mapping[str, SplitRecord]
    exchanged: Sequence[str] = ()
    task: str = "images"
    table_columns: Sequence[str] = ()

    @property
    def train(self) -> SplitRecord:
        """The training split."""
        return self.splits["train"]

    def model_keywords(self) -> dict[str, Any]:
        """Keywords of the model's constructor that the data decide."""
        return dict(self.keywords)

    def changes(self, other: DataRecord) -> list[str]:
        """Differences of another data set; its name may differ."""
        found = []
        for name in dict.fromkeys([*self.splits, *other.splits]):
            old, new = self.splits.get(name), other.splits.get(name)
            if old is None or new is None or old.size != new.size:
                sizes = [0 if split is None else split.size for split in (old, new)]
                found.append(f"{name} had {sizes[0]} examples and has {sizes[1]}")
            elif not _is_close(old.fingerprint, new.fingerprint):
                found.append(f"the examples or labels of {name} are others")
        mine, theirs = (
            {"class_names": data.class_names, **data._unnamed(), "flip": data.flip}
            for data in (self, other)
        )
        for name, was in mine.items():
            if not _is_close(was, theirs.get(name)) and not (found and _floats(was)):
                found.append(f"{name} was {was} and is {theirs.get(name)}")
        return found

    def _unnamed(self) -> dict[str, Any]:
        """The keywords without the names of classes, which stand in `class_names`."""
        labels = [
            {key: value for key, value in label.items() if key != "names"}
            for label in self.keywords.get("labels", ())
        ]
        return {**self.keywords, "labels": labels}

    def find_class(self, label: str) -> int:
        """Number of a class of the first label factor by its name, or by its number.

        A number is a name first: where folders are called 1, 2 and 5, label 5 is the
        third class.

        Raises:
            ValueError: for a label that is neither.
        """
        names = list(self.class_names[0]) if self.class_names else []
        if label in names:
            return names.index(label)
        if label.isdecimal() and int(label) < len(names):
            return int(label)
        shown = ", ".join(names[:10]) + ", ..." * (len(names) > 10)
        raise ValueError(
            f"labels must be in 0..{len(names) - 1}, or be the name of a class "
            f"({shown}). Received: label={label!r}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries; see `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> DataRecord:
        """The record that `to_json` was called of.

        Raises:
            ValueError: for anything else.
        """
        try:
            splits = {k: SplitRecord(**v) for k, v in value["splits"].items()}
            record = cls(**{**value, "splits": splits})
            if not splits["train"].size > 0 or not isinstance(record.keywords, dict):
                raise ValueError("no training examples or no keywords")
            texts = [
                record.task,
                *record.table_columns,
                *record.exchanged,
                *itertools.chain(*record.class_names),
            ]
            if not all(isinstance(text, str) for text in texts):
                raise ValueError("names that are no texts")
        except (TypeError, KeyError, AttributeError, ValueError) as failure:
            raise ValueError(f"it is no record of data ({failure})") from failure
        return record


def record_of(source: DataSource | SeriesSource) -> DataRecord:
    """The record of a data set.

    The fingerprint of an array of integers is SHA-256 over type, shape and values. An
    array of floats has its norm and a sum with fixed weights instead: data that are
    drawn anew on another machine may differ in their last digits.
    """
    splits: dict[str, Split] = {**source.splits, **getattr(source, "domains", {})}
    columns: SeriesColumns | None = getattr(source, "table_columns", None)
    record = DataRecord(
        source.name,
        source.model_keywords(),
        getattr(source, "class_names", ()),
        source.flip,
        {
            name: SplitRecord(len(split), [*_fingerprint(split)], split.passes)
            for name, split in splits.items()
        },
        task=source.task,
        table_columns=columns.names if columns else (),
    )
    return DataRecord.from_json(json.loads(json.dumps(record.to_json())))


def _fingerprint(split: Split) -> Iterator[str | float]:
    for field in dataclasses.fields(split):
        value = getattr(split, field.name)
        for array in value if isinstance(value, tuple) else (value,):
            if isinstance(array, np.ndarray) and array.size:
                yield from (
                    _float_sums(array) if array.dtype.kind == "f" else _hash(array)
                )


def _hash(array: np.ndarray) -> Iterator[str]:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    yield digest.hexdigest()


def _float_sums(array: np.ndarray) -> Iterator[str | float]:
    yield f"{array.dtype.str} {array.shape}"
    values = np.nan_to_num(array).astype(np.float64).ravel()
    weights = np.modf(np.arange(1, values.size + 1) * (math.sqrt(5) - 1) / 2)[0] - 0.5
    norm = float(np.linalg.norm(values))
    yield norm
    yield float(weights @ values) / (norm or 1.0)


def _is_close(old: Any, new: Any) -> bool:
    """Equality up to the precision of floats."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_is_close(old[k], new[k]) for k in old)
    if isinstance(old, list) and isinstance(new, list):
        pairs = zip(old, new, strict=False)
        return len(old) == len(new) and all(_is_close(a, b) for a, b in pairs)
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=PRECISION, abs_tol=PRECISION)
    return bool(old == new)


def _floats(value: Any) -> bool:
    """Floats anywhere in a value, which follow from the examples."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return isinstance(value, float) or (
        isinstance(value, list) and any(map(_floats, value))
    )
