"""Can a classifier tell samples of the model from test examples? It should not.

Both have the same labels and context. A right model leaves a classifier with an
accuracy of 1/2 (Lopez-Paz and Oquab 2017, arXiv:1610.06545).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes
from tfcnf.diagnostics.conditional import draw, first, has_vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfcnf.data.source import DataSource, Split
    from tfcnf.models.infocnf import InfoCNF

FOLDS = 5
SWAPS = 99


class TwoSample(Diagnostic, key="two_sample"):
    """Classifier two-sample test of a flow on vectors.

    Example:
        ```python
        from tfcnf.diagnostics import TwoSample

        test = TwoSample(swaps=19)
        arrays = test.compute(model, data)
        measures = dict(test.measures(arrays))
        measures["classifier/accuracy"]  # 0.5 is right
        test.plot(arrays)
        ```

    Args:
        most: examples of the test split, at most; all if None.
        seed: of the samples and the folds.
        swaps: of examples and samples, to learn what chance does.
    """

    title = "Classifier two-sample test"
    caption = (
        "A classifier is asked whether a row is of the test split or was drawn by the "
        "model with the labels and the context of one; an accuracy of 0.5 is that of "
        "guessing. Between low and high it lies by chance for 95 % of right models."
    )
    columns = {
        "accuracy": "accuracy",
        "low": "low by chance",
        "high": "high by chance",
        "p_value": "p-value",
    }
    subject = "points and tables"

    def __init__(self, most: int | None = 2000, seed: int = 0, swaps: int = SWAPS):
        self.most, self.seed, self.swaps = most, seed, swaps

    def takes(self, data: object) -> bool:
        """True where the data are vectors."""
        return has_vectors(data)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """The classifier's answers.

        Args:
            model: a flow on vectors.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"scores"``: the probability of being an example, of each example and then
            of each sample, ``[2, n]``, of classifiers that did not see either;
            ``"by_chance"``: accuracies of `chance_accuracies`, ``[swaps]``.

        Raises:
            ValueError: for fewer than ten test examples.
        """
        self.check(data)
        split = first(data.test, self.most)
        (drawn,) = draw(model, split, tol, seed=self.seed)
        rows = split.x, drawn, given_of(model, split)
        return {
            "scores": two_sample_scores(*rows, seed=self.seed),
            "by_chance": chance_accuracies(*rows, swaps=self.swaps, seed=self.seed),
        }

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Accuracy of the classifier.

        Yields:
            ``classifier/accuracy``, ``/low`` and ``/high``, where chance puts 95 % of
            right models, and ``/p_value``, of an accuracy so large; ``num_examples``.
        """
        found, by_chance = accuracy(arrays["scores"]), arrays["by_chance"]
        low, high = np.quantile(by_chance, [0.025, 0.975])
        yield "classifier/accuracy", found
        yield "classifier/low", float(low)
        yield "classifier/high", float(high)
        as_large = 1 + int((by_chance >= found).sum())
        yield "classifier/p_value", as_large / (1 + len(by_chance))
        yield "num_examples", arrays["scores"].shape[1]

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws how often the classifier gives examples and samples which probability.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
        """
        ax = new_axes(ax)
        bins = np.linspace(0, 1, 21)
        for scores, label in zip(arrays["scores"], ("data", "samples"), strict=True):
            ax.hist(scores, bins, histtype="step", linewidth=1.5, label=label)
        ax.axvline(0.5, color="grey", linestyle=":")
        ax.set(xlabel="probability of being data", ylabel="rows", xlim=(0, 1))
        ax.legend()
        ax.grid(alpha=0.3)
        return ax


def given_of(model: InfoCNF, split: Split) -> np.ndarray:
    """Labels and context that a model is given with each example, ``[n, columns]``."""
    context = split.context
    parts = [split.y] if model.is_supervised else []
    parts += [] if context is None else [context.reshape(len(context), -1)]
    return np.concatenate([np.zeros([len(split), 0]), *parts], 1)


def accuracy(scores: np.ndarray) -> float:
    """Part of the rows that are told right, of scores ``[2, n]``."""
    return float(np.mean([scores[0] > 0.5, scores[1] <= 0.5]))


def chance_accuracies(
    values: np.ndarray,
    samples: np.ndarray,
    given: np.ndarray | None = None,
    *,
    swaps: int = SWAPS,
    classifier: Any = None,
    seed: int = 0,
) -> np.ndarray:
    """Accuracies of the classifier of a right model, ``[swaps]``.

    Each value and its sample change places with probability 1/2, which a right model
    does not notice. The binomial distribution would be too narrow, because the answers
    of a cross-validation depend on one another.

    Args:
        values: as of `two_sample_scores`; so are those that follow.
        samples: see there.
        given: see there.
        swaps: how often.
        classifier: see there.
        seed: also of the swaps.
    """
    rng = np.random.default_rng([seed, 2])
    found = []
    for _ in range(swaps):
        swapped = rng.random([len(values), 1]) < 0.5
        pair = np.where(swapped, samples, values), np.where(swapped, values, samples)
        found.append(
            accuracy(two_sample_scores(*pair, given, classifier=classifier, seed=seed))
        )
    return np.array(found)


def _quadratic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    regression = LogisticRegression(max_iter=1000)
    return make_pipeline(StandardScaler(), PolynomialFeatures(2), regression)


def two_sample_scores(
    values: np.ndarray,
    samples: np.ndarray,
    given: np.ndarray | None = None,
    *,
    classifier: Any = None,
    seed: int = 0,
) -> np.ndarray:
    """Probabilities of being a value, ``[2, n]``: of the values and of the samples.

    They are those of a cross-validation in five folds, in which a value and the sample
    with the same condition are in one fold.

    Args:
        values: ``[n, D]``.
        samples: ``[n, D]``, with the conditions of the values in this order.
        given: conditions ``[n, C]``, or None.
        classifier: of scikit-learn, with ``predict_proba``; if None, logistic
            regression on the columns, their squares and products, which sees means,
            deviations and correlations.
        seed: of the folds.

    Raises:
        ValueError: for fewer than ten values, or another number of samples.
    """
    from sklearn.base import clone
    from sklearn.model_selection import KFold
    from threadpoolctl import threadpool_limits  # brought by scikit-learn

    count = len(values)
    if count < 2 * FOLDS or samples.shape != values.shape:
        raise ValueError(
            f"there must be at least {2 * FOLDS} values and as many samples. "
            f"Received: values.shape={values.shape}, samples.shape={samples.shape}"
        )
    given = np.zeros([count, 0]) if given is None else given
    rows = np.stack([np.concatenate([x, given], 1) for x in (values, samples)])
    truth: np.ndarray = np.repeat([1, 0], count).reshape(2, count)
    scores = np.empty([2, count])
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # threads cost more than such small problems
        for known, asked in folds.split(values):
            fitted = _quadratic() if classifier is None else clone(classifier)
            fitted.fit(np.concatenate(rows[:, known]), truth[:, known].ravel())
            found = fitted.predict_proba(np.concatenate(rows[:, asked]))[:, 1]
            scores[:, asked] = found.reshape(2, -1)
    return scores
