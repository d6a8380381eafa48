"""The density that a flow on points has learned, on a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.conditional import asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF

SAMPLES = 4_000


class LearnedDensity(Diagnostic, key="density"):
    """The learned density beside the data, samples and, where it is known, the truth.

    Example:
        ```python
        from tfcnf.diagnostics import LearnedDensity

        density = LearnedDensity()
        arrays = density.compute(model, data)
        measures = dict(density.measures(arrays))
        measures["area"]  # 1 but for the errors of solver and grid
        density.plot(arrays)
        ```
    """

    title = "Density"
    caption = (
        "What the model has learned beside the truth, and how far from one it "
        "integrates."
    )
    files = ("density", "area_error", "tolerances")
    subject = "points with a box"
    takes_context = False
    instead = "; pairs and coverage are for any, log_prob(grid, context=c) for one"

    def takes(self, data: Any) -> bool:
        """True where the data are points with a box."""
        from tfcnf.data.source import Density

        return isinstance(getattr(data, "density", None), Density)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Log-densities on the grid of the data set, and samples.

        Args:
            model: a flow on points.
            data: points with a `Density`.
            tol: solver tolerance.

        Returns:
            ``"axis_0"``, ``"axis_1"``: the axes of the grid; ``"model/marginal"`` and
            ``"model/class_k"``: log-densities on it (nats); ``"truth"`` where known;
            ``"data"`` and ``"samples"`` with their ``"labels"``.
        """
        from tfcnf.evaluation.density import LogDensities, axes_of, grid_of

        self.check(data)
        density: Any = data.density
        grid, axes = grid_of(density), axes_of(density)
        shape = [len(axis) for axis in axes]
        logs, _ = LogDensities(model)(grid, tol)
        labels = data.test.y[:SAMPLES]
        arrays = {f"model/{k}": values.reshape(shape) for k, values in logs.items()}
        arrays |= {f"axis_{i}": axis for i, axis in enumerate(axes)}
        if density.log_prob is not None:
            arrays["truth"] = density.log_prob(grid).reshape(shape)
        samples = model.sample(asked(model, labels), seed=0, tol=tol).numpy()
        x = data.test.x[:SAMPLES]
        return arrays | {"data": x, "labels": labels, "samples": samples}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Areas under the densities, and the distance from the truth.

        Yields:
            The measures of `tfcnf.evaluation.density.density_measures`.
        """
        from tfcnf.data.source import Density
        from tfcnf.evaluation.density import density_measures

        axes = [arrays[name] for name in ("axis_0", "axis_1") if name in arrays]
        low, high = (tuple(float(axis[i]) for axis in axes) for i in (0, -1))
        names = {name: name.removeprefix("model/") for name in arrays if "/" in name}
        logs = {short: arrays[name].ravel() for name, short in names.items()}
        truth = arrays["truth"].ravel() if "truth" in arrays else None
        yield from density_measures(logs, truth, Density(low, high, len(axes[0])))

    def plot(
        self, arrays: Arrays, ax: Axes | None = None, name: str = "model/marginal"
    ) -> Axes:
        """Draws a density in the plane, or all densities on the line (Fig. 8).

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
            name: density in the plane, or ``"data"`` or ``"samples"`` as points.

        Raises:
            ValueError: for an unknown name.
        """
        check_choice(
            "name", name, [n for n in arrays if n[:5] not in ("axis_", "label")]
        )
        ax = new_axes(ax)
        if "axis_1" not in arrays:
            _plot_line(arrays, ax)
            return ax
        if name in ("data", "samples"):
            x, label = arrays[name], arrays["labels"][:, 0]
            ax.scatter(x[:, 0], x[:, 1], c=label, s=1, cmap="tab10")
        else:
            ends: Any = [arrays[f"axis_{i}"][j] for i in (0, 1) for j in (0, -1)]
            values = np.exp(arrays[name]).T
            ax.imshow(values, origin="lower", extent=ends, cmap="magma")
        reach = 1.1 * np.abs(arrays["data"]).max()
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        ax.set(title=name.removeprefix("model/"), aspect="equal")
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"density"``: data, samples and densities."""
        draw = self._panels if "axis_1" in arrays else self._figure
        return {self.key: partial(draw, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        """Data, samples and densities in the plane."""
        shown = ["data", "samples", "truth", "model/marginal", *_classes(arrays)]
        shown = [name for name in shown if name in arrays]
        columns = min(len(shown), 4)
        rows = -(-len(shown) // columns)
        figure = new_figure(2.8 * columns, 2.9 * rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, name in zip(panels, shown, strict=False):
            self.plot(arrays, panel, name)
        for panel in panels[len(shown) :]:
            panel.set_visible(False)
        return figure


def _plot_line(arrays: Arrays, ax: Axes) -> None:
    """True and learned density, and the learned one of each component."""
    axis, names = arrays["axis_0"], _classes(arrays)
    for name in names:
        ax.plot(axis, np.exp(arrays[name]) / len(names), alpha=0.5, label=name)
    if "truth" in arrays:
        ax.plot(axis, np.exp(arrays["truth"]), "k", label="truth")
    ax.plot(axis, np.exp(arrays["model/marginal"]), "r--", label="model")
    low, high = arrays["data"].min(), arrays["data"].max()
    ax.set(xlim=(low - 2, high + 2), xlabel="x", ylabel="density")
    ax.legend()


def _classes(arrays: Arrays) -> list[str]:
    names = [name for name in arrays if name.startswith("model/class_")]
    return sorted(names, key=lambda name: int(name.rpartition("_")[2]))
