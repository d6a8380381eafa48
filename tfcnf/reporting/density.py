"""Errors of areas and of bits/dim against the tolerance (InfoCNF Fig. 2a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
