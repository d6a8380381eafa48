"""The one training loop, for every distribution strategy."""

from __future__ import annotations

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


def run_epochs(
    model: FlowModel,
    source: DataSource | SeriesSource,
    strategy: tf.distribute.Strategy,
    batch_size: int,
    epochs: int,
    initial_epoch: int = 0,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a compiled model with ``strategy.run(model.train_step, ...)``.

    Args:
        model: built and compiled under the strategy's scope.
        source: training data.
        strategy: from `get_strategy`.
        batch_size: examples of a step over all replicas.
        epochs: epochs in all.
        initial_epoch: epochs already done.
        seed: with the epoch, determines the order of the data.
        callbacks: Keras callbacks. The logs of an epoch are its means, the
            learning rate and the seconds that its steps took.

    Raises:
        ValueError: for a batch that the replicas do not divide.
        SolverError: where an ODE solve fails, with the layer and advice.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"batch_size must be divisible by the {replicas} replicas. "
            f"Received: batch_size={batch_size}"
        )
    steps = steps_per_epoch(source.train, batch_size)

    @tf.function(autograph=False)
    def train_step(batch: Any) -> None:
        strategy.run(model.train_step, args=(batch,))

    calls = keras.callbacks.CallbackList(
        list(callbacks),
        model=model,
        epochs=epochs,
        steps=steps,
        initial_epoch=initial_epoch,
    )
    calls.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        model.set_epoch(epoch)
        calls.on_epoch_begin(epoch)
        started = time.perf_counter()
        dataset = training_batches(source, batch_size, seed, epoch)
        if replicas > 1:
            dataset = strategy.experimental_distribute_dataset(dataset)
        for step, batch in enumerate(dataset):
            calls.on_train_batch_begin(step)
            _run(train_step, batch)
            calls.on_train_batch_end(step)
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
