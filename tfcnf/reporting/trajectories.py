"""Pictures of latent ODEs (InfoCNF Fig. 6 and 9), and the ELBO beside the authors'."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfcnf.reporting.figures import save_figure
from tfcnf.reporting.tables import markdown

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
    figure = Figure(figsize=(3.2 * columns, 3.5 * rows + 0.5), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for i, panel in enumerate(panels[:count]):
        _draw_curve(panel, arrays, i)
        panel.set_title(_name(arrays["labels"][i]), fontsize="small")
    for panel in panels[count:]:
        panel.set_visible(False)
    _finish(figure, panels[0], path)


def draw_trajectories_of_arms(
    arms: Mapping[str, Mapping[str, np.ndarray]], path: Path
) -> None:
    """The same curves by several models, a row each (Fig. 6, a and b).

    Two curves of each direction are shown.

    Args:
        arms: by label, the arrays of a ``trajectories.npz``, of the same curves.
        path: the PNG.
    """
    labels = next(iter(arms.values()))["labels"]
    chosen = [i for k in (1, 0) for i in np.flatnonzero(labels[:, -1] == k)[:2]]
    shape = len(arms), len(chosen)
    figure = Figure(
        figsize=(3.2 * shape[1], 3.2 * shape[0] + 0.4), layout="constrained"
    )
    panels = figure.subplots(*shape, squeeze=False)
    for row, (label, arrays) in zip(panels, arms.items(), strict=True):
        for panel, i in zip(row, chosen, strict=True):
            _draw_curve(panel, arrays, i)
        row[0].set_ylabel(label)
    for panel, i in zip(panels[0], chosen, strict=True):
        panel.set_title(_name(labels[i]), fontsize="small")
    _finish(figure, panels[0, 0], path)


def _finish(figure: Figure, panel: Any, path: Path) -> None:
    figure.legend(
        *panel.get_legend_handles_labels(), loc="outside lower center", ncol=5
    )
    save_figure(figure, path)


def _name(labels: np.ndarray) -> str:
    turn = "clockwise" if labels[-1] > 0.5 else "counter-clockwise"
    return f"{turn}, {_parameters(labels)}"


def _parameters(labels: np.ndarray) -> str:
    return f"a = {labels[0]:.2f}, b = {labels[1]:.2f}"


def _draw_curve(panel: Any, arrays: Mapping[str, np.ndarray], i: int) -> None:
    truth = arrays["truth"][i][arrays["truth_mask"][i] > 0]
    seen = arrays["values"][i][arrays["mask"][i] > 0]
    times, window = arrays["model_times"], arrays["window"]
    panel.plot(*truth.T, color="0.75", linewidth=5, label="truth")
    panel.plot(*seen.T, ".", color="C0", markersize=2, label="sampled data")
    parts = {
        "learned": (times >= 0) & (times <= window),
        "extrapolated forward": times >= window,
        "extrapolated backward": times <= 0,
    }
    for (name, part), color in zip(parts.items(), ("C3", "C1", "C2"), strict=True):
        panel.plot(*arrays["model"][i][part].T, color=color, label=name)
    low, high = truth.min(0), truth.max(0)
    middle, reach = (low + high) / 2, 0.65 * (high - low).max()
    panel.set(
        xlim=(middle[0] - reach, middle[0] + reach),
        ylim=(middle[1] - reach, middle[1] + reach),
    )
    panel.set_aspect("equal")
    panel.tick_params(labelsize="x-small")


def draw_spirals(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """The noise-free curves from their dots on, a panel for each direction (Fig. 9)."""
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
                (line,) = panel.plot(*curve[mask > 0].T, label=_parameters(label))
                panel.plot(*curve[0], "o", color=line.get_color(), markersize=4)
        panel.set(title=title)
        panel.set_aspect("equal")
        panel.legend(fontsize="xx-small")
    save_figure(figure, path)


def draw_elbo(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """The running ELBO against the step, beside the authors' figures.

    Args:
        runs: by label, the lines of a ``metrics.jsonl``.
        path: the PNG.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained")
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


def elbo_table(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The running ELBO at the authors' steps beside their figures, as Markdown.

    Args:
        runs: by label, the lines of a ``metrics.jsonl``.
    """
    reference = read_reference()
    rows = [["model", *(f"{step}" for step in reference["steps"])]]
    rows.append(["---"] * len(rows[0]))
    for label, lines in runs.items():
        at = {line["step"]: line["running_elbo"] for line in lines}
        rows.append([label, *(_number(at.get(step)) for step in reference["steps"])])
    for name, values in reference["elbo"].items():
        rows.append([f"authors: {name}", *map(_number, values)])
    return markdown(rows)


def read_reference() -> dict[str, Any]:
    """The authors' figures, with their source."""
    return json.loads(REFERENCE.read_text())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
