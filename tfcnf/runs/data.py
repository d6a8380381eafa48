"""The record of a run's data: which data are those that it was trained on?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfcnf.data.record import DataRecord
from tfcnf.files import write_json
from tfcnf.records import read_json
from tfcnf.runs.folder import DATA, has_checkpoint, read_config


def check_data(workdir: str, data: DataRecord, hint: str = "") -> None:
    """Checks that data are those that a run has a record of, under whatever name.

    Raises:
        ValueError: where they are others; ``hint`` says what else to do.
    """
    kept = read_record(workdir)
    changes = kept.changes(data) if kept else []
    if changes:
        raise ValueError(
            f"the data are not those of the run in {workdir}: {'; '.join(changes)}. "
            f"Give those{hint}. Received: data={data.name!r}"
        )


def renew_folder(
    config: Mapping[str, Any], workdir: str, *, data: DataRecord, changed_data: bool
) -> None:
    """Writes down what a resumed run has more of: epochs, or the new place of its data.

    The record of the data is written of a run that has none yet.

    Args:
        config: of the run, checked by `open_folder`.
        workdir: its folder, held by this process.
        data: what it trains on.
        changed_data: the data may be others than before.

    Raises:
        ValueError: for other data.
    """
    folder, plain = Path(workdir), json.loads(json.dumps(config))
    kept = read_record(workdir) if has_checkpoint(folder) else None
    if kept and not changed_data:
        check_data(workdir, data, ", or take these with --changed_data")
    exchanged = [*kept.exchanged, *kept.changes(data)] if kept else []
    write_json(folder / DATA, replace(data, exchanged=exchanged).to_json())
    if plain != read_config(workdir):
        write_json(folder / "config.json", plain)


def read_record(workdir: str) -> DataRecord | None:
    """The record of a run's data; None of a run that has none.

    Raises:
        ValueError: where it is damaged.
    """
    path = Path(workdir) / DATA
    if not path.is_file():
        return None
    value = read_json(path)
    try:
        return DataRecord.from_json(value)
    except ValueError as failure:
        raise ValueError(
            f"{DATA} is damaged ({failure}). Received: {path}"
        ) from failure
