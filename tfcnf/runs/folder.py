"""The folder of a run: made once, resumed by the same configuration, never mixed up."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import tfcnf
from tfcnf.files import hold, is_temporary, write_json
from tfcnf.records import read_record
from tfcnf.run_state import EARLIER, FILE
from tfcnf.runs.config import check_config, complete

DATA = "data.json"
LOCK = ".lock"  # file that is held while a process trains in the folder
# what a run leaves that was killed before its first checkpoint: all is made again
BEGUN = {
    *("config.json", DATA, "metadata.json", "labels.json", FILE, "metrics.jsonl"),
    *("steps.jsonl", "checkpoints", "tensorboard"),
}


def open_folder(
    config: Mapping[str, Any], workdir: str, *, init_from: str | None = None
) -> Path:
    """Makes the folder of a run, or checks that it holds the same run.

    A run that has no checkpoint is begun anew. What the folder holds that is worth
    keeping is moved into ``earlier-N``, the rest is removed: nothing old is read again.

    Args:
        config: of the run.
        workdir: the folder.
        init_from: run that the first weights come from, for ``metadata.json``.

    Raises:
        ValueError: for a folder that cannot be written, or holds something else.
    """
    folder = Path(workdir)
    path = folder / "config.json"
    plain = json.loads(json.dumps(config))
    try:
        if check_folder(config, workdir):
            return folder
        found = list(folder.iterdir()) if folder.is_dir() else []
        if not all(map(_is_of_a_beginning, found)) and not _is_run(workdir):
            raise ValueError(
                "the folder holds files that are not of a run; give an empty or a "
                f"new one. Received: workdir={workdir!r}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        if found:
            with hold_folder(folder):
                _put_aside(folder, found)
        write_json(path, plain)  # first: it marks the folder as that of a run
        write_json(folder / "metadata.json", _metadata(config, init_from))
    except OSError as failure:
        raise ValueError(
            f"the folder cannot be written ({failure.strerror}). "
            f"Received: workdir={workdir!r}"
        ) from failure
    return folder


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keeps other processes from training in the folder.

    Raises:
        ValueError: where another one does.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(folder / LOCK))
        except BlockingIOError:
            raise ValueError(
                "another process trains in this folder. "
                f"Received: workdir={str(folder)!r}"
            ) from None
        yield


def check_folder(config: Mapping[str, Any], workdir: str) -> bool:
    """True where the folder holds a run, with checkpoints, of this configuration.

    It may have more epochs than the run had, and data of another name where the run has
    a record of its data (`tfcnf.runs.data`).

    Raises:
        ValueError: where it holds one of another configuration.
    """
    folder = Path(workdir)
    if not has_checkpoint(folder):
        return False
    plain, old = json.loads(json.dumps(config)), read_config(workdir)
    epochs, before = (each["training"]["epochs"] for each in (plain, old))
    old["training"]["epochs"] = epochs
    if (folder / DATA).is_file():
        old["data"] = plain["data"]
    _check_same(plain, old, folder, "config")
    if epochs < before:
        raise ValueError(
            f"{folder} holds a run of {before} epochs, which may become more and not "
            f"fewer. Received: config.training.epochs={epochs}"
        )
    return True


def has_checkpoint(folder: Path) -> bool:
    """True where a run has something to lose."""
    return any(folder.glob("checkpoints/*.index"))


def read_config(workdir: str) -> dict[str, Any]:
    """The configuration of a run.

    Raises:
        ValueError: where the folder holds no run, or its configuration is damaged.
    """
    path = Path(workdir) / "config.json"
    if not path.is_file():
        raise ValueError(f"no run in this folder. Received: workdir={workdir!r}")
    config = read_record(path)
    try:
        config = complete(config)
        check_config(config)
    except ValueError as failure:
        raise ValueError(f"{failure} in {path}") from None
    return config


def _is_run(workdir: str) -> bool:
    try:
        read_config(workdir)
    except ValueError:
        return False
    return True


def _is_of_a_beginning(path: Path) -> bool:
    """True for a file that may be there before the first of a run."""
    return is_temporary(path) or path.name == LOCK or path.name.startswith(EARLIER)


def _put_aside(folder: Path, found: list[Path]) -> None:
    """Leaves nothing of an earlier run in a folder but its lock."""
    # the configuration comes last: until then the folder is that of a run
    old = sorted(
        (path for path in found if not _is_of_a_beginning(path)),
        key=lambda path: path.name == "config.json",
    )
    metrics = folder / "metrics.jsonl"
    has_epochs = metrics.is_file() and metrics.stat().st_size > 0
    if not has_epochs and {path.name for path in old} <= BEGUN:
        for path in old:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return
    numbers = (folder / f"{EARLIER}{i}" for i in itertools.count(1))
    place = next(path for path in numbers if not path.exists())
    place.mkdir()
    for path in old:
        os.replace(path, place / path.name)
    print(f"{folder} is begun anew; what it held is in {place}")


def _check_same(new: Any, old: Any, folder: Path, key: str) -> None:
    if isinstance(new, dict) and isinstance(old, dict):
        for name in sorted(new.keys() | old.keys()):
            _check_same(new.get(name), old.get(name), folder, f"{key}.{name}")
    elif new != old:
        raise ValueError(
            f"{folder} holds a run with {key}={old!r}; give another folder, or the "
            f"same configuration to resume it. Received: {key}={new!r}"
        )


def _metadata(config: Mapping[str, Any], init_from: str | None) -> dict[str, Any]:
    """Origin of a run: place, time, software and command."""
    return {
        "command": sys.argv,
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "init_from": init_from and str(Path(init_from).absolute()),
        "seed": config["seed"],
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "machine": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "tfcnf": tfcnf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "tensorflow_probability": tfp.__version__,
        },
    }


def _commit() -> str | None:
    """The commit of the package's checkout, where there is one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None
