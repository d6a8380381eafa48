"""Pictures of a run, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tfcnf.diagnostics.grid import grid_figure
from tfcnf.files import replace_file

COLORS = 64  # of an animation
FRAME, LAST_FRAME = 150, 1500  # milliseconds
CURVES = {
    "error (%)": {
        "train": "error",
        "validation": "validation/validation_error",
        "test": "test/test_error",
    },
    "bits/dim": {
        "train": "bits_per_dim",
        "validation": "validation/bits_per_dim",
        "test": "test/bits_per_dim",
        "test, marginal": "test/marginal_bits_per_dim",
    },
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
    "function evaluations a step": {
        "forward": "nfe_forward",
        "backward": "nfe_backward",
    },
}


def draw_curves(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path, x: str = "epoch"
) -> None:
    """Error, bits/dim and evaluations against the epoch or the step.

    Args:
        runs: by label, the lines of a ``metrics.jsonl`` or ``steps.jsonl``.
        path: the PNG.
        x: name of the horizontal axis in the lines.
    """
    curves = {
        title: {
            f"{run} {label}".strip(): [(a[x], a[name]) for a in lines if name in a]
            for run, lines in runs.items()
            for label, name in names.items()
        }
        for title, names in CURVES.items()
    }
    curves = {title: lines for title, lines in curves.items() if any(lines.values())}
    figure = Figure(figsize=(4 * len(curves), 3.6), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (title, lines) in zip(panels, curves.items(), strict=True):
        for label, points in lines.items():
            if points:
                panel.plot(*zip(*points, strict=True), label=label, marker=".")
        panel.set(xlabel=x, title=title)
        panel.grid(alpha=0.3)
        panel.legend()
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
