"""Pictures of a run, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfcnf.evaluation.pictures import tiled
from tfcnf.files import replace_file

LONGEST = 20  # letters of the label of a row or column
UPRIGHT = 7  # letters that fit over a column

CURVES = {
    "error (%)": {"train": "error", "test": "test/test_error"},
    "bits/dim": {
        "train": "bits_per_dim",
        "test": "test/bits_per_dim",
        "test, marginal": "test/marginal_bits_per_dim",
    },
    "ELBO (nats)": {"train": "elbo", "test": "test/elbo"},
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


def draw_curves(metrics: Sequence[dict[str, Any]], path: Path) -> None:
    """Error, bits/dim and evaluations against the epoch, from ``metrics.jsonl``."""
    curves = {
        title: {
            label: [(line["epoch"], line[name]) for line in metrics if name in line]
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
        panel.set(xlabel="epoch", title=title)
        panel.grid(alpha=0.3)
        panel.legend()
    save_figure(figure, path)


def draw_grid(
    images: np.ndarray,
    path: Path,
    row_labels: Sequence[str],
    title: str = "",
    column_labels: Sequence[str] = (),
) -> None:
    """Images ``[rows, columns, H, W, C]`` in [0, 1] as a labelled grid.

    Labels are shown as they are, without mathematics, and cut where they are long.
    """
    rows, columns, height, width, _ = images.shape
    figure = Figure(figsize=(0.6 * columns + 1.6, 0.6 * rows + 0.5), layout="tight")
    panel = figure.subplots()
    panel.imshow(np.squeeze(tiled(images)), cmap="gray", vmin=0, vmax=1)
    middles = (np.arange(rows) + 0.5) * (height + 2) - 0.5
    panel.set(xticks=[], title=_plain(title, 80))
    panel.set_yticks(middles, [_plain(label) for label in row_labels])
    if column_labels:
        centres = (np.arange(columns) + 0.5) * (width + 2) - 0.5
        names = [_plain(label) for label in column_labels]
        turned = max(map(len, names)) > UPRIGHT
        panel.set_xticks(centres, names, rotation=90 * turned)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    save_figure(figure, path)


def _plain(text: str, longest: int = LONGEST) -> str:
    text = " ".join(text.split())
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    return text.replace("$", r"\$")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
