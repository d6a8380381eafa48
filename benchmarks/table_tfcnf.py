"""tfcnf's CNF given a context as a contender of the tables suite."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfcnf
from benchmarks.table_data import Rows
from tfcnf.data.moments import moments
from tfcnf.runs.config import table_config

TOL = 1e-5  # of densities and codes; training has the configuration's


class TfcnfContender:
    """The flow of ``configs/table.py``, but for the width of its network.

    The width is the largest with no more weights than zuko's CNF has of hidden layers
    of 64 and three frequencies of time.

    Args:
        train: standardised training rows ``[n, D]`` and ``[n, C]``, from which the
            linear step is.
        seed: of the initial weights.
        **options: other keywords of the flow than the configuration's.
    """

    def __init__(self, train: Rows, seed: int, **options: Any):
        dims, conditions = train.x.shape[1], train.c.shape[1]
        keywords = table_config("")["model"] | {"whitening": whitening(train)} | options
        del keywords["dropout"]  # of a predictor of labels
        layers = keywords["hidden_layers"]
        keywords["filters"] = width(dims, conditions, layers)
        self.model = tfcnf.CNF((dims,), context=conditions, seed=seed, **keywords)
        self.num_parameters = self.model.count_params()
        self.optimizer = keras.optimizers.Adam(1e-3)
        self.model.compile(self.optimizer)
        self.optimizer.build(self.model.trainable_variables)
        self.initial = self.state(), [v.numpy() for v in self.optimizer.variables]
        self._step = tf.function(self.model.train_step, autograph=False)

    def reset(self, rate: float) -> None:
        """Back to the initial weights, with a new Adam."""
        weights, optimizer = self.initial
        self.restore(weights)
        for variable, value in zip(self.optimizer.variables, optimizer, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate = rate

    def step(self, x: np.ndarray, c: np.ndarray) -> None:
        """One step of Adam."""
        self._step(({"x": tf.constant(x), "context": tf.constant(c)},))

    def log_prob(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log p(x | c) in nats."""
        return self.model.log_prob(x, context=c, tol=TOL).numpy()

    def codes(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Codes of the rows."""
        return self.model.encode(x, context=c, tol=TOL).numpy()

    def state(self) -> Any:
        """A copy of the weights."""
        return self.model.get_weights()

    def restore(self, state: Any) -> None:
        """Sets the weights."""
        self.model.set_weights(state)


def whitening(train: Rows) -> dict[str, Any] | None:
    """The linear step that tables get by default."""
    columns, conditions = (
        [tfcnf.Column(f"{name}{i}") for i in range(part.shape[1])]
        for name, part in zip("xc", train, strict=True)
    )
    return moments(columns, train.x, conditions, train.c)


def width(dims: int, conditions: int, layers: int) -> int:
    """Units of a hidden layer with which the network is no larger than zuko's."""
    theirs = (dims + conditions + 7) * 64 + 65 * 64 + 65 * dims

    def ours(units: int) -> int:
        widths = [dims, *[units] * layers, dims]
        pairs = itertools.pairwise(widths)
        return sum((a + 2 + 2 * conditions) * b for a, b in pairs)

    return max(units for units in range(1, 257) if ours(units) <= theirs)
