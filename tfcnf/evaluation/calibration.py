"""Do class probabilities mean what they say? Calibration of both posteriors.

Of the examples that a calibrated classifier gives a probability of 0.8, it has 80 %
right (Guo et al. 2017, arXiv:1706.04599).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf import losses
from tfcnf.data.source import DataSource
from tfcnf.evaluation.examples import ExampleMeasures
from tfcnf.models.inference import POSTERIORS
from tfcnf.models.infocnf import InfoCNF

BINS = 10
SIMULATIONS = 100


def calibration_arrays(
    model: InfoCNF, source: DataSource, tol: float
) -> dict[str, np.ndarray]:
    """The posteriors of the test split, for the first label factor.

    Args:
        model: a model with a supervised code.
        source: its data.
        tol: solver tolerance.

    Returns:
        ``"discriminative"`` and ``"generative"``: log-probabilities ``[n, K]`` (nats),
        and ``"labels"`` ``[n]``.

    Raises:
        ValueError: for a model without a supervised code.
    """
    if not model.is_supervised:
        raise ValueError(
            "a model without supervised code has no posterior to calibrate. "
            f"Received: supervised_fraction={model.supervised_fraction}"
        )
    values = ExampleMeasures(model, tol)(source.test)
    arrays = {name: tf.nn.log_softmax(values[name]).numpy() for name in POSTERIORS}
    return arrays | {"labels": source.test.y[:, 0]}


def calibration_measures(
    arrays: Mapping[str, np.ndarray],
) -> Iterator[tuple[str, float]]:
    """Measures of both posteriors from `calibration_arrays`.

    Yields:
        For each posterior ``POSTERIOR/error`` (percent), ``/nll``: the mean -log
        probability of the true class (nats), ``/confidence``: the mean probability of
        the predicted class, ``/ece``: the expected calibration error, the mean distance
        of confidence and accuracy in ten bins of equal width, and
        ``/ece_if_calibrated``: what that would be on average if the labels were drawn
        from the posterior, which is not zero for a finite number of examples.
    """
    labels = arrays["labels"]
    rng = np.random.default_rng(0)
    for name in POSTERIORS:
        logs = arrays[name]
        yield f"{name}/error", float(np.mean(losses.error([logs], labels[:, None])))
        entropies = losses.cross_entropy([logs], labels[:, None])
        yield f"{name}/nll", float(np.mean(entropies))
        yield f"{name}/confidence", float(np.mean(np.exp(logs.max(1))))
        yield f"{name}/ece", calibration_error(logs, labels)
        drawn = [
            calibration_error(logs, np.argmax(logs + rng.gumbel(size=logs.shape), 1))
            for _ in range(SIMULATIONS)
        ]
        yield f"{name}/ece_if_calibrated", float(np.mean(drawn))
    yield "num_examples", len(labels)


def calibration_error(log_probs: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of ``[n, K]`` log-probabilities, in ten bins."""
    logits: Any = log_probs.astype(np.float32)  # the only type that it takes
    return float(
        tfp.stats.expected_calibration_error(BINS, logits, labels.astype(np.int32))
    )
