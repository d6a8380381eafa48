"""Samples of a table beside its rows: each column, and each pair of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.conditional import asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import Split
    from tfcnf.data.table_source import TableSource

ROWS = 2_000
SHOWN = 6  # columns of the figure
WIDE = 3  # panels side by side of a single column
BINS = 40
STYLES = {"data": "tab:blue", "samples": "tab:orange"}


class Pairs(Diagnostic):
    """Rows of a table and samples with the same labels and conditions.

    Example:
        ```python
        from tfcnf.diagnostics import Pairs

        pairs = Pairs()
        arrays = pairs.compute(model, data)
        measures = dict(pairs.measures(arrays))
        measures["a/ks"]  # distance of the distributions of one column
        ```
    """

    title = "Samples and data"
    caption = (
        "Samples of the model (orange) beside rows of the table (blue) with the same "
        "labels and conditions: single columns, and pairs of them. KS is the largest "
        "distance of the distribution functions of a column."
    )
    columns = {"ks": "KS"}
    subject = "tables"

    def takes(self, data: Any) -> bool:
        """True where the data are a table."""
        from tfcnf.data.table_source import TableSource

        return isinstance(data, TableSource)

    def compute(
        self, model: Any, data: TableSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Rows of the table, the test split first, and a sample for each.

        Args:
            model: a flow.
            data: its table.
            tol: solver tolerance.

        Returns:
            ``"data"`` and ``"samples"``, ``[n, D]``, with the ``"names"`` ``[D]`` of
            the columns; numbers of the condition, ``"context"`` ``[n, C]``, and their
            ``"context_names"``.
        """
        self.check(data)
        splits = [data.test, data.validation, data.train]
        rows = [split for split in splits if split is not None]
        x, y = (_stacked(rows, part)[:ROWS] for part in ("x", "y"))
        arrays = {"data": x, "names": np.array([c.name for c in data.columns])}
        options: dict[str, Any] = {}
        if data.conditions:
            options["context"] = _stacked(rows, "context")[:ROWS]
            kept = [i for i, c in enumerate(data.conditions) if c.kind != "category"]
            arrays["context"] = options["context"][:, kept]
            names = [data.conditions[i].name for i in kept]
            arrays["context_names"] = np.array(names, str)
        samples = model.sample(asked(model, y), tol=tol, batch_size=500, **options)
        return arrays | {"samples": np.asarray(samples)}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Yields ``NAME/ks`` of each column, in [0, 1]."""
        from scipy import stats

        for i, name in enumerate(arrays["names"]):
            parts = (arrays[key][:, i] for key in ("data", "samples"))
            yield f"{name}/ks", float(stats.ks_2samp(*parts).statistic)

    def plot(
        self, arrays: Arrays, ax: Axes | None = None, columns: Any = (0, 1)
    ) -> Axes:
        """Draws two columns as points, or one as a histogram.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
            columns: places of one or two columns, those of the context behind those of
                x; a single one where there is no second.
        """
        ax = new_axes(ax)
        names, values = _all_columns(arrays)
        first, *second = [column for column in columns if column < len(names)]
        for key, color in STYLES.items():
            if second:
                points = values[key][:, [first, *second]]
                ax.plot(*points.T, ".", color=color, markersize=2, alpha=0.4)
            else:
                reach = _reach(values["data"][:, first])
                ax.hist(
                    values[key][:, first], BINS, range=reach, color=color, alpha=0.5
                )
            label = names[second[0]] if second else "rows"
        ax.set(xlabel=names[first], ylabel=label)
        ax.set_xlim(*_reach(values["data"][:, first]))
        if second:
            ax.set_ylim(*_reach(values["data"][:, second[0]]))
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"pairs"``: single columns on the diagonal, pairs below it."""
        return {self.key: partial(self._corner, arrays)}

    def _corner(self, arrays: Arrays) -> Figure:
        """Columns of x to the right, these and the condition's downwards."""
        count = min(len(_all_columns(arrays)[0]), SHOWN)
        own = min(len(arrays["names"]), count)
        if own == 1:  # a single column needs no corner
            shape = (-(-count // WIDE), min(count, WIDE))
            places = {divmod(i, WIDE): (0, i) if i else (0,) for i in range(count)}
        else:
            shape = (count, own)
            places = {
                (row, column): (column, row) if row > column else (column,)
                for row in range(count)
                for column in range(min(row + 1, own))
            }
        figure = new_figure(2.3 * shape[1] + 0.6, 2.0 * shape[0] + 0.6)
        panels: Any = figure.subplots(*shape, squeeze=False)
        for place, panel in np.ndenumerate(panels):
            panel.set_visible(place in places)
            if place in places:
                self.plot(arrays, panel, places[place])
        return figure


def _stacked(rows: list[Split], part: str) -> np.ndarray:
    return np.concatenate([getattr(split, part) for split in rows])


def _all_columns(arrays: Arrays) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of x and context, and their values for data and samples."""
    names, parts = [*map(str, arrays["names"])], []
    if "context" in arrays:
        names += [*map(str, arrays["context_names"])]
        parts = [arrays["context"]]
    return names, {key: np.concatenate([arrays[key], *parts], 1) for key in STYLES}


def _reach(values: np.ndarray) -> tuple[float, float]:
    """Limits that show the data and a little more."""
    low, high = np.quantile(values, [0.002, 0.998])
    more = 0.1 * (high - low) or 1.0
    return float(low - more), float(high + more)
