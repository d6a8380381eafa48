"""Codes of series, improved by gradient ascent on their posterior density."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfcnf.latent.prior import CodePrior
from tfcnf.types import Tensor

RATE = 0.1  # of a posterior's own deviation
DECAYS = 0.9, 0.999


def log_prior(prior: CodePrior, z: Tensor) -> Tensor:
    """log p(z) ``[B]``, nats; flat in codes of labels that cannot be marginalised."""
    codes, rest = prior.partition.split(z)
    total = prior.unsupervised().log_prob(rest)
    for label, code in zip(prior.labels, codes, strict=True):
        if label.can_hide:
            total += label.marginal().log_prob(code)
    return total


def ascend(
    log_density: Callable[[Tensor], Tensor], mean: Tensor, scale: Tensor, steps: Tensor
) -> Tensor:
    """The best codes ``[B, D]`` on the way from a mean, by Adam (Kingma & Ba 2015).

    No series ends with a lower density than that of its mean.

    Args:
        log_density: of codes ``[B, D]``, ``[B]``; each depends on its own code alone.
        mean: where the ascent begins, ``[B, D]``.
        scale: unit of a step in each dimension, ``[B, D]``.
        steps: how many.
    """

    def step(i: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        at, first, second, best, highest = state
        with tf.GradientTape() as tape:
            tape.watch(at)
            value = log_density(mean + scale * at)
        slope = tape.gradient(value, at)
        better = value > highest
        best = tf.where(better[:, None], at, best)
        highest = tf.where(better, value, highest)
        first = DECAYS[0] * first + (1 - DECAYS[0]) * slope
        second = DECAYS[1] * second + (1 - DECAYS[1]) * tf.square(slope)
        count = tf.cast(i + 1, at.dtype)
        mended = [
            moment / (1 - decay**count)
            for moment, decay in zip((first, second), DECAYS, strict=True)
        ]
        at += RATE * mended[0] / (tf.sqrt(mended[1]) + 1e-8)
        return i + 1, (at, first, second, best, highest)

    zero = tf.zeros_like(mean)
    lowest = tf.fill(tf.shape(mean)[:1], mean.dtype.min)
    # one more: the last step's end is looked at too
    _, (_, _, _, best, _) = tf.while_loop(
        lambda i, _: i < steps + 1, step, [0, (zero, zero, zero, zero, lowest)]
    )
    return mean + scale * best
