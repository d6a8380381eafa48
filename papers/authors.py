"""The authors' logs, beside the steps or epochs of our runs on the same data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from tfcnf.diagnostics.figures import save_figure
from tfcnf.reporting.tables import markdown

FILES = [Path(__file__).with_name(f"{name}.json") for name in ("first_steps", "elbo")]
Lines = Sequence[Mapping[str, Any]]
SHOWN = {  # measure -> (title, format)
    "bits_per_dim": ("bits/dim", ".2f"),
    "running_elbo": ("ELBO, running mean (nats a series)", ".1f"),
    "cross_entropy": ("cross-entropy (nats)", ".3f"),
    "error": ("error (%)", ".1f"),
    "nfe": ("evaluations, both ways", ".0f"),
}
LOGARITHMIC = "running_elbo"


class Log(NamedTuple):
    """A log of the authors.

    Attributes:
        file: name of the file of a run that has the same measures.
        rows: the lines of each model.
    """

    file: str
    rows: dict[str, list[dict[str, Any]]]


def read_log(data: str) -> Log | None:
    """The authors' figures on a data set; None where there are none."""
    for log in (json.loads(path.read_text()) for path in FILES):
        if data in log:
            rows = {
                f"authors: {model}": [
                    dict(zip(log["columns"], row, strict=True)) for row in lines
                ]
                for model, lines in log[data].items()
            }
            return Log(log["file"], rows)
    return None


def draw_beside(runs: Mapping[str, Lines], log: Log, path: Path) -> None:
    """Measures against the step.

    Args:
        runs: by label, the lines of the file that the log names.
        log: of the same data.
        path: the PNG.
    """
    ours = _with_sums(runs)
    last = max(line["step"] for lines in ours.values() for line in lines)
    near = {
        label: [row for row in rows if row["step"] <= 2 * last]
        for label, rows in log.rows.items()
    }
    names = _measured(ours)
    figure = Figure(figsize=(4 * len(names), 3.6), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for label, lines in {**ours, **near}.items():
            points = [(x["step"], x[name]) for x in lines if x.get(name) is not None]
            if points:
                style = ".-" if label in ours else "o:"
                panel.plot(*zip(*points, strict=True), style, label=label)
        panel.set(xlabel="step", title=SHOWN[name][0])
        if name == LOGARITHMIC:
            panel.set(xscale="log", yscale="symlog")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    save_figure(figure, path)


def table_beside(runs: Mapping[str, Lines], log: Log) -> str:
    """Measures at the authors' steps and at the first and last of ours, as Markdown."""
    ours = _with_sums(runs)
    wanted = {row["step"] for rows in log.rows.values() for row in rows}
    last = max(line["step"] for lines in ours.values() for line in lines)
    names = _measured(ours)
    rows = [["", "step", *(SHOWN[name][0] for name in names)]]
    rows.append(["---"] * len(rows[0]))
    for label, lines in ours.items():
        ends = {lines[0]["step"], lines[-1]["step"]}
        rows += [_row(label, x, names) for x in lines if x["step"] in wanted | ends]
    for label, lines in log.rows.items():
        rows += [_row(label, x, names) for x in lines if x["step"] <= last]
    return markdown(rows)


def _with_sums(runs: Mapping[str, Lines]) -> dict[str, list[dict[str, Any]]]:
    """The lines with ``nfe``: evaluations both ways, as the authors count."""
    both = ("nfe_forward", "nfe_backward")
    return {
        label: [{**x, "nfe": sum(x[name] for name in both)} for x in lines]
        for label, lines in runs.items()
    }


def _row(label: str, line: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    cells = [
        "" if line.get(name) is None else format(line[name], SHOWN[name][1])
        for name in names
    ]
    return [label, str(line["step"]), *cells]


def _measured(runs: Mapping[str, Lines]) -> list[str]:
    lines = [line for lines in runs.values() for line in lines]
    return [name for name in SHOWN if any(name in line for line in lines)]
