"""Pictures of a run, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import new_figure
from tfcnf.diagnostics.grid import grid_figure
from tfcnf.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = 64  # of an animation
FRAME, LAST_FRAME = 150, 1500  # milliseconds


def draw_curves(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    path: Path,
    *,
    curves: Mapping[str, Mapping[str, str]],
    x: str = "epoch",
) -> None:
    """Measures against the epoch or the step.

    Args:
        runs: by label, the lines of a ``metrics.jsonl`` or ``steps.jsonl``.
        path: the PNG.
        curves: see `tfcnf.tasks.Task.curves`.
        x: name of the horizontal axis in the lines.
    """
    panels = {
        title: {
            f"{run} {label}".strip(): [(a[x], a[name]) for a in lines if name in a]
            for run, lines in runs.items()
            for label, name in names.items()
        }
        for title, names in curves.items()
    }
    panels = {title: lines for title, lines in panels.items() if any(lines.values())}
    figure = new_figure(4 * len(panels), 3.6)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for label, points in lines.items():
            if points:
                ax.plot(*zip(*points, strict=True), label=label, marker=".")
        ax.set(xlabel=x, title=title)
        ax.grid(alpha=0.3)
        ax.legend()
    save_figure(figure, path)


def draw_grid(
    images: np.ndarray,
    path: Path,
    *,
    row_labels: Sequence[str],
    title: str = "",
    column_labels: Sequence[str] = (),
) -> None:
    """Writes images ``[rows, columns, H, W, C]`` as a PNG, see `plot_grid`."""
    save_figure(grid_figure(images, row_labels, column_labels, title), path)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def save_animation(frames: Iterable[Figure], path: Path) -> None:
    """Writes figures of one size as the frames of a GIF, whole or not at all."""
    from PIL import Image

    images = []
    for figure in frames:
        picture = io.BytesIO()
        figure.savefig(picture, dpi=80, format="png")
        image = Image.open(picture).convert("RGB")
        images.append(image.quantize(COLORS))
    with replace_file(path) as temporary:
        images[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=[FRAME] * (len(images) - 1) + [LAST_FRAME],
            loop=0,
        )
