"""Do predictive intervals of labels that are numbers hold as many as they should?

q_theta gives a mean and a deviation of each number: an interval of 80 % is right where
it holds 80 % of the true values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes
from tfcnf.diagnostics.chance import (
    COVERAGE_COLUMNS,
    coverage_measures,
    smallest_p_value,
    uniform_p_value,
    width_test,
)
from tfcnf.diagnostics.conditional import BATCH, first, given
from tfcnf.diagnostics.coverage import plot_coverage, transforms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfcnf.data.source import DataSource
    from tfcnf.labels.real import Real
    from tfcnf.models.infocnf import InfoCNF


class Intervals(Diagnostic):
    """Calibration of the predictive intervals of labels that are numbers.

    Example:
        ```python
        from tfcnf.diagnostics import Intervals

        intervals = Intervals()
        arrays = intervals.compute(model, data)
        measures = dict(intervals.measures(arrays))
        measures["all/p_value"]  # below 0.05 for one of twenty right models
        intervals.plot(arrays)
        ```

    Args:
        most: examples of the test split, at most; all if None.
    """

    title = "Predictive intervals"
    caption = (
        "Do the intervals that should hold 50, 80 and 95 % of each number that is read "
        "from the code hold as many? Low and high is where chance puts 95 % of right "
        "models. A width of 0.9 is an interval that is 10 % too short."
    )
    columns = COVERAGE_COLUMNS
    subject = "examples with a label that is a number"

    def __init__(self, most: int | None = None):
        self.most = most

    def takes(self, data: object) -> bool:
        """True where a label is a number."""
        from tfcnf.data.source import DataSource
        from tfcnf.labels.real import Real

        return isinstance(data, DataSource) and any(
            isinstance(label, Real) for label in data.labels
        )

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Standardised errors of the predictions on the test split.

        Args:
            model: a flow with such a label.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"errors"``: (value - mean) / deviation, standard normal if the
            predictions are right, ``[n, columns]``; ``"names"`` ``[columns]``.

        Raises:
            ValueError: for a model that predicts no such label.
        """
        from tfcnf.labels.base import split_values
        from tfcnf.labels.real import Real

        self.check(data)
        split = first(data.test, self.most)
        z = model.encode(split.x, tol, batch_size=BATCH, **given(split))
        y: np.ndarray = split.y.astype(model.compute_dtype)
        errors, names = [], []
        pairs = zip(model.labels, model.reader.codes(z), strict=True)
        for i, ((label, code), value) in enumerate(
            zip(pairs, split_values(model.labels, y), strict=True)
        ):
            if isinstance(label, Real):
                found = label.predict(code)
                errors.append((value - found.mean()) / found.stddev())
                names += names_of(label, i)
        if not errors:
            raise ValueError(
                "the model predicts no label that is a number. "
                f"Received: labels={[label.describe() for label in model.labels]}"
            )
        return {"errors": np.concatenate(errors, 1), "names": np.array(names)}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Coverage, width and p-value of each number.

        Yields:
            For each number what `coverage_measures` yields, ``NAME/width`` of
            `width_test`, and ``NAME/p_value``, the smaller of its width's and of its
            errors being normal, for both; ``all/p_value``, the smallest for so many.
        """
        p_values = []
        for name, errors in zip(arrays["names"], arrays["errors"].T, strict=True):
            yield from coverage_measures(central_levels(errors), str(name))
            width, of_width = width_test(errors)
            of_shape = uniform_p_value(transforms(errors))
            p_values.append(smallest_p_value([of_width, of_shape]))
            yield f"{name}/width", width
            yield f"{name}/p_value", p_values[-1]
        yield "all/p_value", smallest_p_value(p_values)
        yield "num_examples", len(arrays["errors"])

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws the coverage of the intervals of all numbers.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
        """
        ax = new_axes(ax)
        pairs = zip(arrays["names"], arrays["errors"].T, strict=True)
        for i, (name, errors) in enumerate(pairs):
            plot_coverage(central_levels(errors), ax, str(name), f"C{i}")
        ax.set(xlabel="probability of the interval", title="predictive intervals")
        return ax


def names_of(label: Real, number: int) -> list[str]:
    """Names of the numbers of a label."""
    title = label.title or f"label {number}"
    return [title] if label.dims == 1 else [f"{title} {k}" for k in range(label.dims)]


def central_levels(errors: np.ndarray) -> np.ndarray:
    """Probability of the central interval that just holds each value, ``[n]``.

    Args:
        errors: (value - mean) / deviation of normal predictions, ``[n]``.
    """
    return np.abs(2 * transforms(errors) - 1)
