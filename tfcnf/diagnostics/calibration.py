"""Do class probabilities mean what they say? Calibration of both posteriors.

Of the examples that a calibrated classifier gives a probability of 0.8, it has 80 %
right (Guo et al. 2017, arXiv:1706.04599).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.examples import ExampleMeasures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF

BINS = 10
EDGES = np.linspace(0, 1, BINS + 1)[1:-1]
SIMULATIONS = 100


class Calibration(Diagnostic):
    """Calibration of the posteriors of a flow with classes.

    Example:
        ```python
        from tfcnf.diagnostics import Calibration

        calibration = Calibration()
        arrays = calibration.compute(model, data)
        measures = dict(calibration.measures(arrays))
        measures["discriminative/ece"]  # 0 is calibrated
        calibration.plot(arrays)
        ```
    """

    title = "Calibration"
    caption = (
        "Of the examples that get a probability of 0.8, are 80 % right? ECE is the "
        "mean distance from that; “if calibrated” is what it would be by chance alone."
    )
    columns = {
        "error": "error (%)",
        "nll": "NLL of the labels (nats)",
        "confidence": "mean confidence",
        "ece": "ECE",
        "ece_if_calibrated": "ECE if calibrated",
    }
    subject = "examples with classes"

    def takes(self, data: Any) -> bool:
        """True where the data are examples with classes."""
        from tfcnf.data.source import DataSource

        return isinstance(data, DataSource) and bool(data.num_classes)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """The posteriors of the test split, for the first label of classes.

        Args:
            model: a model with a supervised code.
            data: its data.
            tol: solver tolerance.

        Returns:
            ``"discriminative"`` and ``"generative"``: log-probabilities ``[n, K]``
            (nats), and ``"labels"`` ``[n]``.

        Raises:
            ValueError: for a model without a supervised code.
        """
        import tensorflow as tf

        from tfcnf.labels.categorical import Categorical
        from tfcnf.labels.kinds import parts_of
        from tfcnf.models.inference import POSTERIORS

        self.check(data)
        if not model.is_supervised:
            raise ValueError(
                "a model without supervised code has no posterior to calibrate. "
                f"Received: supervised_fraction={model.supervised_fraction}"
            )
        values = ExampleMeasures(model, tol, posteriors=True)(data.test)
        arrays = {name: tf.nn.log_softmax(values[name]).numpy() for name in POSTERIORS}
        pairs = zip(data.labels, parts_of(data.labels, data.test.y), strict=True)
        first = next(y for label, y in pairs if isinstance(label, Categorical))
        return arrays | {"labels": first[:, 0].astype(int)}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Measures of both posteriors.

        Yields:
            For each posterior ``POSTERIOR/error`` (percent), ``/nll``: the mean -log
            probability of the true class (nats), ``/confidence``: the mean probability
            of the predicted class, ``/ece``: the expected calibration error, the mean
            distance of confidence and accuracy in ten bins of equal width, and
            ``/ece_if_calibrated``: what that would be on average if the labels were
            drawn from the posterior, which is not zero for a finite number of examples.
        """
        labels = arrays["labels"]
        rng = np.random.default_rng(0)
        for name in _posteriors(arrays):
            logs = arrays[name]
            yield f"{name}/error", 100 * float(np.mean(logs.argmax(1) != labels))
            right = np.take_along_axis(logs, labels[:, None], 1)
            yield f"{name}/nll", -float(np.mean(right, dtype=np.float64))
            yield f"{name}/confidence", float(np.mean(np.exp(logs.max(1))))
            yield f"{name}/ece", calibration_error(logs, labels)
            drawn = [
                calibration_error(
                    logs, np.argmax(logs + rng.gumbel(size=logs.shape), 1)
                )
                for _ in range(SIMULATIONS)
            ]
            yield f"{name}/ece_if_calibrated", float(np.mean(drawn))
        yield "num_examples", len(labels)

    def plot(
        self,
        arrays: Arrays,
        ax: Axes | None = None,
        posterior: str = "discriminative",
    ) -> Axes:
        """Draws the accuracy against the confidence of a posterior.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
            posterior: ``"discriminative"`` or ``"generative"``.

        Raises:
            ValueError: for an unknown posterior.
        """
        from sklearn.calibration import calibration_curve

        check_choice("posterior", posterior, _posteriors(arrays))
        ax, labels, log_probs = new_axes(ax), arrays["labels"], arrays[posterior]
        confidence, counts = _confidence(log_probs)
        right = log_probs.argmax(1) == labels
        accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
        low, high = _interval(accuracy, counts[counts > 0])
        ax.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
        ax.vlines(mean, low, high, color="C0", alpha=0.4, label="95 % interval")
        ax.plot(mean, accuracy, "o", color="C0", label="model")
        error = calibration_error(log_probs, labels)
        ax.text(0.95, 0.06, f"ECE {error:.3f}", ha="right", transform=ax.transAxes)
        ax.set(xlim=(0, 1.02), ylim=(0, 1.05), title=f"{posterior} posterior")
        ax.grid(alpha=0.3)
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"calibration"``: both posteriors, and how many examples have which."""
        return {self.key: partial(self._panels, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        figure = new_figure(8.4, 5)
        panels = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
        for (upper, lower), name in zip(panels.T, _posteriors(arrays), strict=True):
            self.plot(arrays, upper, name)
            _, counts = _confidence(arrays[name])
            left = np.arange(BINS) / BINS
            bars = lower.bar(left, counts, width=1 / BINS, align="edge", edgecolor="w")
            lower.bar_label(bars, fontsize="x-small")
            lower.set(yscale="symlog", ylim=(0, 6 * counts.max()), yticks=[])
            lower.set(xlabel="probability of the predicted class")
        panels[0, 0].set(ylabel="accuracy")
        panels[0, 0].legend(loc="upper left")
        panels[1, 0].set(ylabel="examples")
        return figure


def calibration_error(log_probs: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of ``[n, K]`` log-probabilities, in ten bins."""
    confidence, _ = _confidence(log_probs)
    gaps = (log_probs.argmax(1) == labels) - confidence
    sums = np.bincount(np.searchsorted(EDGES, confidence), gaps)
    return float(np.abs(sums).sum() / len(labels))


def _posteriors(arrays: Arrays) -> list[str]:
    return [name for name in arrays if name != "labels"]


def _confidence(log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the predicted class ``[n]``, and examples in each bin."""
    confidence = np.minimum(np.exp(log_probs.max(1)), 1.0)
    return confidence, np.bincount(np.searchsorted(EDGES, confidence), minlength=BINS)


def _interval(part: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the true part with 95 % probability, by Jeffreys' prior."""
    from scipy.stats import beta

    ends = beta.ppf([[0.025], [0.975]], part * count + 0.5, (1 - part) * count + 0.5)
    return ends[0], ends[1]
