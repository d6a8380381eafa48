"""The one training loop, for every distribution strategy."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.data.pipeline import steps_per_epoch, training_batches
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource
from tfcnf.models.base import FlowModel
from tfcnf.ode.solver import SolverError
from tfcnf.training.checkpoints import START, Position
from tfcnf.training.preemption import Preempted, Preemption
from tfcnf.training.strategy import distribute, make_vote, share_of


def run_epochs(
    model: FlowModel,
    source: DataSource | SeriesSource,
    strategy: tf.distribute.Strategy,
    batch_size: int,
    epochs: int,
    start: Position = START,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    preemption: Preemption | None = None,
) -> None:
    """Trains a compiled model with ``strategy.run(model.train_step, ...)``.

    Args:
        model: built and compiled under the strategy's scope.
        source: training data.
        strategy: from `get_strategy`.
        batch_size: examples of a step over all replicas.
        epochs: epochs in all.
        start: what was done before.
        seed: with the epoch, determines the order of the data.
        callbacks: Keras callbacks. The logs of an epoch are its means, the
            learning rate and the seconds that its steps took since the start.
        preemption: tells when to stop.

    Raises:
        ValueError: for a batch that the replicas do not divide.
        SolverError: where an ODE solve fails, with the layer and advice.
        Preempted: after a step of all workers, where one of them was told to stop;
            ``model.stop_training`` tells the callbacks of that step.
        WorkerLost: where another worker is gone.
    """
    share = share_of(strategy, batch_size)
    steps = steps_per_epoch(source.train, batch_size)
    preemption = preemption or Preemption()
    any_worker = make_vote(strategy)

    @tf.function(autograph=False)
    def train_step(batch: Any) -> None:
        strategy.run(model.train_step, args=(batch,))

    calls = keras.callbacks.CallbackList(
        list(callbacks),
        model=model,
        epochs=epochs,
        steps=steps,
        initial_epoch=start.epoch,
        initial_step=start.step,
    )
    calls.on_train_begin()
    for epoch in range(start.epoch, epochs):
        first_step = start.step if epoch == start.epoch else 0
        if not first_step:
            model.reset_metrics()
        model.set_epoch(epoch)
        calls.on_epoch_begin(epoch)
        started = time.perf_counter()
        batches = functools.partial(
            training_batches, source, batch_size, seed, epoch, first_step, share
        )
        with preemption.deferred():
            iterator = iter(distribute(strategy, batches))
            for step in range(first_step, steps):
                calls.on_train_batch_begin(step)
                _run(train_step, next(iterator))
                stopped = any_worker(preemption.received)
                model.stop_training |= stopped
                calls.on_train_batch_end(step)
                if stopped:
                    raise Preempted
        logs = {m.name: float(m.result()) for m in model.metrics}
        rate = tf.convert_to_tensor(model.optimizer.learning_rate)
        logs["learning_rate"] = float(rate)
        logs["seconds"] = time.perf_counter() - started
        calls.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    calls.on_train_end()


def _run(step: Any, batch: Any) -> None:
    """One step; a failed assertion of the graph becomes the error it names."""
    try:
        step(batch)
    except tf.errors.InvalidArgumentError as failure:
        found = re.search(r"\[(SolverError|ValueError): (.*)\]", str(failure))
        if not found:
            raise
        error = SolverError if found[1] == "SolverError" else ValueError
        raise error(found[2].replace("] [", " ")) from None
