"""Pictures of a run, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfcnf.files import replace_file

CURVES = {
    "error (%)": {"train": "error", "test": "test/test_error"},
    "bits/dim": {
        "train": "bits_per_dim",
        "test": "test/bits_per_dim",
        "test, marginal": "test/marginal_bits_per_dim",
    },
    "function evaluations a step": {
        "forward": "nfe_forward",
        "backward": "nfe_backward",
    },
}


def draw_curves(metrics: Sequence[dict[str, Any]], path: Path) -> None:
    """Error, bits/dim and evaluations against the epoch, from ``metrics.jsonl``."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, len(CURVES))
    for panel, (title, lines) in zip(panels, CURVES.items(), strict=True):
        for label, name in lines.items():
            points = [(line["epoch"], line[name]) for line in metrics if name in line]
            if points:
                panel.plot(*zip(*points, strict=True), label=label, marker=".")
        panel.set(xlabel="epoch", title=title)
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend()
    _save(figure, path)


def draw_grid(
    images: np.ndarray, path: Path, row_labels: Sequence[str], title: str = ""
) -> None:
    """Images ``[rows, columns, H, W, C]`` in [0, 1] as a labelled grid."""
    rows, columns = images.shape[:2]
    figure = Figure(figsize=(0.7 * columns + 1.2, 0.7 * rows + 0.5))
    panels = figure.subplots(rows, columns, squeeze=False)
    for r, c in np.ndindex(rows, columns):
        panel = panels[r, c]
        panel.imshow(
            np.clip(np.squeeze(images[r, c]), 0, 1), cmap="gray", vmin=0, vmax=1
        )
        panel.set(xticks=[], yticks=[])
        for spine in panel.spines.values():
            spine.set_visible(False)
        if c == 0:
            panel.set_ylabel(row_labels[r], rotation=0, ha="right", va="center")
    figure.suptitle(title)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
