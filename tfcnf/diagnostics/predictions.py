"""Labels of a table as they are predicted from its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.table_source import TableSource


class Predictions(Diagnostic):
    """Predicted labels of test rows beside the true ones.

    Example:
        ```python
        from tfcnf.diagnostics import Predictions

        predictions = Predictions()
        arrays = predictions.compute(model, data)
        measures = dict(predictions.measures(arrays))
        predictions.plot(arrays)
        ```
    """

    title = "Predicted labels"
    caption = (
        "Labels that are read from test rows against the true ones: of classes the "
        "share of each true class (row), of numbers the values."
    )
    columns = {"error": "error (%)", "rmse": "RMSE"}
    subject = "tables with labels"

    def takes(self, data: Any) -> bool:
        """True where the data are a table with labels."""
        from tfcnf.data.table_source import TableSource

        return isinstance(data, TableSource) and bool(data.labels)

    def compute(
        self, model: Any, data: TableSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Labels of the test split.

        Args:
            model: a flow with labels.
            data: its table.
            tol: solver tolerance.

        Returns:
            ``"truth/NAME"`` and ``"predicted/NAME"``, ``[n]``, of each label, and
            ``"classes/NAME"``, the names of its classes, if it has them.

        Raises:
            ValueError: for a model without labels, or other data.
        """
        from tfcnf.labels.categorical import Categorical

        self.check(data)
        test, options = data.test, {}
        if data.conditions:
            options["context"] = test.context
        found = model.predict_labels(test.x, tol=tol, batch_size=500, **options)
        arrays = {}
        for i, label in enumerate(data.labels):
            arrays[f"truth/{label.title}"] = test.y[:, i]
            arrays[f"predicted/{label.title}"] = np.asarray(found)[:, i]
            if isinstance(label, Categorical):
                arrays[f"classes/{label.title}"] = np.array(label.names)
        return arrays

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Yields ``NAME/error`` (percent) of classes and ``NAME/rmse`` of numbers."""
        for name in _names(arrays):
            truth, found = arrays[f"truth/{name}"], arrays[f"predicted/{name}"]
            if f"classes/{name}" in arrays:
                yield f"{name}/error", 100.0 * float(np.mean(truth != found))
            else:
                yield f"{name}/rmse", float(np.sqrt(np.mean((truth - found) ** 2)))

    def plot(self, arrays: Arrays, ax: Axes | None = None, name: str = "") -> Axes:
        """Draws one label.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
            name: of the label; the first if empty.
        """
        ax, name = new_axes(ax), name or _names(arrays)[0]
        truth, found = arrays[f"truth/{name}"], arrays[f"predicted/{name}"]
        if f"classes/{name}" in arrays:
            _plot_classes(ax, arrays[f"classes/{name}"], truth, found)
        else:
            ends = [truth.min(), truth.max()]
            ax.plot(ends, ends, color="grey", linewidth=1)
            ax.plot(truth, found, ".", color="tab:blue", alpha=0.6)
            ax.set(xlabel="true", ylabel="predicted")
        ax.set_title(name)
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"predictions"``: a panel for each label."""
        return {self.key: partial(self._panels, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        names = _names(arrays)
        figure = new_figure(3.6 * len(names), 3.4)
        for panel, name in zip(
            figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
        ):
            self.plot(arrays, panel, name)
        return figure


def _plot_classes(
    ax: Axes, classes: np.ndarray, truth: np.ndarray, found: np.ndarray
) -> None:
    """Counts of true and predicted classes, coloured by the share of the true one."""
    counts = np.zeros([len(classes)] * 2)
    np.add.at(counts, (truth.astype(int), found.astype(int)), 1)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    for (i, j), count in np.ndenumerate(counts):
        color = "white" if share[i, j] > 0.5 else "black"
        ax.text(j, i, f"{count:.0f}", ha="center", va="center", color=color)
    ticks = range(len(classes))
    ax.set(xticks=ticks, yticks=ticks, xlabel="predicted", ylabel="true")
    ax.set_xticklabels(classes, rotation=45, ha="right")
    ax.set_yticklabels(classes)


def _names(arrays: Arrays) -> list[str]:
    return [key.partition("/")[2] for key in arrays if key.startswith("truth/")]
