"""Curves that a latent ODE fits and continues (InfoCNF Fig. 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.series import SeriesSource
    from tfcnf.models.latent_ode import LatentODE

POINTS = 601  # of a learned trajectory


class Trajectories(Diagnostic):
    """Learned trajectories of test curves beside the truth and the observations.

    Example:
        ```python
        from tfcnf.diagnostics import Trajectories

        trajectories = Trajectories(curves=3)
        arrays = trajectories.compute(model, data)
        measures = dict(trajectories.measures(arrays))
        measures["rmse_forward"]  # units of the plane
        trajectories.plot(arrays, index=2)
        ```

    Args:
        curves: test curves that are shown, from the first on.
    """

    title = "Trajectories"
    caption = "Curves that the model continues, and its ELBO beside the authors'."
    files = ("trajectories", "spirals", "elbo")
    subject = "series of curves in the plane"

    def __init__(self, curves: int = 8):
        self.curves = curves

    def takes(self, data: Any) -> bool:
        """True where the data are series of two numbers whose curves are known."""
        from tfcnf.data.series import SeriesSource

        is_series = isinstance(data, SeriesSource)
        return is_series and data.test.truth.ndim == 3 and data.event_shape[-1] == 2

    def compute(
        self, model: LatentODE, data: SeriesSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """The first test curves, and the model's from the posterior means.

        Args:
            model: the model.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"times"`` and ``"truth"``, ``"truth_mask"``; ``"values"``, ``"mask"`` and
            ``"value_times"`` observed; ``"model_times"`` and ``"model"`` on a fine
            grid; and ``"labels"``.
        """
        from tfcnf.data.series import Series
        from tfcnf.evaluation.trajectories import predict

        self.check(data)
        split, count = data.test, self.curves
        x = Series(*(part[:count] for part in split.x))
        grid = np.linspace(split.truth_times[0], split.truth_times[-1], POINTS)
        predicted, _ = predict(model, x, grid, tol)
        return {
            "times": split.truth_times,
            "truth": split.truth[:count],
            "truth_mask": split.truth_mask[:count],
            "values": x.values,
            "value_times": x.times,
            "mask": x.mask if x.mask.ndim == 2 else x.mask.all(-1),
            "model_times": grid,
            "model": predicted,
            "labels": split.y[:count],
        }

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Distances of the shown curves from the noise-free ones.

        The trajectory is linear between the points of the grid.

        Yields:
            ``rmse_...`` and ``median_rmse_...``, see `tfcnf.evaluation.trajectories`.
        """
        from tfcnf.data.series import Series, SeriesSplit
        from tfcnf.evaluation.trajectories import distances

        x = Series(
            values=arrays["values"], times=arrays["value_times"], mask=arrays["mask"]
        )
        truth, times = arrays["truth"], arrays["times"]
        split = SeriesSplit(
            x,
            arrays["labels"],
            truth=truth,
            truth_times=times,
            truth_mask=arrays["truth_mask"],
        )
        at = np.interp(times, arrays["model_times"], np.arange(POINTS))
        low = np.minimum(at.astype(int), POINTS - 2)
        share, model = (at - low)[:, None], arrays["model"]
        curves = model[:, low] * (1 - share) + model[:, low + 1] * share
        yield from distances(np.square(curves - truth).sum(-1), split)

    def plot(self, arrays: Arrays, ax: Axes | None = None, index: int = 0) -> Axes:
        """Draws one curve: the truth, the observations and the learned trajectory.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
            index: number of the curve.
        """
        ax = new_axes(ax)
        truth = arrays["truth"][index][arrays["truth_mask"][index] > 0]
        seen = arrays["values"][index][arrays["mask"][index] > 0]
        times, last = arrays["model_times"], arrays["value_times"][index].max()
        ax.plot(*truth.T, color="0.75", linewidth=5, label="truth")
        ax.plot(*seen.T, ".", color="C0", markersize=2, label="sampled data")
        parts = {
            "learned": (times >= 0) & (times <= last),
            "extrapolated forward": times >= last,
            "extrapolated backward": times <= 0,
        }
        for (name, part), color in zip(parts.items(), ("C3", "C1", "C2"), strict=True):
            ax.plot(*arrays["model"][index][part].T, color=color, label=name)
        low, high = truth.min(0), truth.max(0)
        middle, reach = (low + high) / 2, 0.65 * (high - low).max()
        ax.set_xlim(middle[0] - reach, middle[0] + reach)
        ax.set_ylim(middle[1] - reach, middle[1] + reach)
        ax.set_aspect("equal")
        ax.tick_params(labelsize="x-small")
        ax.set_title(name_of(arrays["labels"][index]), fontsize="small")
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"trajectories"``: a panel for each curve."""
        return {self.key: partial(self._panels, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        count = len(arrays["truth"])
        columns = min(count, 4)
        rows = -(-count // columns)
        figure = new_figure(3.2 * columns, 3.5 * rows + 0.5)
        panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
        for i, panel in enumerate(panels[:count]):
            self.plot(arrays, panel, i)
        for panel in panels[count:]:
            panel.set_visible(False)
        add_legend(figure, panels[0])
        return figure


def add_legend(figure: Figure, ax: Axes) -> None:
    """One legend for all panels, below them."""
    lines = ax.get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncol=5)


def name_of(labels: np.ndarray) -> str:
    """A title for a spiral with labels a, b and direction; empty for other labels."""
    if len(labels) != 3:
        return ""
    turn = "clockwise" if labels[-1] > 0.5 else "counter-clockwise"
    return f"{turn}, {parameters(labels)}"


def parameters(labels: np.ndarray) -> str:
    """A text for the parameters a and b of a spiral."""
    return f"a = {labels[0]:.2f}, b = {labels[1]:.2f}"
