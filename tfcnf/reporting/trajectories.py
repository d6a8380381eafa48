"""Pictures of latent ODEs (InfoCNF Fig. 6 and 9), and the ELBO beside the authors'."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfcnf.reporting.figures import save_figure

REFERENCE = Path(__file__).with_name("latent_ode_reference.json")


def draw_trajectories(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Truth, samples and learned trajectories of several curves (Fig. 6).

    Args:
        arrays: of a ``trajectories.npz``.
        path: the PNG.
    """
    count = len(arrays["truth"])
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure(figsize=(3.2 * columns, 3.2 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for i, panel in enumerate(panels[:count]):
        _draw_curve(panel, arrays, i)
    panels[0].legend(fontsize="x-small")
    for panel in panels[count:]:
        panel.set_visible(False)
    save_figure(figure, path)


def _draw_curve(panel: Any, arrays: Mapping[str, np.ndarray], i: int) -> None:
    truth = arrays["truth"][i][arrays["truth_mask"][i] > 0]
    seen = arrays["values"][i][arrays["mask"][i] > 0]
    times, window = arrays["model_times"], arrays["window"]
    panel.plot(*truth.T, color="0.7", linewidth=4, label="truth")
    panel.plot(*seen.T, ".", color="C0", markersize=3, label="sampled data")
    parts = {
        "learned": (times >= 0) & (times <= window),
        "forward": times >= window,
        "backward": times <= 0,
    }
    for (name, part), color in zip(parts.items(), ("C3", "C1", "C2"), strict=True):
        panel.plot(*arrays["model"][i][part].T, color=color, label=name)
    middle, reach = truth.mean(0), 1.6 * np.abs(truth - truth.mean(0)).max()
    panel.set(
        xlim=(middle[0] - reach, middle[0] + reach),
        ylim=(middle[1] - reach, middle[1] + reach),
        title=", ".join(f"{value:.2f}" for value in arrays["labels"][i]),
    )
    panel.set_aspect("equal")


def draw_spirals(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """The noise-free curves, one panel for each direction (Fig. 9)."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    for panel, (clockwise, title) in zip(
        figure.subplots(1, 2),
        ((1, "clockwise"), (0, "counter-clockwise")),
        strict=True,
    ):
        for curve, mask, label in zip(
            arrays["truth"], arrays["truth_mask"], arrays["labels"], strict=True
        ):
            if round(float(label[-1])) == clockwise:
                panel.plot(*curve[mask > 0].T)
        panel.set(title=title)
        panel.set_aspect("equal")
    save_figure(figure, path)


def draw_elbo(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """The running ELBO against the step, beside the authors' figures.

    Args:
        runs: by label, the lines of a ``metrics.jsonl``.
        path: the PNG.
    """
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    panel, reference = figure.subplots(), read_reference()
    for label, lines in runs.items():
        points = [(line["step"], -line["running_elbo"]) for line in lines]
        panel.loglog(*zip(*points, strict=True), label=label)
    for i, (name, values) in enumerate(reference["elbo"].items()):
        points = [
            (step, -value)
            for step, value in zip(reference["steps"], values, strict=True)
            if value is not None
        ]
        panel.loglog(
            *zip(*points, strict=True),
            "o:",
            color=f"C{i + 4}",
            label=f"authors: {name}",
        )
    panel.set(xlabel="step", ylabel="-ELBO, running mean (nats a series)")
    panel.grid(alpha=0.3)
    panel.legend(fontsize="x-small")
    save_figure(figure, path)


def elbo_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The running ELBO at the authors' steps beside their figures, as Markdown."""
    reference = read_reference()
    at = {line["step"]: line["running_elbo"] for line in lines}
    rows = [["model", *(f"{step}" for step in reference["steps"])]]
    rows.append(["---"] * len(rows[0]))
    rows.append(["this run", *(_number(at.get(step)) for step in reference["steps"])])
    for name, values in reference["elbo"].items():
        rows.append([f"authors: {name}", *map(_number, values)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def read_reference() -> dict[str, Any]:
    """The authors' figures, with their source."""
    return json.loads(REFERENCE.read_text())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
