"""Single steps of a training, beside those of the authors' logs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tfcnf.reporting.figures import save_figure
from tfcnf.reporting.tables import markdown

REFERENCE = Path(__file__).with_name("first_steps_reference.json")
Lines = Sequence[dict[str, Any]]
# measure -> (title, format)
SHOWN = {
    "bits_per_dim": ("bits/dim", ".2f"),
    "elbo": ("ELBO (nats)", ".1f"),
    "cross_entropy": ("cross-entropy (nats)", ".3f"),
    "error": ("error (%)", ".1f"),
    "nfe": ("evaluations, both ways", ".0f"),
}


def read_reference(data: str) -> dict[str, list[dict[str, Any]]]:
    """The authors' figures on a data set by model; empty where there are none."""
    reference = json.loads(REFERENCE.read_text())
    return {
        model: [dict(zip(reference["columns"], row, strict=True)) for row in rows]
        for model, rows in reference.get(data, {}).items()
    }


def draw_steps(runs: Mapping[str, Lines], data: str, path: Path) -> None:
    """Measures against the step.

    Args:
        runs: by label, the lines of a ``steps.jsonl``.
        data: name of the data set.
        path: the PNG.
    """
    runs = _with_sums(runs)
    curves = dict(runs)
    last = max(line["step"] for line in _all(runs))
    for model, rows in read_reference(data).items():
        within = [row for row in rows if row["step"] <= 2 * last]
        curves[f"authors: {model}"] = within
    names = _measured(runs)
    figure = Figure(figsize=(4 * len(names), 3.6), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for label, lines in curves.items():
            points = [
                (line["step"], line[name])
                for line in lines
                if line.get(name) is not None
            ]
            style = "o:" if label not in runs else ".-"
            if points:
                panel.plot(*zip(*points, strict=True), style, label=label)
        panel.set(xlabel="step", title=SHOWN[name][0])
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    save_figure(figure, path)


def steps_table(runs: Mapping[str, Lines], data: str) -> str:
    """Measures at the authors' steps and at the first and last of ours, as Markdown."""
    runs, reference = _with_sums(runs), read_reference(data)
    wanted = {row["step"] for rows in reference.values() for row in rows}
    names = _measured(runs)
    rows = [["", "step", *(SHOWN[name][0] for name in names)]]
    rows.append(["---"] * len(rows[0]))
    for label, lines in runs.items():
        ends = {lines[0]["step"], lines[-1]["step"]}
        rows += [_row(label, x, names) for x in lines if x["step"] in wanted | ends]
    last = max(line["step"] for line in _all(runs))
    for model, those in reference.items():
        label = f"authors: {model}"
        rows += [_row(label, x, names) for x in those if x["step"] <= last]
    return markdown(rows)


def _with_sums(runs: Mapping[str, Lines]) -> dict[str, Lines]:
    """The lines with ``nfe``: evaluations both ways, as the authors count."""
    return {
        label: [x | {"nfe": x["nfe_forward"] + x["nfe_backward"]} for x in lines]
        for label, lines in runs.items()
    }


def _row(label: str, line: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    cells = [
        "" if line.get(name) is None else format(line[name], SHOWN[name][1])
        for name in names
    ]
    return [label, str(line["step"]), *cells]


def _measured(runs: Mapping[str, Lines]) -> list[str]:
    return [name for name in SHOWN if any(name in line for line in _all(runs))]


def _all(runs: Mapping[str, Lines]) -> list[dict[str, Any]]:
    return [line for lines in runs.values() for line in lines]
