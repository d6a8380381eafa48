"""Do the regions of a model hold as many examples as they should? By its own code.

The code of an example is standard normal if the density is right, so the sum of its D
squares is chi-square with D degrees: no sample needs to be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.chance import (
    COVERAGE_COLUMNS,
    binomial_interval,
    coverage_measures,
    smallest_p_value,
    uniform_band,
    uniform_p_value,
    width_test,
)
from tfcnf.diagnostics.conditional import first, standard_codes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF

KEPT = 64  # coordinates of the code that are looked at one by one


class Coverage(Diagnostic):
    """Expected coverage of a flow, by its own code.

    Example:
        ```python
        from tfcnf.diagnostics import Coverage

        coverage = Coverage()
        arrays = coverage.compute(model, data)
        measures = dict(coverage.measures(arrays))
        measures["80 %/coverage"]  # 0.8 is right
        measures["code/p_value"]  # below 0.05 for one of twenty right models
        coverage.plot(arrays)
        ```

    Args:
        most: examples of the test split, at most; all if None.
    """

    title = "Coverage"
    caption = (
        "Do the regions that should hold 50, 80 and 95 % of the test examples, given "
        "the labels and the context of each, hold as many? Low and high is where "
        "chance puts 95 % of right models; so many have a p-value above 0.05. A width "
        "of 0.9 is a density whose deviations are 10 % too small."
    )
    columns = COVERAGE_COLUMNS
    subject = "images, points and tables"

    def __init__(self, most: int | None = None):
        self.most = most

    def takes(self, data: object) -> bool:
        """True where the data are examples of a flow."""
        from tfcnf.data.source import DataSource

        return isinstance(data, DataSource)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """The codes of the test split.

        Args:
            model: a flow.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"codes"``: the first 64 coordinates, standard normal if the density is
            right, ``[n, 64]``; ``"squares"``: sum of the squares of all, ``[n]``;
            ``"dims"``: D.
        """
        self.check(data)
        codes = standard_codes(model, first(data.test, self.most), tol)
        squares = np.square(codes, dtype=np.float64).sum(1)
        dims = np.array(codes.shape[1])
        return {"codes": codes[:, :KEPT], "squares": squares, "dims": dims}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Coverage, width and p-values.

        Yields:
            What `coverage_measures` yields; ``code/width`` and ``code/p_value`` of
            `width_test`; ``levels/p_value`` of the levels being uniform;
            ``coordinates/p_value``, the smallest of the coordinates' being normal, for
            so many of them; ``num_examples``.
        """
        squares, dims = arrays["squares"], int(arrays["dims"])
        levels = levels_of(squares, dims)
        yield from coverage_measures(levels)
        # a sum of D squares is that of one code of D numbers, whatever these are
        rows = np.zeros([len(squares), dims])
        rows[:, 0] = np.sqrt(squares)
        width, p_value = width_test(rows)
        yield "code/width", width
        yield "code/p_value", p_value
        yield "levels/p_value", uniform_p_value(levels)
        each = map(uniform_p_value, transforms(arrays["codes"]).T)
        yield "coordinates/p_value", smallest_p_value(list(each))
        yield "num_examples", len(levels)

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws the coverage of regions against what it should be.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
        """
        levels = levels_of(arrays["squares"], int(arrays["dims"]))
        return plot_coverage(levels, new_axes(ax))

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"coverage"``: the coverage, and the coordinates of the code."""
        return {self.key: partial(self._panels, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        figure = new_figure(8.4, 3.8)
        left, right = figure.subplots(1, 2)
        self.plot(arrays, left)
        plot_uniformity(transforms(arrays["codes"]), right)
        right.set(title="coordinates of the code")
        return figure


def levels_of(squares: np.ndarray, dims: int) -> np.ndarray:
    """Probability of the smallest region that holds each example, ``[n]``.

    Args:
        squares: sums of the squares of standard codes, ``[n]``.
        dims: numbers D of a code.
    """
    from scipy import stats

    return stats.chi2.cdf(squares, dims)


def transforms(codes: np.ndarray) -> np.ndarray:
    """Probability integral transforms of the coordinates, ``[n, D]`` in [0, 1].

    Args:
        codes: standard normal if the model is right, ``[n, D]``.
    """
    from scipy import stats

    return stats.norm.cdf(codes.astype(np.float64))


def plot_coverage(
    levels: np.ndarray, ax: Axes, label: str = "model", color: str = "C0"
) -> Axes:
    """Draws the distribution of levels ``[n]``, once with the interval of chance."""
    nominal = np.linspace(0.01, 0.99, 99)
    each = [binomial_interval(level, len(levels)) for level in nominal]
    low, high = np.transpose(each)
    if not ax.has_data():
        ax.fill_between(nominal, low, high, color="0.85", label="95 % by chance")
        ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
    part = np.searchsorted(np.sort(levels), nominal, side="right") / len(levels)
    ax.plot(nominal, part, color=color, label=label)
    ax.set(xlabel="probability of the region", ylabel="part of the examples in it")
    ax.set(xlim=(0, 1), ylim=(0, 1), title="coverage")
    ax.legend(loc="upper left")
    ax.grid(alpha=0.3)
    return ax


def plot_uniformity(
    values: np.ndarray, ax: Axes, names: list[str] | None = None
) -> Axes:
    """Draws by how much distributions of columns in [0, 1] differ from uniform.

    Args:
        values: ``[n, D]``.
        ax: axes to draw on.
        names: of the columns, for a legend.
    """
    count = len(values)
    band = uniform_band(count)
    ax.axhspan(-band, band, color="0.85", label="95 % by chance")
    parts = np.arange(1, count + 1) / count
    for i, column in enumerate(np.sort(values, 0).T):
        label = names[i] if names else None
        ax.plot(column, parts - column, linewidth=0.8, label=label)
    ax.set(xlabel="u", ylabel="part of the examples below u, minus u", xlim=(0, 1))
    ax.legend(fontsize="small")
    ax.grid(alpha=0.3)
    return ax
