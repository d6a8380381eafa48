"""Pictures of latent ODEs on spirals (InfoCNF Fig. 6 and 9)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfcnf.diagnostics.figures import save_figure
from tfcnf.diagnostics.trajectories import Trajectories, add_legend, parameters
from tfcnf.records import blame
from tfcnf.reporting.read import read_arrays


def draw_trajectories_of_arms(arms: Mapping[str, Path], path: Path) -> None:
    """The same curves by several models, a row each (Fig. 6, a and b).

    Two curves of each direction are shown.

    Args:
        arms: by label, a ``trajectories.npz``, of the same curves.
        path: the PNG.

    Raises:
        ValueError: naming the file that is damaged.
    """
    first = next(iter(arms.values()))
    with blame(first):
        labels = read_arrays(first)["labels"]
        chosen = [i for k in (1, 0) for i in np.flatnonzero(labels[:, -1] == k)[:2]]
        if not chosen:
            raise ValueError("there is no curve of either direction")
    shape = len(arms), len(chosen)
    figure = Figure(
        figsize=(3.2 * shape[1], 3.2 * shape[0] + 0.4), layout="constrained"
    )
    panels: Any = figure.subplots(*shape, squeeze=False)
    for row, (label, source) in zip(panels, arms.items(), strict=True):
        arrays = read_arrays(source)
        with blame(source):
            for panel, i in zip(row, chosen, strict=True):
                Trajectories().plot(arrays, panel, i)
        row[0].set_ylabel(label)
    for panel in panels[1:].ravel():
        panel.set_title("")
    add_legend(figure, panels[0, 0])
    save_figure(figure, path)


def draw_spirals(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """The noise-free curves from their dots on, a panel for each direction (Fig. 9)."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    for panel, (clockwise, title) in zip(
        figure.subplots(1, 2),
        ((1, "clockwise"), (0, "counter-clockwise")),
        strict=True,
    ):
        for curve, mask, label in zip(
            arrays["truth"], arrays["truth_mask"], arrays["labels"], strict=True
        ):
            if round(float(label[-1])) == clockwise:
                (line,) = panel.plot(*curve[mask > 0].T, label=parameters(label))
                panel.plot(*curve[0], "o", color=line.get_color(), markersize=4)
        panel.set(title=title)
        panel.set_aspect("equal")
        panel.legend(fontsize="xx-small")
    save_figure(figure, path)
