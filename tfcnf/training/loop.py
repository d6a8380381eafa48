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
from tfcnf.training.accumulation import check_parts, make_step
from tfcnf.training.divergence import FAILURES, Recovery

NAMED = {error.__name__: error for error in (*FAILURES, ValueError)}


def run_epochs(
    model: FlowModel,
    source: DataSource | SeriesSource,
    strategy: tf.distribute.Strategy,
    batch_size: int,
    epochs: int,
    initial_epoch: int = 0,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    accumulation_steps: int = 1,
    recovery: Recovery | None = None,
) -> None:
    """Trains a compiled model with ``strategy.run``.

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
        accumulation_steps: parts that a batch is computed in, one after the other, see
            `tfcnf.training.accumulation`.
        recovery: what to do about failed steps; the training stops if None.

    Raises:
        ValueError: for a batch that replicas and parts do not divide.
        SolverError: where an ODE solve fails, with the layer and advice.
        DivergenceError: where the loss or its gradient is not finite.
    """
    replicas = strategy.num_replicas_in_sync
    check_parts(batch_size, replicas, accumulation_steps)
    steps = steps_per_epoch(source.train, batch_size)

    train_step = make_step(model, strategy, accumulation_steps)
    recovery = recovery or Recovery()
    calls = keras.callbacks.CallbackList(
        list(callbacks),
        model=model,
        epochs=epochs,
        steps=steps,
        initial_epoch=initial_epoch,
    )
    calls.on_train_begin()
    recovery.begin(model)
    model.stop_training = False
    epoch = initial_epoch
    while epoch < epochs and not model.stop_training:
        model.reset_metrics()
        model.set_epoch(epoch)
        calls.on_epoch_begin(epoch)
        started = time.perf_counter()
        dataset = training_batches(source, batch_size, seed, epoch)
        if replicas > 1:
            dataset = strategy.experimental_distribute_dataset(dataset)
        for step, batch in enumerate(dataset):
            calls.on_train_batch_begin(step)
            recovery.remember(epoch, step)
            try:
                _run(train_step, batch)
            except FAILURES as failure:
                if not recovery.handle(failure, epoch, step, batch):
                    train_step = make_step(model, strategy, accumulation_steps)
                    break
            calls.on_train_batch_end(step)
        else:
            logs = {m.name: float(m.result()) for m in model.metrics}
            rate = tf.convert_to_tensor(model.optimizer.learning_rate)
            logs["learning_rate"] = float(rate)
            logs["seconds"] = time.perf_counter() - started
            calls.on_epoch_end(epoch, logs)
            epoch += 1
    calls.on_train_end()


def _run(step: Any, batch: Any) -> None:
    """One step; a failed assertion of the graph becomes the error it names."""
    try:
        step(batch)
    except tf.errors.InvalidArgumentError as failure:
        found = re.search(rf"\[({'|'.join(NAMED)}): (.*)\]", str(failure))
        if not found:
            raise
        raise NAMED[found[1]](found[2].replace("] [", " ")) from None
