"""Is the density equally right everywhere? Its likelihood by slices of the condition.

A likelihood alone does not say whether it is right: some conditions leave more to
chance than others. The entropy of the model itself is what it should be, and that is
estimated by the likelihood of samples with the same conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes
from tfcnf.diagnostics.chance import smallest_p_value
from tfcnf.diagnostics.conditional import draw, first, has_vectors, nats
from tfcnf.diagnostics.two_sample import given_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF

QUARTERS = 4
FEWEST = 10  # examples of a slice


class Slices(Diagnostic):
    """Likelihood of a flow by slices of labels and context.

    Example:
        ```python
        from tfcnf.diagnostics import Slices

        slices = Slices()
        arrays = slices.compute(model, data)
        measures = dict(slices.measures(arrays))
        measures["all/nll"], measures["all/expected"]  # nats
        slices.plot(arrays)
        ```

    Args:
        most: examples of the test split, at most; all if None.
        seed: of the samples.
    """

    title = "Likelihood by condition"
    caption = (
        "Negative log-likelihood (nats) of the test examples by quarters of each "
        "number, and by each class, that the model is given, beside what it expects: "
        "that of its own samples with the same labels and context. The difference of "
        "95 % of right models is smaller than “by chance”."
    )
    columns = {
        "examples": "examples",
        "nll": "NLL (nats)",
        "expected": "expected (nats)",
        "chance": "by chance (± nats)",
        "p_value": "p-value",
    }
    subject = "points and tables"

    def __init__(self, most: int | None = 2000, seed: int = 0):
        self.most, self.seed = most, seed

    def takes(self, data: object) -> bool:
        """True where the data are vectors."""
        return has_vectors(data)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Likelihoods and conditions of the test split.

        Args:
            model: a flow on vectors.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"nll"`` and ``"expected"`` ``[n]`` nats, ``"given"`` ``[n, C]`` of numbers
            in their own units and classes by their number, ``"names"`` ``[C]``,
            ``"is_class"`` ``[C]``, and ``"class_names"`` ``[C, K]``, empty where a
            class has none.
        """
        self.check(data)
        split = first(data.test, self.most)
        (drawn,) = draw(model, split, tol, seed=self.seed)
        given = given_of(model, split)
        told = _label_names(model, data)
        told += _context_names(data, given.shape[1] - len(told))
        most = max((len(classes) for *_, classes in told), default=0)
        padded = [[*classes, *[""] * (most - len(classes))] for *_, classes in told]
        return {
            "nll": nats(model, split, tol),
            "expected": nats(model, split, tol, drawn),
            "given": given,
            "names": np.array([name for name, *_ in told], dtype=str),
            "is_class": np.array([is_class for _, is_class, _ in told], dtype=bool),
            "class_names": np.array(padded, dtype=str),
        }

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Likelihoods of all examples and of each slice.

        Yields:
            For ``all`` and each slice ``/examples``, ``/nll``, ``/expected``,
            ``/chance``, the 95 % interval of their difference, all in nats, and
            ``/p_value``; ``slices/p_value``, the smallest for so many.
        """
        p_values = []
        for name, rows in [
            ("all", np.full(len(arrays["nll"]), True)),
            *_slices(arrays),
        ]:
            for measure, value in _compare(arrays, rows):
                yield f"{name}/{measure}", value
                if measure == "p_value" and name != "all":
                    p_values.append(value)
        if p_values:
            yield "slices/p_value", smallest_p_value(p_values)

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws likelihood less expectation of each slice, with its interval.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
        """
        ax = new_axes(ax)
        every = ("all", np.full(len(arrays["nll"]), True))
        names, found = [], []
        for name, rows in [every, *_slices(arrays)]:
            names.append(name)
            found.append(dict(_compare(arrays, rows)))
        gaps = [each["nll"] - each["expected"] for each in found]
        places = np.arange(len(names))[::-1]
        chance = [each["chance"] for each in found]
        ax.barh(places, 2 * np.array(chance), left=-np.array(chance), color="0.85")
        ax.plot(gaps, places, "o", color="C0")
        ax.axvline(0, color="grey", linestyle=":")
        ax.set_yticks(places, names, fontsize="small", parse_math=False)
        ax.set(xlabel="NLL less expected (nats), grey: 95 % by chance")
        return ax


def _label_names(
    model: InfoCNF, data: DataSource
) -> list[tuple[str, bool, Sequence[str]]]:
    """A name for each column of the labels, whether it is a class, and their names."""
    from tfcnf.labels.categorical import Categorical

    names = []
    for i, label in enumerate(data.labels if model.is_supervised else []):
        title = label.title or ("label" if len(data.labels) == 1 else f"label {i}")
        for k in range(label.columns):
            name = title if label.columns == 1 else f"{title} {k}"
            is_class = isinstance(label, Categorical) or label.integer
            names.append((name, is_class, getattr(label, "names", ())))
    return names


def _context_names(
    data: DataSource, count: int
) -> list[tuple[str, bool, Sequence[str]]]:
    """The same for each number of the context."""
    columns = getattr(data, "conditions", ())
    if len(columns) == count:
        return [(c.name, c.kind == "category", c.names) for c in columns]
    names = [f"context {i}" for i in range(count)] if count > 1 else ["context"] * count
    return [(name, False, ()) for name in names]


def _slices(arrays: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """A name and a mask ``[n]`` for each slice with enough examples."""
    keys = ("names", "is_class", "class_names")
    columns = zip(*(arrays[key] for key in keys), arrays["given"].T, strict=True)
    for name, is_class, classes, values in columns:
        if is_class or len(np.unique(values)) <= QUARTERS:
            named = {k: text for k, text in enumerate(classes) if text}
            parts = [
                (f"{name} {named.get(k, f'{k:g}')}", values == k)
                for k in np.unique(values)
            ]
        else:
            edges = np.quantile(values, np.linspace(0, 1, QUARTERS + 1))
            place = np.searchsorted(edges[1:-1], values, side="right")
            parts = [
                (f"{name} {edges[k]:.3g} to {edges[k + 1]:.3g}", place == k)
                for k in range(QUARTERS)
            ]
        yield from ((title, rows) for title, rows in parts if rows.sum() >= FEWEST)


def _compare(arrays: Arrays, rows: np.ndarray) -> Iterator[tuple[str, float]]:
    from scipy import stats

    nll, expected = arrays["nll"][rows], arrays["expected"][rows]
    test = stats.ttest_1samp(nll - expected, 0.0)
    error = (nll - expected).std(ddof=1) / np.sqrt(len(nll))
    yield "examples", len(nll)
    yield "nll", float(nll.mean())
    yield "expected", float(expected.mean())
    yield "chance", float(stats.t.ppf(0.975, len(nll) - 1) * error)
    yield "p_value", float(test.pvalue)
