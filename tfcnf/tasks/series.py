"""Time series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcnf.diagnostics.forecasts import Forecasts
from tfcnf.diagnostics.trajectories import Trajectories
from tfcnf.tasks.base import COSTS, EVALUATIONS, Measure, Task, leave

if TYPE_CHECKING:
    from tfcnf.data.series import SeriesSource
    from tfcnf.evaluation.trajectories import TrajectoryEvaluator


class Series(Task):
    """Series, of which a run leaves curves that the model continues."""

    models = ("latent_ode",)
    measure = "elbo"
    measures = {
        "rmse_window": Measure("distance to the curve, window", "plane", tile=True),
        "rmse_forward": Measure("distance to the curve, forward", "plane"),
        "rmse_backward": Measure("distance to the curve, backward", "plane"),
        "elbo": Measure("ELBO", "nats", ".1f", tile=True, largest=True),
        "kl": Measure("KL divergence", "nats", ".2f"),
        "_rmse": Measure("error of the label", "its units", ".4g", each=True),
        "_error": Measure("error of the label", "%", ".2f", each=True),
        **COSTS,
    }
    curves = {
        "ELBO (nats)": {
            "train": "elbo",
            "validation": "validation/elbo",
            "test": "test/elbo",
        },
        "distance to the noise-free curve": {
            "window": "test/rmse_window",
            "forward": "test/rmse_forward",
            "backward": "test/rmse_backward",
        },
        **EVALUATIONS,
    }

    def prepare(self, source: SeriesSource, training: Mapping[str, Any]) -> Any:
        """The data with an epoch of several passes over them."""
        from tfcnf.data.spirals import with_passes

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
        from tfcnf.evaluation.trajectories import TrajectoryEvaluator

        return TrajectoryEvaluator(model, source, batch_size, split)

    def tolerances(self, model: Any, source: SeriesSource) -> None:
        """None: a latent ODE has a constant tolerance."""
        return None

    def draw(self, model: Any, source: SeriesSource, folder: Path, tol: float) -> None:
        """Leaves ``trajectories``, or ``forecasts``, as ``.npz`` and ``.png``.

        Trajectories are drawn of curves in the plane that are known.
        """
        drawn = Trajectories()
        chosen = drawn if drawn.takes(source) else Forecasts()
        leave(chosen, model, source, folder, tol)
