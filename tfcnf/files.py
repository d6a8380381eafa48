"""Files that are either whole or not there, and folders that one process holds."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

DAY = 86400.0  # seconds
LONGEST = 100  # bytes of a file name that a user's text is made into


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Gives a new temporary path beside ``path``; renames it when the block ends well.

    Of several writers at once the last gives the file, whole. What killed ones left
    for a day is removed.
    """
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):  # another process removes it too
            if time.time() - old.stat().st_mtime > DAY:
                old.unlink()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """True for a name that `replace_file` gives."""
    return re.fullmatch(r"\..+\.[0-9a-f]{8}\.tmp", path.name) is not None


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``parent`` whose name begins with ``prefix``, removed at the end.

    Those that killed processes left, which hold them no longer, are removed too.
    """
    for old in parent.glob(f"{glob.escape(prefix)}*/lock"):
        with suppress(OSError), hold(old):
            shutil.rmtree(old.parent, ignore_errors=True)
    folder = parent / f"{prefix}{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        with hold(folder / "lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Holds a lock file, which is there as long as it is held.

    The lock ends with the process, however that ends.

    Raises:
        BlockingIOError: where another process holds it.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"held by another process: {path}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it when it is released
            path.unlink()
        lock.release()


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes a compressed ``.npz`` atomically."""
    with replace_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def file_name(text: str) -> str:
    """A file name, without its ending, for a text that a user chose.

    Letters, digits and ``. + = -`` stay, spaces and commas become ``_``. Where more is
    changed, a digest of the text keeps different texts apart.
    """
    plain = re.sub(r"[ ,]+", "_", text)
    name = re.sub(r"[^\w.+=-]+", "_", plain).lstrip(".")
    name = name.encode()[:LONGEST].decode(errors="ignore")
    if name == plain and name:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name}-{digest}"
