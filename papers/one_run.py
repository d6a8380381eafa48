"""Figures of single runs that the papers have too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from papers.authors import draw_beside, read_log, table_beside
from papers.trajectories import draw_spirals
from tfcnf.files import replace_file
from tfcnf.records import blame, read_lines, read_record
from tfcnf.reporting.read import STEP, read_arrays
from tfcnf.reporting.runs import labels_of


def draw(workdirs: Sequence[str], out: str | None = None) -> list[Path]:
    """Draws runs on the papers' data beside the authors' logs, and the true spirals.

    Args:
        workdirs: run folders; of the others those count that are on the same data as
            the first.
        out: folder of the figures; the first run's if None.

    Returns:
        What was written: ``authors.png`` and ``authors.md`` where the authors' code
        left a log of these data, and ``spirals.png`` of spirals.
    """
    labels = labels_of([Path(workdir) for workdir in workdirs])
    first = next(iter(labels))
    folder = Path(out) if out else first
    data = [read_record(p / "config.json", {"data": str})["data"] for p in labels]
    log = read_log(data[0])
    written = []
    lines = {
        label: read_lines(path / log.file, STEP, float)
        for (path, label), name in zip(labels.items(), data, strict=True)
        if log and name == data[0]
    }
    lines = {label: found for label, found in lines.items() if found}
    if log and lines:
        written += [folder / "authors.png", folder / "authors.md"]
        draw_beside(lines, log, written[0])
        with replace_file(written[1]) as temporary:
            temporary.write_text(table_beside(lines, log) + "\n")
    curves = first / "trajectories.npz"
    if data[0].startswith("spirals") and curves.is_file():
        written.append(folder / "spirals.png")
        arrays = read_arrays(curves)
        with blame(curves):
            draw_spirals(arrays, written[-1])
    return written
