"""Samples on their way from the code, as a picture and an animation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.grid import grid_figure, plot_grid
from tfcnf.diagnostics.pictures import class_samples, has_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF

STEPS = 16  # times, both ends included
IMAGES, POINTS = 10, 200  # samples
LINES = 40  # points whose way is drawn


class Paths(Diagnostic):
    """Positions of samples at times between their codes and themselves.

    Example:
        ```python
        from tfcnf.diagnostics import Paths

        paths = Paths()
        arrays = paths.compute(model, data)
        measures = dict(paths.measures(arrays))
        measures["detour"]  # 1 is a straight way
        paths.plot(arrays)
        ```
    """

    title = "Paths"
    caption = (
        "Samples on their way from the code, at time 1, to the example, at time 0. "
        "The animation shows them together."
    )
    subject = "images, and points in one or two dimensions"

    def takes(self, data: Any) -> bool:
        """True where the data are images, or points on a line or in the plane."""
        from tfcnf.data.source import DataSource

        points = isinstance(data, DataSource) and data.event_shape in [(1,), (2,)]
        return points or has_images(data)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Positions of samples of the classes in turn.

        Of a model with a context they are for the conditions of test examples, each
        with all classes.

        Args:
            model: the model.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"positions"`` ``[n, T, *event_shape]``, see `tfcnf.models.trajectory`,
            ``"times"`` ``[T]`` from 1 to 0, and ``"rows"`` ``[n]``: the number of the
            value of the first label that a sample was drawn for.
        """
        self.check(data)
        count = IMAGES if has_images(data) else POINTS
        columns, context = max(1, count // 10), data.test.context
        drawn = class_samples(model, columns=columns, tol=tol, context=context)
        drawn = drawn.swapaxes(0, 1)
        values = drawn.shape[1]
        rows = np.tile(np.arange(values), columns)[:count]
        samples = drawn.reshape(-1, *model.event_shape)[:count]
        if context is not None:
            context = np.resize(context, [columns, *context.shape[1:]])
            context = np.repeat(context, values, 0)[:count]
        options: Any = {"context": context, "tol": tol}
        times = np.linspace(1, 0, STEPS)
        codes = model.encode(samples, **options)
        path = model.trajectory(codes, times, inverse=True, **options)
        return {"positions": path.numpy(), "times": times, "rows": rows}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Lengths of the ways.

        Yields:
            ``length``: the mean length of the way from code to sample, ``straight``:
            the mean distance of the two, and ``detour``: the one in units of the other.
        """
        path: Any = arrays["positions"].astype(np.float64)
        path = path.reshape(*path.shape[:2], -1)
        length = np.linalg.norm(np.diff(path, axis=1), axis=-1).sum(1).mean()
        straight = np.linalg.norm(path[:, -1] - path[:, 0], axis=-1).mean()
        yield "length", float(length)
        yield "straight", float(straight)
        yield "detour", float(length / straight) if straight else 1.0

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws images in rows from code to sample, or the lines that points follow."""
        ax, path, times = new_axes(ax), arrays["positions"], arrays["times"]
        if path.ndim > 3:
            names = [f"{t:.2g}" for t in times[::3]]
            return plot_grid(path[:, ::3], ax, columns=names)
        x, y = path[..., 0], path[..., -1]
        if path.shape[-1] == 1:
            x = np.broadcast_to(1 - times, y.shape)
            ax.set(xticks=[0, 1], xticklabels=["code", "sample"])
        ax.plot(x[:LINES].T, y[:LINES].T, color="grey", alpha=0.5, linewidth=0.8)
        ax.scatter(x[:, 0], y[:, 0], s=6, color="C7", label="code")
        ax.scatter(x[:, -1], y[:, -1], s=6, c=_colors(arrays), label="sample")
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"paths"``: the picture of `plot`."""
        path = arrays["positions"]
        if path.ndim <= 3:
            return super().figures(arrays)
        names = [f"{t:.2g}" for t in arrays["times"][::3]]
        return {self.key: partial(grid_figure, path[:, ::3], columns=names)}

    def animations(self, arrays: Arrays) -> dict[str, Callable[[], Iterator[Figure]]]:
        """``"paths"``: all samples, at one time after the other."""
        return {self.key: partial(self._frames, arrays)}

    def _frames(self, arrays: Arrays) -> Iterator[Figure]:
        path = arrays["positions"]
        flat = path.reshape(-1, path.shape[-1])
        low, high = flat.min(0), flat.max(0)
        for i, t in enumerate(arrays["times"]):
            title = f"t = {t:.2f}"
            if path.ndim > 3:
                yield grid_figure(path[None, :, i], title=title)
                continue
            figure = new_figure(4, 4)
            ax = figure.subplots()
            y = path[:, i, 1] if path.shape[-1] == 2 else arrays["rows"]
            ax.scatter(path[:, i, 0], y, s=6, c=_colors(arrays))
            ax.set(xlim=(low[0], high[0]), title=title)
            if path.shape[-1] == 2:
                ax.set(ylim=(low[1], high[1]))
            yield figure


def _colors(arrays: Arrays) -> list[str]:
    return [f"C{row % 10}" for row in arrays["rows"]]
