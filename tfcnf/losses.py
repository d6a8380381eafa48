"""Losses and the measures they are made of; every function is per example."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from tfcnf.data.source import HIDDEN
from tfcnf.types import Tensor


def bits_per_dim(log_prob: Tensor, dims: int, num_levels: int = 1) -> Tensor:
    """Negative log-likelihood in bits a dimension.

    Args:
        log_prob: log-density of u in [0, 1]^D, ``[B]`` nats.
        dims: D.
        num_levels: grey levels that [0, 1] was divided into; 1 for data that was
            never quantized, where the figure is that of a density.

    Returns:
        ``(-log_prob / D + ln num_levels) / ln 2``, ``[B]``.
    """
    return (math.log(num_levels) - log_prob / dims) / math.log(2.0)


def cross_entropy(logits: Sequence[Tensor], y: Tensor) -> Tensor:
    """Mean over label factors of -log softmax(logits)[y], ``[B]`` nats.

    Args:
        logits: one ``[B, K_i]`` a factor.
        y: integer labels ``[B, L]``; where one is hidden, its term is zero.
    """
    labels = tf.maximum(y, 0)
    terms = [
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels[:, i], scores)
        * tf.cast(tf.not_equal(y[:, i], HIDDEN), scores.dtype)
        for i, scores in enumerate(logits)
    ]
    return tf.add_n(terms) / len(terms)


def error(scores: Sequence[Tensor], y: Tensor) -> Tensor:
    """100 where the first factor's highest score is not its label, else 0, ``[B]``.

    Args:
        scores: one ``[B, K_i]`` a factor.
        y: integer labels ``[B, L]``.
    """
    best = tf.argmax(scores[0], -1, output_type=y.dtype)
    wrong = tf.not_equal(best, y[:, 0])
    return 100.0 * tf.cast(wrong, scores[0].dtype)
