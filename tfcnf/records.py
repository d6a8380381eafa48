"""Reader of the records that this software writes: JSON, and lines of it.

Records are read back after kills, full disks and edits by hand. What cannot be
understood is a ValueError that names the file, and the line where it has lines.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfcnf.files import replace_file

Record = dict[str, Any]
Fields = Mapping[str, type]
WORDS = {
    int: "an integer",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def damaged(path: Path, failure: Exception) -> ValueError:
    """The one line that says of a file that it is damaged, and why."""
    text = str(failure).partition("\n")[0]
    reason = text if isinstance(failure, ValueError) else repr(failure)[:200]
    return ValueError(f"{path.name} is damaged ({reason}). Received: {path}")


@contextmanager
def blame(path: Path) -> Iterator[None]:
    """Says of a file that it is damaged where what was read from it cannot be used.

    What fails by the machine (`OSError`: a full disk) passes.

    Raises:
        ValueError: naming the file, for whatever else fails within.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as failure:  # strange values may fail anywhere below
        raise damaged(path, failure) from failure


def read_json(path: Path) -> Any:
    """Whatever a JSON file holds.

    Raises:
        ValueError: naming the file, where it is damaged.
        FileNotFoundError: where it is absent.
    """
    try:
        return _load(path.read_bytes())
    except ValueError as failure:
        raise damaged(path, failure) from None


def read_record(
    path: Path, fields: Fields | None = None, rest: type | None = None
) -> Record:
    """The object that a JSON file holds.

    Args:
        path: the file.
        fields: types of the fields that must be there; ``a.b`` is field b of the
            object a. An integer is a number too.
        rest: type of all other fields, where they have one.

    Raises:
        ValueError: naming the file, where it is damaged.
        FileNotFoundError: where it is absent.
    """
    try:
        return _parse(path.read_bytes(), fields or {}, rest)
    except ValueError as failure:
        raise damaged(path, failure) from None


def read_lines(
    path: Path, fields: Fields | None = None, rest: type | None = None
) -> list[Record]:
    """The objects of a file with one on each line; none where there is no file.

    A last line that was not written to its end is left out.

    Args:
        path: the file.
        fields: see `read_record`.
        rest: see `read_record`.

    Raises:
        ValueError: naming the file and the line, where another line is damaged.
    """
    if not path.exists():
        return []
    records = []
    lines = path.read_bytes().split(b"\n")
    for i, line in enumerate(lines):
        is_last = i + 1 == len(lines)
        if is_last and not _is_whole(line):
            break
        try:
            records.append(_parse(line, fields or {}, rest))
        except ValueError as failure:
            raise ValueError(
                f"line {i + 1} of {path.name} is damaged ({failure}); mend or remove "
                f"it. Received: {path}"
            ) from None
    return records


def append_line(path: Path, record: Record) -> None:
    """Adds an object to a file with one on each line, and sees it to the disk.

    An unfinished last line is taken away before.
    """
    if not _ends(path):
        write_lines(path, read_lines(path))
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def write_lines(path: Path, records: list[Record]) -> None:
    """Writes a file with one object on each line, atomically."""
    text = "".join(json.dumps(record) + "\n" for record in records)
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_record(record: Any, fields: Fields, rest: type | None = None) -> Record:
    """Checks the fields of an object as `read_record` does, and returns it.

    Raises:
        ValueError: naming the field.
    """
    if not isinstance(record, dict):
        raise ValueError(f"not an object but {_shown(record)}")
    for name, kind in fields.items():
        value: Any = record
        for key in name.split("."):
            if not isinstance(value, dict) or key not in value:
                raise ValueError(f"{name!r} is missing")
            value = value[key]
        _check_type(name, value, kind)
    if rest:
        for name in record.keys() - fields.keys():
            _check_type(name, record[name], rest)
    return record


def _parse(data: bytes, fields: Fields, rest: type | None) -> Record:
    return check_record(_load(data), fields, rest)


def _load(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _ends(path: Path) -> bool:
    """True where the last line of a file, if there is one, has an end."""
    if not path.exists() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _is_whole(line: bytes) -> bool:
    """True where a line without an end lacks nothing else."""
    try:
        _parse(line, {}, None)
    except ValueError:
        return False
    return True


def _check_type(name: str, value: Any, kind: type) -> None:
    kinds = (int, float) if kind is float else kind
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    # JSON knows integers that no number of the machine can hold
    if not fits or (isinstance(value, int) and abs(value) >= 2**63):
        raise ValueError(f"{name!r} must be {WORDS[kind]}, not {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
