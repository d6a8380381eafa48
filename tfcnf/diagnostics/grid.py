"""Grids of images as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfcnf.diagnostics.base import new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 20  # letters of the label of a row or column
UPRIGHT = 7  # letters that fit over a column


def tiled(images: np.ndarray) -> np.ndarray:
    """``[rows, columns, H, W, C]`` in [0, 1] as one picture with white lines between.

    Every image has a margin of one pixel: ``[rows (H + 2), columns (W + 2), C]``.
    """
    rows, columns, height, width, channels = images.shape
    tiles = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1)
    shape = rows * (height + 2), columns * (width + 2), channels
    return np.clip(tiles.swapaxes(1, 2).reshape(shape), 0, 1)


def plot_grid(
    images: np.ndarray,
    ax: Axes | None = None,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
) -> Axes:
    """Draws images ``[rows, columns, H, W, C]`` in [0, 1] as a labelled grid.

    Labels are shown as they are, without mathematics, and cut where they are long.

    Args:
        images: the images.
        ax: axes to draw on; those of a new figure if None.
        rows: labels of the rows.
        columns: labels of the columns.
        title: title of the axes.
    """
    count, width, height = images.shape[1], images.shape[3] + 2, images.shape[2] + 2
    ax = new_axes(ax)
    ax.imshow(np.squeeze(tiled(images)), cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=plain(title, 80))
    if rows:
        middles = (np.arange(len(images)) + 0.5) * height - 0.5
        ax.set_yticks(middles, [plain(label) for label in rows])
    if columns:
        centres = (np.arange(count) + 0.5) * width - 0.5
        names = [plain(label) for label in columns]
        turned = max(map(len, names)) > UPRIGHT
        ax.set_xticks(centres, names, rotation=90 * turned)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def grid_figure(
    images: np.ndarray,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """A figure with a grid of images, see `plot_grid`, as large as they need."""
    size = 0.6 * images.shape[1] + 1.6, 0.6 * images.shape[0] + 0.5
    figure = new_figure(*size, layout="tight")
    plot_grid(images, figure.subplots(), rows=rows, columns=columns, title=title)
    return figure


def plain(text: str, longest: int = LONGEST) -> str:
    """A text without mathematics or line breaks, cut where it is longer."""
    text = " ".join(text.split())
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    return text.replace("$", r"\$")
