"""Ranks of examples among samples: simulation-based calibration, and TARP.

The rank of a coordinate among samples of its distribution is uniform if the model is
right (Talts et al. 2018, arXiv:1804.06788; for a posterior p(theta | x), x here is
theta and the context is x). TARP asks it of the distance to a random point, and so of
all coordinates together (Lemos et al. 2023, arXiv:2302.03026).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.chance import (
    COVERAGE_COLUMNS,
    coverage_measures,
    smallest_p_value,
    uniform_p_value,
    width_test_of_levels,
)
from tfcnf.diagnostics.conditional import draw, first, has_vectors
from tfcnf.diagnostics.coverage import plot_coverage, plot_uniformity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF

NAMED = 8  # columns that a legend names


class Ranks(Diagnostic):
    """Ranks of test examples among samples of the model, and coverage by TARP.

    Example:
        ```python
        from tfcnf.diagnostics import Ranks

        ranks = Ranks(samples=19)
        arrays = ranks.compute(model, data)
        measures = dict(ranks.measures(arrays))
        measures["columns/p_value"]  # below 0.05 for one of twenty right models
        ranks.plot(arrays)
        ```

    Args:
        samples: drawn for each example.
        most: examples of the test split, at most; all if None.
        seed: of samples, ties and reference points.
    """

    title = "Ranks"
    caption = (
        "Ranks of each column of the test examples among samples that were drawn with "
        "the labels and the context of each, which are uniform if the density is "
        "right, and the coverage of balls around random points (TARP). Of right models "
        "95 % stay in the grey, between low and high, and have a p-value above 0.05."
    )
    columns = COVERAGE_COLUMNS
    subject = "points and tables"

    def __init__(self, samples: int = 99, most: int | None = 500, seed: int = 0):
        self.samples, self.most, self.seed = samples, most, seed

    def takes(self, data: object) -> bool:
        """True where the data are vectors."""
        return has_vectors(data)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Ranks and levels of the test split.

        Args:
            model: a flow on vectors.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"ranks"`` ``[n, D]`` and ``"tarp"`` ``[n]``, uniform if the density is
            right; ``"names"`` ``[D]`` of the columns.
        """
        self.check(data)
        split = first(data.test, self.most)
        samples = draw(model, split, tol, count=self.samples, seed=self.seed)
        return {
            "ranks": ranks_of(split.x, samples, self.seed),
            "tarp": tarp_levels(split.x, samples, self.seed),
            "names": np.array(column_names(data)),
        }

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Widths, p-values and coverage.

        Yields:
            For each column ``NAME/width`` of `width_test_of_levels` and
            ``NAME/p_value`` of its ranks being uniform; ``columns/width``, and
            ``columns/p_value``, the smallest for so many; what `coverage_measures`
            yields of TARP, and ``TARP/p_value``; ``num_examples``.
        """
        ranks, tarp = arrays["ranks"], arrays["tarp"]
        p_values = [uniform_p_value(column) for column in ranks.T]
        for i, name in enumerate(arrays["names"]):
            yield f"{name}/width", width_test_of_levels(ranks[:, i : i + 1])[0]
            yield f"{name}/p_value", p_values[i]
        width, of_width = width_test_of_levels(ranks)
        yield "columns/width", width
        yield "columns/p_value", smallest_p_value([of_width, *p_values])
        yield from coverage_measures(tarp, "TARP")
        yield "TARP/p_value", uniform_p_value(tarp)
        yield "num_examples", len(tarp)

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws by how much the distributions of the ranks differ from uniform.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
        """
        names = [str(name) for name in arrays["names"]]
        few = names if len(names) <= NAMED else None
        ax = plot_uniformity(arrays["ranks"], new_axes(ax), few)
        ax.set(title="ranks of the columns")
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"ranks"``: the ranks, and the coverage by TARP."""
        return {self.key: partial(self._panels, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        figure = new_figure(8.4, 3.8)
        left, right = figure.subplots(1, 2)
        self.plot(arrays, left)
        plot_coverage(arrays["tarp"], right).set(title="coverage by TARP")
        return figure


def column_names(data: DataSource) -> list[str]:
    """Names of the columns of vectors; x0, x1, ... where the data do not name them."""
    columns = getattr(data, "columns", None) or range(data.event_shape[0])
    return [getattr(c, "name", None) or f"x{i}" for i, c in enumerate(columns)]


def ranks_of(values: np.ndarray, samples: np.ndarray, seed: int = 0) -> np.ndarray:
    """Ranks of values among samples, spread evenly over (0, 1).

    Uniform to the last digit if values and samples have one distribution: a place among
    the S + 1 gaps is drawn evenly within it, and among ties by chance.

    Args:
        values: ``[n, ...]``.
        samples: ``[S, n, ...]``.
        seed: of the places.

    Returns:
        ``[n, ...]``.
    """
    rng = np.random.default_rng(seed)
    below = (samples < values).sum(0)
    ties = (samples == values).sum(0)
    place = below + rng.integers(0, ties + 1)
    return (place + rng.uniform(1e-9, 1 - 1e-9, values.shape)) / (len(samples) + 1)


def tarp_levels(
    values: np.ndarray,
    samples: np.ndarray,
    seed: int = 0,
    references: np.ndarray | None = None,
) -> np.ndarray:
    """Levels ``[n]`` of TARP: ranks of the distance from a random point.

    Distances are in units of the columns' deviations. Values and samples decide box and
    units alike: of a right model one cannot be told from the others.

    Args:
        values: ``[n, D]``.
        samples: ``[S, n, D]``.
        seed: of reference points and ties.
        references: the points ``[n, D]``; if None, uniform in the box of values and
            samples.
    """
    everything = np.concatenate([values[None], samples]).reshape(-1, values.shape[1])
    scale = everything.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    if references is None:
        rng = np.random.default_rng([seed, 1])
        box = everything.min(0), everything.max(0)
        references = rng.uniform(*box, values.shape)
    mine = np.linalg.norm((values - references) / scale, axis=-1)
    theirs = np.linalg.norm((samples - references) / scale, axis=-1)
    return ranks_of(mine, theirs, seed)
