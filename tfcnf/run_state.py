"""The state that a run is in, told by one record in its folder.

No other file's presence says it: ``eval.json`` may be of an unfinished training.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from tfcnf.files import write_json
from tfcnf.records import read_record

FILE = "state.json"
TRAINING, FINISHED, FAILED = "training", "finished", "failed"
EARLIER = "earlier-"  # folders of what was there before a run was begun anew


class RunState(NamedTuple):
    """The state of a run.

    Attributes:
        state: `TRAINING`, also where that was interrupted, `FINISHED` or `FAILED`.
        reason: why it failed.
        begun: when it was first begun, seconds since 1970.
        ended: when it was finished or failed.
    """

    state: str = TRAINING
    reason: str = ""
    begun: float = 0.0
    ended: float = 0.0

    @property
    def is_finished(self) -> bool:
        """True where it was trained to its end and evaluated."""
        return self.state == FINISHED


def read_state(folder: Path) -> RunState:
    """The state of the run in a folder.

    A run of a version before this record is finished where it has an ``eval.json``.

    Raises:
        ValueError: where the record is damaged.
    """
    path, results = folder / FILE, folder / "eval.json"
    fields = {"state": str, "reason": str, "begun": float, "ended": float}
    if path.is_file():
        record = read_record(path, fields)
        if record["state"] not in (TRAINING, FINISHED, FAILED):
            raise ValueError(
                f"{FILE} is damaged (state is {record['state']!r}). Received: {path}"
            )
        return RunState(**{name: record[name] for name in fields})
    if results.is_file():
        begun = (folder / "config.json").stat().st_mtime
        return RunState(FINISHED, begun=begun, ended=results.stat().st_mtime)
    return RunState()


def note_training(folder: Path) -> None:
    """Notes that a run is trained, for the first time or again."""
    before = read_state(folder)
    if before.state != TRAINING or not before.begun:
        _write(folder, RunState(begun=before.begun or time.time()))


def note_finished(folder: Path) -> None:
    """Notes that a run is finished, if it is not noted yet."""
    before = read_state(folder)
    if not before.is_finished or not (folder / FILE).is_file():
        _write(folder, RunState(FINISHED, "", before.begun, time.time()))


def note_failed(folder: Path, reason: str) -> None:
    """Notes why a run failed."""
    before = read_state(folder)
    _write(folder, RunState(FAILED, reason, before.begun, time.time()))


def _write(folder: Path, state: RunState) -> None:
    write_json(folder / FILE, state._asdict())
