"""The honesty of a flow in training: does its likelihood depend on its tolerance?"""

from __future__ import annotations

import logging
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.data.source import Split
from tfcnf.models.failures import tell_once
from tfcnf.precision import tighter
from tfcnf.training.callbacks import iterations
from tfcnf.types import Control, Tensor

TOLD = 1e-2  # bits/dim from which on a training is warned of
TRIES = 3  # tighter tolerances, until one takes more evaluations


class Honesty(keras.callbacks.Callback):
    """Measures |bits(tol) - bits(tol / 100)| on a batch, after every few steps.

    It is the change of bits/dim at a tolerance 100 times tighter, or tighter yet where
    that takes no more evaluations, with the same noise; 0 for the exact solution of an
    ODE. The metric ``honesty`` has the newest value, which policies hear
    (`tfcnf.tolerances.adapted`). It draws nothing, so a training is the same with it,
    unless a policy adapts. It costs two forward passes, of which the second is tight.
    A warning says once that it is more than 0.01: a network can learn to gain by such
    errors of its solver, most of all by the exact gradients of loose steps.

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=8, policy="adapted")
    model.compile("adam")
    callbacks = [Honesty(split, batch_size=100, every=50)]
    model.fit(split.inputs, split.y, callbacks=callbacks)
    ```

    Args:
        split: the training examples, of which each measure takes others.
        batch_size: examples of a measure.
        every: steps between measures, the first after the first step.
        seed: with the step, determines the examples.
    """

    def __init__(self, split: Split, batch_size: int, every: int = 50, seed: int = 0):
        super().__init__()
        self.split, self.batch_size = split, min(batch_size, len(split))
        self.every, self.seed = every, seed
        self.warned, self.seen = False, 0
        self.tell = tell_once("honesty could not be measured, it is NaN")

    def set_model(self, model: Any) -> None:
        """Adds the metric to the model."""
        super().set_model(model)
        model.track_honesty()
        self._own = tf.function(self._bits, autograph=False)

    def on_train_begin(self, logs: Any = None) -> None:
        """Remembers the steps that were made before."""
        self.seen = iterations(self.model)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Measures where it is due, of several steps at a time after the last."""
        step = iterations(self.model)
        before = min(self.seen, step - 1)  # a failed step may have taken some back
        self.seen = step
        if before == 0 or step // self.every > before // self.every:
            found = self.tell(lambda: self.measure(step), math.nan)
            self.model.hear_honesty(found)
            if found > TOLD and not self.warned:
                self.warned = True
                logging.warning(
                    "step %d: the likelihood is %.2g bits/dim from that of a tighter "
                    "solution, and a network gains by the errors of its solver where "
                    "it can (said once). A smaller tolerance ends that, or "
                    "policy='adapted'",
                    *(step, found),
                )

    def measure(self, step: int) -> float:
        """The change on the batch of a step, bits/dim."""
        rng = np.random.default_rng([self.seed, step])
        rows = np.sort(rng.choice(len(self.split), self.batch_size, replace=False))
        part = self.split.take(rows)
        inputs, y = tf.nest.map_structure(tf.constant, (part.inputs, part.y))
        bits, tol, nfe = self._own(inputs, y, None)
        for _ in range(TRIES):
            tol = tighter(np.asarray(tol), self.model.compute_dtype)
            tight, _, more = self._own(inputs, y, tol)
            if more > nfe:
                break
        return abs(float(bits - tight))

    def _bits(self, x: Any, y: Tensor, tol: Tensor | None) -> tuple[Tensor, ...]:
        """Mean bits/dim, the tolerances ``[N]`` and the evaluations of all solves."""
        control = Control(tol=tol, seed=tf.constant([0, 0]))
        terms, out = self.model.terms(x, y, control, False)
        bits = tf.reduce_mean(terms["bits_per_dim"])
        return bits, out.tolerance, tf.reduce_sum(out.nfe)
