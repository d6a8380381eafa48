"""Pictures of learned densities: InfoCNF Fig. 2a and Fig. 8, and densities in 2-D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfcnf.reporting.figures import save_figure

PAPER_LEARNED = 1.4e-4  # InfoCNF App. D: error of the area at learned tolerances


def draw_area_errors(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path
) -> None:
    """|1 - area| against the tolerance, log-log (Fig. 2a).

    Args:
        runs: by label, the evaluations of an ``eval.json``.
        path: the PNG.
    """
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    panel = figure.subplots()
    for label, rows in runs.items():
        for dtype in sorted({row["dtype"] for row in rows}):
            points = sorted(
                (r["tolerance"], r["area_error"]) for r in rows if r["dtype"] == dtype
            )
            panel.loglog(
                *zip(*points, strict=True), marker="o", label=f"{label} {dtype}"
            )
        own = [(r["own_tolerance"], r["own_area_error"]) for r in rows]
        panel.loglog(*own[0], marker="*", color="black", linestyle="", markersize=10)
    floor = max(r["quadrature_error"] for rows in runs.values() for r in rows[-1:])
    if floor > 0:
        panel.axhline(floor, color="grey", linestyle=":", label="error of the grid")
    panel.axhline(
        PAPER_LEARNED, color="grey", linestyle="--", label="paper, learned tolerances"
    )
    panel.set(xlabel="tolerance (star: the layers' own)", ylabel="|1 - area|")
    panel.invert_xaxis()
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")
    save_figure(figure, path)


def draw_bits_against_tolerance(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Bits/dim at each tolerance less those at the tightest, for both float types."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    panel = figure.subplots()
    best = min(rows, key=lambda r: (r["dtype"] != "float64", r["tolerance"]))
    for dtype in sorted({row["dtype"] for row in rows}):
        points = sorted(
            (r["tolerance"], abs(r["bits_per_dim"] - best["bits_per_dim"]))
            for r in rows
            if r["dtype"] == dtype and r is not best
        )
        if points:
            panel.loglog(*zip(*points, strict=True), marker="o", label=dtype)
    panel.set(
        xlabel="tolerance",
        ylabel=f"|bits/dim - {best['bits_per_dim']:.5f}|",
        title=f"against {best['dtype']} at {best['tolerance']:.0e}",
    )
    panel.invert_xaxis()
    panel.grid(alpha=0.3)
    panel.legend()
    save_figure(figure, path)


def draw_density(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """The learned density beside the true one, from a ``density.npz``."""
    draw = _draw_plane if "axis_1" in arrays else _draw_line
    save_figure(draw(arrays), path)


def _draw_line(arrays: Mapping[str, np.ndarray]) -> Figure:
    """Fig. 8: true and learned density, and the learned one of each component."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    panel, axis = figure.subplots(), arrays["axis_0"]
    names = _class_names(arrays)
    for name in names:
        panel.plot(axis, np.exp(arrays[name]) / len(names), alpha=0.5, label=name)
    if "truth" in arrays:
        panel.plot(axis, np.exp(arrays["truth"]), "k", label="truth")
    panel.plot(axis, np.exp(arrays["model/marginal"]), "r--", label="model")
    low, high = arrays["data"].min(), arrays["data"].max()
    panel.set(xlim=(low - 2, high + 2), xlabel="x", ylabel="density")
    panel.legend()
    return figure


def _draw_plane(arrays: Mapping[str, np.ndarray]) -> Figure:
    """Data, samples and densities as panels."""
    shown = [name for name in ("truth", "model/marginal") if name in arrays]
    shown += _class_names(arrays)
    columns = min(len(shown) + 2, 4)
    rows = -(-(len(shown) + 2) // columns)
    figure = Figure(figsize=(2.8 * columns, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, ("data", "samples"), strict=False):
        x, label = arrays[name], arrays["labels"][:, 0]
        panel.scatter(x[:, 0], x[:, 1], c=label, s=1, cmap="tab10")
        panel.set(title=name)
    extent = [arrays[f"axis_{i}"][j] for i in (0, 1) for j in (0, -1)]
    for panel, name in zip(panels[2:], shown, strict=False):
        panel.imshow(
            np.exp(arrays[name]).T, origin="lower", extent=extent, cmap="magma"
        )
        panel.set(title=name.removeprefix("model/"))
    reach = 1.1 * np.abs(arrays["data"]).max()
    for panel in panels:
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        panel.set_aspect("equal")
    for panel in panels[len(shown) + 2 :]:
        panel.set_visible(False)
    return figure


def _class_names(arrays: Mapping[str, np.ndarray]) -> list[str]:
    names = [name for name in arrays if name.startswith("model/class_")]
    return sorted(names, key=lambda name: int(name.rpartition("_")[2]))
