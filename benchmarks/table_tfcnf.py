"""tfcnf's CNF given a context as a contender of the tables suite."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfcnf

WIDTH, LAYERS, TOL = 64, 2, 1e-3


class TfcnfContender:
    """A conditional CNF with the exact trace.

    Args:
        dims: D.
        conditions: C.
        seed: of the initial weights.
        rate: learning rate of Adam.
    """

    def __init__(self, dims: int, conditions: int, seed: int, rate: float):
        self.model = tfcnf.CNF(
            (dims,),
            context=conditions,
            flows_per_block=1,
            filters=WIDTH,
            hidden_layers=LAYERS,
            tol=TOL,
            trace="exact",
            gradient="store",
            seed=seed,
        )
        self.model.compile(keras.optimizers.Adam(rate))
        self.num_parameters = self.model.count_params()
        self._step = tf.function(self.model.train_step, autograph=False)

    def step(self, x: np.ndarray, c: np.ndarray) -> None:
        """One step of Adam."""
        self._step(({"x": tf.constant(x), "context": tf.constant(c)},))

    def log_prob(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log p(x | c) in nats."""
        return self.model.log_prob(x, context=c).numpy()

    def state(self) -> Any:
        """A copy of the weights."""
        return self.model.get_weights()

    def restore(self, state: Any) -> None:
        """Sets the weights."""
        self.model.set_weights(state)
