"""Evaluation of how a latent ODE fits and continues curves (InfoCNF section 4.6).

The papers show pictures only, so the scores are defined here. Curves are predicted from
the mean of q(z(0) | x), refined if the model says so, and compared with the noise-free
curve, in the units of the plane: the root mean square, over all points and curves, of
the Euclidean distance.

* ``rmse_window``: where the curve was observed.
* ``rmse_forward``: after the last observation, each curve's own.
* ``rmse_backward``: before the first.

``median_rmse_...`` is the median over curves of each curve's own figure, which a few
curves that run away do not move.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfcnf.data.pipeline import evaluation_batches
from tfcnf.data.series import Series, SeriesSource, SeriesSplit
from tfcnf.evaluation.base import SplitEvaluator
from tfcnf.models.latent_ode import LatentODE
from tfcnf.types import Control, Tensor

PARTS = ("elbo", "log_likelihood", "kl")


class TrajectoryEvaluator(SplitEvaluator):
    """Measures of a latent ODE.

    Args:
        model: a latent ODE.
        source: see `SplitEvaluator`, as what follows.
        batch_size: series solved at a time.
        split: see `SplitEvaluator`.
    """

    def __init__(
        self,
        model: LatentODE,
        source: SeriesSource,
        batch_size: int = 500,
        split: str = "test",
    ):
        super().__init__(model, source, batch_size, split)
        self._measure = tf.function(self._measures, autograph=False)

    def scores(
        self, tol: float, draws: int, backward: bool
    ) -> Iterator[tuple[str, float]]:
        """Measures of the split; with ``backward`` the test split's other domains too.

        Yields:
            ``rmse_...`` and ``median_rmse_...`` of the window and of both
            extrapolations (units of the plane), where the curves are known; ``elbo``,
            ``log_likelihood`` and ``kl`` (nats a series); for each label its measures
            behind its name, as
            ``a_rmse`` (its own units) and ``clockwise_error`` (percent);
            ``nfe_forward``; of other domains the same as ``domain/name``.
        """
        yield from self._split_scores(self.split, tol, draws)
        if backward and self.split_name == "test":
            for domain, split in self.source.domains.items():
                for name, value in self._split_scores(split, tol, draws):
                    yield f"{domain}/{name}", value

    def _split_scores(
        self, split: SeriesSplit, tol: float, draws: int
    ) -> Iterator[tuple[str, float]]:
        sums: dict[str, list[np.ndarray]] = defaultdict(list)
        curves, labels, nfe = [], [], []
        at = tf.constant(tol, self.model.compute_dtype)
        for i, (x, y) in enumerate(evaluation_batches(split, self.batch_size)):
            for draw in range(draws):
                terms, cost = self._measure(x, y, at, tf.constant([draw, i]))
                for name, value in terms.items():
                    sums[name].append(value.numpy())
                nfe.append(float(cost))
            curve, label = predict(self.model, x, split.truth_times, tol)
            curves.append(curve)
            labels.append(label)
        if split.truth.size:
            squares = np.square(np.concatenate(curves) - split.truth).sum(-1)
            yield from distances(squares, split)
        for name, values in sums.items():
            yield name, float(np.mean(np.concatenate(values), dtype=np.float64))
        if self.model.is_supervised:
            yield from self._label_errors(np.concatenate(labels), split.y)
        yield "nfe_forward", float(np.mean(nfe))

    def _label_errors(
        self, predicted: np.ndarray, y: np.ndarray
    ) -> Iterator[tuple[str, float]]:
        ends = np.cumsum([label.columns for label in self.model.labels])[:-1]
        parts = zip(np.split(predicted, ends, 1), np.split(y, ends, 1), strict=True)
        for label, (estimate, truth) in zip(self.model.labels, parts, strict=True):
            for name, values in label.measures(estimate, truth).items():
                mean = float(np.mean(values))
                value = math.sqrt(mean) if name in label.roots else mean
                yield f"{label.title}_{name}", value

    def _measures(
        self, x: Series, y: Tensor, tol: Tensor, seed: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        terms, out = self.model.terms(x, y, Control(tol=tol, seed=seed), False)
        return {name: terms[name] for name in PARTS}, out.nfe[0]


def predict(
    model: LatentODE, x: Series, times: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Curves ``[B, T, C]`` and labels ``[B, L]`` from the codes, see `LatentODE.codes`.

    Curves at no times, and labels of a model that has none, are an empty array.
    """
    z = model.codes(x, tol=tol)
    curves = model.decode(z, times.tolist(), tol).numpy() if len(times) else times
    labels = model.predict_labels(z).numpy() if model.is_supervised else np.zeros(0)
    return curves, labels


def distances(squares: np.ndarray, split: SeriesSplit) -> Iterator[tuple[str, float]]:
    """Root mean squares over the parts of the curves that exist.

    Args:
        squares: squared distances at the split's ``truth_times``, ``[n, P]``.
        split: the curves.

    Yields:
        ``rmse_...`` and ``median_rmse_...``, see the module.
    """
    times, last = split.truth_times[None], split.x.times.max(1)[:, None]
    parts = {
        "window": (times >= 0) & (times <= last),
        "forward": times > last,
        "backward": times < 0,
    }
    for name, part in parts.items():
        weights = split.truth_mask * part
        total, counts = (squares * weights).sum(1), weights.sum(1)
        yield f"rmse_{name}", float(np.sqrt(total.sum() / counts.sum()))
        some = counts > 0
        each = np.sqrt(total[some] / counts[some])
        yield f"median_rmse_{name}", float(np.median(each))
