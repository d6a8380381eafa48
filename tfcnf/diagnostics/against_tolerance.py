"""Errors of areas and of bits/dim against the tolerance (InfoCNF Fig. 2a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfcnf.diagnostics.base import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


def area_errors(runs: Mapping[str, Rows]) -> Figure:
    """|1 - area| against the tolerance, log-log (Fig. 2a).

    Args:
        runs: by label, the evaluations of an ``eval.json``.
    """
    figure = new_figure(5.5, 4)
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
    panel.set(xlabel="tolerance (star: the layers' own)", ylabel="|1 - area|")
    panel.invert_xaxis()
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")
    return figure


def bits_differences(rows: Rows) -> Figure:
    """Bits/dim at each tolerance less those at the tightest, for both float types."""
    figure = new_figure(5.5, 4)
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
    return figure
