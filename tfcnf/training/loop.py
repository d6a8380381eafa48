"""Training loop for every distribution strategy."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.data.pipeline import make_gather, steps_per_epoch, training_order
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource
from tfcnf.models.base import FlowModel
from tfcnf.models.failures import FAILURES, named_failures
from tfcnf.training.accumulation import check_parts, make_step
from tfcnf.training.agreement import make_vote
from tfcnf.training.checkpoints import START, Position
from tfcnf.training.preemption import Preempted, Preemption
from tfcnf.training.recovery import Recovery
from tfcnf.training.strategy import distribute, share_of


def run_epochs(
    model: FlowModel,
    source: DataSource | SeriesSource,
    strategy: tf.distribute.Strategy,
    batch_size: int,
    epochs: int,
    *,
    start: Position = START,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    accumulation_steps: int = 1,
    recovery: Recovery | None = None,
    preemption: Preemption | None = None,
) -> None:
    """Trains a compiled model with ``strategy.run``.

    Args:
        model: built and compiled under the strategy's scope.
        source: training data.
        strategy: from `get_strategy`.
        batch_size: examples of a step over all replicas.
        epochs: epochs in all.
        start: what was done before.
        seed: with the epoch, determines the order of the data.
        callbacks: Keras callbacks. The logs of an epoch are its means, the
            learning rate and the seconds that its steps took since the start. Where
            those of one worker set ``model.stop_training``, all stop after the epoch.
        accumulation_steps: parts that a batch is computed in, one after the other, see
            `tfcnf.training.accumulation`.
        recovery: what to do about failed steps; the training stops if None.
        preemption: tells when to stop.

    Raises:
        ValueError: for a batch that replicas and parts do not divide.
        SolverError: where an ODE solve fails, with the layer and advice.
        DivergenceError: where the loss or its gradient is not finite.
        Preempted: after a step of all workers, where one of them was told to stop;
            ``model.stop_training`` tells the callbacks of that step.
        WorkerLost: where another worker is gone.
    """
    check_parts(batch_size, strategy.num_replicas_in_sync, accumulation_steps)
    share = share_of(strategy, batch_size)
    steps = steps_per_epoch(source.train, batch_size)
    preemption = preemption or Preemption()
    any_worker = make_vote(strategy)
    train_step = make_step(model, strategy, accumulation_steps)
    recovery = recovery or Recovery()
    gather = make_gather(source)

    @tf.function(autograph=False)  # traced once, which a data set's map is not
    def fetch(chosen: Any) -> Any:
        return strategy.run(gather, args=chosen)

    calls = keras.callbacks.CallbackList(
        list(callbacks),
        model=model,
        epochs=epochs,
        steps=steps,
        initial_epoch=start.epoch,
        initial_step=start.step,
    )
    calls.on_train_begin()
    recovery.begin(model, start)
    model.stop_training = False
    epoch, first_step = start
    unmeasured: frozenset[str] = frozenset()
    while epoch < epochs and not model.stop_training:
        if not first_step:
            model.reset_metrics()
        model.set_epoch(epoch)
        calls.on_epoch_begin(epoch)
        started = time.perf_counter()
        order = functools.partial(
            training_order,
            source,
            batch_size,
            seed=seed,
            epoch=epoch,
            first_step=first_step,
            share=share,
        )
        is_whole = True
        with preemption.deferred():
            iterator = iter(distribute(strategy, order))
            for step in range(first_step, steps):
                batch = fetch(next(iterator))
                calls.on_train_batch_begin(step)
                recovery.remember(epoch, step)
                try:
                    with named_failures():
                        train_step(batch)
                except FAILURES as failure:
                    is_whole = recovery.handle(failure, epoch, step, batch)
                    if not is_whole:
                        train_step = make_step(model, strategy, accumulation_steps)
                        break
                stopped = any_worker(preemption.received)
                model.stop_training |= stopped
                calls.on_train_batch_end(step)
                if stopped:
                    raise Preempted(preemption.number)
        if not is_whole:
            continue
        logs = {m.name: float(m.result()) for m in model.metrics}
        unmeasured = _say_unmeasured(logs, epoch, unmeasured)
        rate = tf.convert_to_tensor(model.optimizer.learning_rate)
        logs["learning_rate"] = float(rate)
        logs["seconds"] = time.perf_counter() - started
        calls.on_epoch_end(epoch, logs)
        model.stop_training = any_worker(model.stop_training)
        epoch, first_step = epoch + 1, 0
    calls.on_train_end()


def _say_unmeasured(
    logs: Mapping[str, float], epoch: int, known: frozenset[str]
) -> frozenset[str]:
    """Warns once of each measure that an epoch leaves NaN; returns those warned of."""
    names = {name for name, value in logs.items() if math.isnan(value)}
    if names - known:
        none = "no step was taken" if "loss" in names else "no example has them"
        logging.warning(
            "epoch %d: nothing was measured of %s (%s)",
            *(epoch + 1, ", ".join(sorted(names - known)), none),
        )
    return known | names
