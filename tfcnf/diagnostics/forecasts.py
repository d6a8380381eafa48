"""Series, the curves that a model fits to them, and their future with an interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.trajectories import add_legend

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.series import Series, SeriesSource
    from tfcnf.models.latent_ode import LatentODE

POINTS = 201  # of a curve


class Forecasts(Diagnostic):
    """Past, fit and forecast of series, each dimension over time.

    `compute` takes the first test series of a data set, `of` any series.

    Example:
        ```python
        from tfcnf.diagnostics import Forecasts

        forecasts = Forecasts(series=3, ahead=0.5)
        arrays = forecasts.compute(model, data)
        measures = dict(forecasts.measures(arrays))
        measures["within"]  # part of the observed values in the interval
        forecasts.plot(arrays, index=2, dimension=1)
        ```

    Args:
        series: test series that are shown, from the first on.
        ahead: how far a forecast goes, in durations of the longest series.
        level: probability of the interval.
        names: of the dimensions; the columns of the data's table, or numbers, if empty.
    """

    title = "Forecasts"
    caption = "Observed values of test series, and the model's curves and intervals."
    subject = "series"

    def __init__(
        self,
        series: int = 4,
        ahead: float = 1.0,
        level: float = 0.9,
        names: Sequence[str] = (),
    ):
        self.series, self.ahead = series, ahead
        self.level, self.names = level, tuple(names)

    def takes(self, data: Any) -> bool:
        """True for series."""
        from tfcnf.data.series import SeriesSource

        return isinstance(data, SeriesSource)

    def compute(
        self, model: LatentODE, data: SeriesSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """The arrays of `of` for the first test series.

        Args:
            model: the model.
            data: its data.
            tol: solver tolerance.

        Returns:
            As `of`, and ``"names"`` ``[C]`` of data that came from a table.
        """
        from tfcnf.data.series import Series

        self.check(data)
        x = Series(*(part[: self.series] for part in data.test.x))
        columns = data.table_columns
        named = {"names": np.array(columns.x)} if columns else {}
        return self.of(model, x, tol=tol) | named

    def of(
        self, model: LatentODE, x: Series, *, tol: float | None = None
    ) -> dict[str, np.ndarray]:
        """Series and the model's forecasts of them.

        Args:
            model: the model.
            x: the series.
            tol: solver tolerance; the model's own if None.

        Returns:
            ``"times"`` of a grid, ``"mean"``, ``"low"`` and ``"high"`` there, ``[n,
            POINTS, C]``; ``"values"`` ``[n, T, C]``, NaN where not observed, at
            ``"value_times"``, with ``"low_there"`` and ``"high_there"``.
        """
        from tfcnf.data.observations import observed

        last = float(x.times.max()) or 1.0
        grid = np.linspace(0.0, (1 + self.ahead) * last, POINTS)
        each, place = np.unique(x.times, return_inverse=True)
        times = np.concatenate([grid, each])
        found = model.predict(x, times.tolist(), level=self.level, tol=tol)
        place = place.reshape(x.times.shape)[..., None]
        there = {
            f"{end}_there": np.take_along_axis(values[:, POINTS:], place, 1)
            for end, values in (("low", found.low), ("high", found.high))
        }
        known = observed(np.asarray(x.values), x.mask)
        return there | {
            "times": grid,
            "mean": found.mean[:, :POINTS],
            "low": found.low[:, :POINTS],
            "high": found.high[:, :POINTS],
            "values": np.where(known, x.values, np.nan),
            "value_times": np.asarray(x.times),
        }

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Yields ``within``, the part of the observed values inside the interval."""
        values = arrays["values"]
        inside = (values >= arrays["low_there"]) & (values <= arrays["high_there"])
        yield "within", float(inside[np.isfinite(values)].mean())

    def plot(
        self,
        arrays: Arrays,
        ax: Axes | None = None,
        index: int = 0,
        dimension: int = 0,
    ) -> Axes:
        """Draws a dimension of one series over time.

        Args:
            arrays: of `compute` or `of`.
            ax: axes to draw on; those of a new figure if None.
            index: number of the series.
            dimension: number of the dimension.
        """
        ax = new_axes(ax)
        times, values = arrays["times"], arrays["values"][index, :, dimension]
        mean, low, high = (
            arrays[name][index, :, dimension] for name in ("mean", "low", "high")
        )
        last = arrays["value_times"][index].max()
        ax.fill_between(times, low, high, color="C1", alpha=0.25, label="interval")
        for name, color, part in (
            ("fit", "C3", times <= last),
            ("forecast", "C1", times >= last),
        ):
            ax.plot(times[part], mean[part], color=color, label=name)
        ax.plot(arrays["value_times"][index], values, ".", color="C0", label="observed")
        ax.axvline(last, color="0.75", linewidth=1)
        names = self.names or [str(name) for name in arrays.get("names", ())]
        name = names[dimension] if names else f"dimension {dimension}"
        ax.set_title(name, fontsize="small", parse_math=False)
        ax.tick_params(labelsize="x-small")
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"forecasts"``: a row for each series, a column for each dimension."""
        return {self.key: partial(self._panels, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        count, _, dims = arrays["values"].shape
        figure = new_figure(3.5 * dims, 2.2 * count + 0.5)
        panels = list(figure.subplots(count, dims, squeeze=False).ravel())
        for i, panel in enumerate(panels):
            self.plot(arrays, panel, *divmod(i, dims))
        add_legend(figure, panels[0])
        return figure
