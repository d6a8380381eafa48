"""What differs between images, points and series in a run: measures and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource
from tfcnf.diagnostics.grid import tiled
from tfcnf.diagnostics.pictures import (
    class_samples,
    gallery_pages,
    reconstructions,
)
from tfcnf.evaluation.density import DensityEvaluator, density_arrays
from tfcnf.evaluation.image import Evaluator
from tfcnf.evaluation.trajectories import TrajectoryEvaluator, trajectory_arrays
from tfcnf.files import save_arrays
from tfcnf.reporting.density import draw_density
from tfcnf.reporting.figures import draw_curves, draw_grid
from tfcnf.reporting.trajectories import draw_trajectories
from tfcnf.training.averaging import averaged
from tfcnf.training.callbacks import read_metrics

Source = DataSource | SeriesSource


def make_evaluator(
    model: Any, source: Source, batch_size: int, split: str = "test"
) -> Evaluator | TrajectoryEvaluator:
    """The evaluator for this kind of data."""
    if isinstance(source, SeriesSource):
        return TrajectoryEvaluator(model, source, batch_size, split)
    kind = DensityEvaluator if source.density else Evaluator
    return kind(model, source, batch_size, split)


def epoch_images(
    model: Any, source: Source
) -> Callable[[], dict[str, np.ndarray]] | None:
    """What draws the pictures of an epoch for TensorBoard; None without images."""
    if len(source.event_shape) != 3:
        return None

    def draw() -> dict[str, np.ndarray]:
        x, y = source.test.x, source.test.y
        with averaged(model):
            restored = reconstructions(model, x[:10], tol=1e-3)
            pages = gallery_pages(model, x, y, tol=1e-3)
        return {**pages, "reconstructions": tiled(restored)[None]}

    return draw


def leave_pictures(model: Any, source: Source, folder: Path, tol: float) -> None:
    """The arrays and pictures of a finished run."""
    draw_curves(read_metrics(folder / "metrics.jsonl"), folder / "curves.png")
    if isinstance(source, SeriesSource):
        arrays = trajectory_arrays(model, source, tol)
        save_arrays(folder / "trajectories.npz", arrays)
        draw_trajectories(arrays, folder / "trajectories.png")
    elif source.density:
        arrays = density_arrays(model, source, tol)
        save_arrays(folder / "density.npz", arrays)
        draw_density(arrays, folder / "density.png")
    else:
        _leave_images(model, source, folder, tol)


def _leave_images(model: Any, source: DataSource, folder: Path, tol: float) -> None:
    classes = [name * model.is_supervised for name in source.class_names[0]]
    samples = class_samples(model, tol=tol, rows=len(classes))
    draw_grid(samples, folder / "samples.png", classes)
    rows = reconstructions(model, source.test.x[:10], tol)
    worst = rows[2].max()
    draw_grid(
        rows,
        folder / "reconstructions.png",
        ["x", "decode(encode(x))", "difference"],
        f"largest difference {worst:.1e}",
    )
