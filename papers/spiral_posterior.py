"""The exact posterior of a spiral given its noisy window: what no model can beat.

It is told what a model has to learn: the equations of `tfcnf.data.spirals`, the
distribution of a and b, the noise, and that windows start at any point of the curve
with the same probability. Given start and direction a spiral is linear in (a, b), and
their prior is Gaussian, so that the posterior is a sum of Gaussians in closed form, one
for each start and direction. Its means have the smallest expected square error of all
estimates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from tfcnf.data.series import SeriesSource, SeriesSplit
from tfcnf.data.spirals import DESIGNS, DEVIATION, MEAN, Design, curve, starts, times
from tfcnf.evaluation.trajectories import distances


class Posterior(NamedTuple):
    """Posterior of n spirals given their windows.

    Attributes:
        labels: means of a and b, probability of clockwise, ``[n, 3]``.
        curves: mean curves at the split's ``truth_times``, ``[n, P, 2]``.
        log_evidence: log p(x), nats, ``[n]``.
    """

    labels: np.ndarray
    curves: np.ndarray
    log_evidence: np.ndarray


def run(source: SeriesSource) -> Iterator[tuple[str, float]]:
    """Yields (name, value) of the test split and, as ``"domain/name"``, of the others.

    The names and units are those of `TrajectoryEvaluator.run`; ``log_evidence`` is the
    mean of log p(x), which the ELBO of a model without labels cannot exceed.
    ``a_deviation`` and ``b_deviation`` are the errors of guessing the mean.
    """
    for domain, split in {"": source.test, **source.domains}.items():
        prefix = f"{domain}/" if domain else ""
        for name, value in _scores(split, DESIGNS[source.name]):
            yield prefix + name, value


def posterior(split: SeriesSplit, design: Design) -> Posterior:
    """The exact posterior with the distribution of a design as the prior.

    Args:
        split: windows of spirals.
        design: as they were drawn; that its parameters may be shifted, or a region
            held out, is not made use of.
    """
    x = split.x.values.astype(np.float64)
    kinds = [_given_direction(x, design, clockwise) for clockwise in (0, 1)]
    log_joint = np.concatenate([k.log_joint for k in kinds], 1)
    log_evidence = logsumexp(log_joint, 1)
    weights = np.split(np.exp(log_joint - log_evidence[:, None]), 2, 1)
    shape = len(x), len(split.truth_times), x.shape[-1]
    labels, curves = np.zeros([len(x), 3]), np.zeros(shape)
    for clockwise, (kind, w) in enumerate(zip(kinds, weights, strict=True)):
        labels[:, :2] += np.einsum("nk,nkp->np", w, kind.mean)
        labels[:, 2] += clockwise * w.sum(1)
        n = design.window
        at = starts(design)[:, None] + np.arange(-n, 2 * n)
        centre, direction, growth = _parts(at, design, clockwise)
        a, b = np.moveaxis(w[..., None] * kind.mean, -1, 0)
        flat = a @ direction.reshape(len(at), -1) + b @ growth.reshape(len(at), -1)
        curves += flat.reshape(shape) + w.sum(1)[:, None, None] * centre
    return Posterior(labels, curves, log_evidence)


class _Given(NamedTuple):
    log_joint: np.ndarray  # log p(x, start, direction), [n, K]
    mean: np.ndarray  # of (a, b) given them, [n, K, 2]


def _given_direction(x: np.ndarray, design: Design, clockwise: int) -> _Given:
    """The linear regression of (a, b) for every start."""
    at = starts(design)[:, None] + np.arange(design.window)
    centre, *parts = _parts(at, design, clockwise)
    x = x - centre
    variance = design.noise**2
    design_matrix = np.stack([p.reshape(len(at), -1) for p in parts], -1)  # [K, 2T, 2]
    gram = np.einsum("ktp,ktq->kpq", design_matrix, design_matrix)
    projected = np.tensordot(x.reshape(len(x), -1), design_matrix, (1, 1))
    prior = np.diag(DEVIATION**-2.0)
    precision = prior + gram / variance
    linear = prior @ MEAN + projected / variance
    mean = np.einsum("kpq,nkq->nkp", np.linalg.inv(precision), linear)
    square = np.square(x).sum((1, 2))[:, None] / variance + MEAN @ prior @ MEAN
    square = square - np.einsum("nkp,nkp->nk", mean, linear)
    log_volume = np.linalg.slogdet(precision @ np.diag(DEVIATION**2))[1]
    values = x[0].size
    log_joint = -0.5 * (square + log_volume + values * math.log(2 * np.pi * variance))
    return _Given(log_joint - math.log(2 * len(at)), mean)


def _parts(
    at: np.ndarray, design: Design, clockwise: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, and the curve's parts in proportion to a and to b, at indices."""
    turn = np.array(float(clockwise))
    t = times(design)[np.minimum(at, design.length - 1)]
    zero, one = np.zeros_like(t), np.ones_like(t)
    centre = curve(zero, zero, turn, t)
    return (
        centre.reshape(-1, 2)[0],
        curve(one, zero, turn, t) - centre,
        curve(zero, one, turn, t) - centre,
    )


def _scores(split: SeriesSplit, design: Design) -> Iterator[tuple[str, float]]:
    found = posterior(split, design)
    yield from distances(np.square(found.curves - split.truth).sum(-1), split)
    yield "log_evidence", float(found.log_evidence.mean())
    for i, name in enumerate(("a", "b")):
        error = found.labels[:, i] - split.y[:, i]
        yield f"{name}_rmse", float(np.sqrt(np.mean(np.square(error))))
        error = MEAN[i] - split.y[:, i]
        yield f"{name}_deviation", float(np.sqrt(np.mean(np.square(error))))
    wrong = (found.labels[:, 2] > 0.5) != (split.y[:, 2] > 0.5)
    yield "clockwise_error", 100.0 * float(wrong.mean())
