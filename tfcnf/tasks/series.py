"""Time series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcnf.data.series import SeriesSource
from tfcnf.data.spirals import with_passes
from tfcnf.diagnostics.trajectories import Trajectories
from tfcnf.evaluation.trajectories import TrajectoryEvaluator
from tfcnf.tasks.base import Task, leave


class Series(Task):
    """Series, of which a run leaves curves that the model continues."""

    models = ("latent_ode",)
    measure = "elbo"
    largest = True

    def prepare(self, source: SeriesSource, training: Mapping[str, Any]) -> Any:
        """The data with an epoch of several passes over them."""
        return with_passes(source, training["passes"])

    def hide_labels(
        self, source: SeriesSource, training: Mapping[str, Any], seed: int
    ) -> SeriesSource:
        """The same data: no label is hidden."""
        return source

    def evaluator(
        self, model: Any, source: SeriesSource, batch_size: int, split: str = "test"
    ) -> TrajectoryEvaluator:
        """See `Task.evaluator`."""
        return TrajectoryEvaluator(model, source, batch_size, split)

    def tolerances(self, model: Any, source: SeriesSource) -> None:
        """None: a latent ODE has a constant tolerance."""
        return None

    def draw(self, model: Any, source: SeriesSource, folder: Path, tol: float) -> None:
        """Leaves ``trajectories.npz`` and ``trajectories.png``."""
        leave(Trajectories(), model, source, folder, tol)
