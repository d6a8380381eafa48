"""Points on a line or in the plane, in a box that holds their density."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcnf.diagnostics.against_tolerance import area_errors
from tfcnf.diagnostics.density import LearnedDensity
from tfcnf.tasks.base import COSTS, SCORES, Measure, Task, leave

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.evaluation.density import DensityEvaluator


class Points(Task):
    """Points, of which a run leaves the density on a grid."""

    measures = {
        **SCORES,
        "kl_from_truth": Measure("divergence from the truth", "nats", ".4f"),
        "area_error": Measure(
            "distance of the area from 1, trapezoid", format=".1e", tile=True
        ),
        "riemann_error": Measure(
            "distance of the area from 1, Riemann sum", format=".1e"
        ),
        "quadrature_error": Measure("error of the area's grid", format=".1e"),
        "own_area_error": Measure(
            "distance of the area from 1, own tolerances", format=".1e"
        ),
        **COSTS,
    }

    def evaluator(
        self, model: Any, source: DataSource, batch_size: int, split: str = "test"
    ) -> DensityEvaluator:
        """See `Task.evaluator`."""
        from tfcnf.evaluation.density import DensityEvaluator

        return DensityEvaluator(model, source, batch_size, split)

    def figures(
        self, runs: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> dict[str, Callable[[], Figure]]:
        """Areas and bits/dim against the tolerance."""
        figures = super().figures(runs)
        if all("area_error" in row for rows in runs.values() for row in rows):
            figures["area_error"] = partial(area_errors, runs)
        return figures

    def draw(self, model: Any, source: DataSource, folder: Path, tol: float) -> None:
        """Leaves ``density.npz`` and ``density.png``."""
        leave(LearnedDensity(), model, source, folder, tol)
