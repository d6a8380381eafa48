"""Points on a line or in the plane, in a box that holds their density."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfcnf.data.source import DataSource
from tfcnf.diagnostics.density import LearnedDensity
from tfcnf.evaluation.density import DensityEvaluator
from tfcnf.tasks.base import Task, leave


class Points(Task):
    """Points, of which a run leaves the density on a grid."""

    def evaluator(
        self, model: Any, source: DataSource, batch_size: int, split: str = "test"
    ) -> DensityEvaluator:
        """See `Task.evaluator`."""
        return DensityEvaluator(model, source, batch_size, split)

    def draw(self, model: Any, source: DataSource, folder: Path, tol: float) -> None:
        """Leaves ``density.npz`` and ``density.png``."""
        leave(LearnedDensity(), model, source, folder, tol)
