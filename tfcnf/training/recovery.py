"""Recovery from a training step that fails: stop, skip the batch, or go back.

A step fails where a solve does not reach its end, or the loss or its gradient is not
finite. The checks stand before the optimizer in the graph, so the weights of a failed
step are those before it.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.precision import inner_optimizer
from tfcnf.records import append_line, read_lines
from tfcnf.seeds import is_seed, new_seed
from tfcnf.training.checkpoints import START, Checkpoints, Position, training_state
from tfcnf.training.schedules import Scaled

LAST_GOOD = "last_good"
ACTIONS = ("stop", "skip", "restore")
SAME = ("epoch", "step", "action", "learning_rate")  # of one failure seen twice
EVENT = {  # fields of a line of divergence.jsonl
    "epoch": int,
    "step": int,
    "error": str,
    "message": str,
    "learning_rate": float,
    "action": str,
}


class Recovery:
    """Goes on after failed steps, or says why not.

    Every failure becomes a line of ``divergence.jsonl``: epoch and step (from 1), what
    failed with layer, tolerance, step size and range of the state, the learning rate
    and what was done. Where training stops, ``last_good/`` gets the state before the
    step that failed, as a checkpoint (none before the first step), and its batch; where
    a batch is computed in parts, the running means have those before the failure too;
    ``launch/train.py --init_from=RUN/last_good`` begins a run with its weights.

    Args:
        action: ``"stop"``; ``"skip"`` the batch, with the state as it was before it
            and new noise;
            or ``"restore"`` the state of the start of the epoch (that of its
            checkpoint) and repeat the epoch with a lower learning rate and new noise.
        limit: failures of a run that may be skipped or gone back from.
        rate_factor: factor on the learning rate with each ``"restore"``.
        folder: where the report goes; None for no report.
        rank: of this worker. Another than the first reports in
            ``divergence-RANK.jsonl`` and leaves no state.

    Raises:
        ValueError: for an unknown action or a number out of range.
    """

    def __init__(
        self,
        action: str = "stop",
        limit: int = 10,
        rate_factor: float = 0.5,
        folder: Path | None = None,
        *,
        rank: int | None = None,
    ):
        check_choice("recovery.action", action, ACTIONS)
        if not isinstance(limit, int) or limit < 0:
            raise ValueError(
                f"recovery.limit must be an integer from 0. Received: limit={limit!r}"
            )
        if not 0 < rate_factor < 1:
            raise ValueError(
                "recovery.rate_factor must be between 0 and 1. "
                f"Received: rate_factor={rate_factor!r}"
            )
        self.action, self.limit, self.rate_factor = action, limit, rate_factor
        self.folder, self.rank = folder, rank or 0
        of_rank = f"-{rank}" if rank else ""
        self.path = folder / f"divergence{of_rank}.jsonl" if folder else None
        self.events = read_lines(self.path, EVENT) if self.path else []
        self.failures = 0

    def begin(self, model: keras.Model, start: Position = START) -> None:
        """Starts a training from a position, as earlier failures left it.

        Failures count that lie before the position, and those that sent the training
        back to it: their lower learning rates hold. The later ones will come again.
        """
        self.model, self.good = model, _Snapshot(model)
        for event in self.events:
            at = Position(event["epoch"] - 1, event["step"] - 1)
            if event["action"] == "restore" and at.epoch <= start.epoch:
                self.failures += 1
                is_back = start == (at.epoch, 0)
                if is_back or _has_schedule(model.optimizer):
                    _lower_rate(model.optimizer, self.rate_factor)
                if is_back:
                    self.good.take()
                    self.good.give_back(self.failures)
            elif event["action"] == "skip" and at < start:
                self.failures += 1

    def remember(self, epoch: int, step: int) -> None:
        """Tells that the state before this step of the epoch, from 0, is good."""
        first = step == 0 or not self.good.values
        if self.action == "skip" or (self.action == "restore" and first):
            self.good.take()

    def handle(self, failure: Exception, epoch: int, step: int, batch: Any) -> bool:
        """Recovers from a failed step; epoch and step count from 0.

        Returns:
            Whether the epoch goes on with the next batch; otherwise it is repeated,
            with a step that is traced anew.

        Raises:
            RuntimeError: the failure itself, where the training is to stop.
        """
        action = self.action if self.failures < self.limit else "stop"
        event = {
            "epoch": epoch + 1,
            "step": step + 1,
            "error": type(failure).__name__,
            "message": str(failure),
            "learning_rate": float(
                tf.convert_to_tensor(self.model.optimizer.learning_rate)
            ),
            "action": action,
        }
        self._report(event)
        if action == "stop":
            raise self._stopped(failure, epoch, step, batch) from None
        logging.warning("%s; %s epoch %d step %d", failure, action, epoch + 1, step + 1)
        self.failures += 1
        self.good.give_back(self.failures)
        if action == "restore":
            _lower_rate(self.model.optimizer, self.rate_factor)
            self.good.take()
        return action == "skip"

    def _report(self, event: dict[str, Any]) -> None:
        known = [[old[key] for key in SAME] for old in self.events]
        if event["action"] != "stop" and [event[key] for key in SAME] in known:
            return  # a resumed run comes to the same failure again
        self.events.append(event)
        if self.path:
            append_line(self.path, event)

    def _stopped(
        self, failure: Exception, epoch: int, step: int, batch: Any
    ) -> Exception:
        """The failure with where it happened and what was left; leaves it."""
        where = f"epoch {epoch + 1}, step {step + 1}: {failure}"
        if self.folder is None or self.rank:
            return type(failure)(where)
        folder = self.folder / LAST_GOOD
        folder.mkdir(exist_ok=True)
        Checkpoints(folder, self.model, keep=1).save(Position(epoch, step))
        local = tf.nest.map_structure(_local, batch)
        arrays = {
            f"{i:02d}": np.asarray(x) for i, x in enumerate(tf.nest.flatten(local))
        }
        np.savez(folder / "batch.npz", **arrays)
        return type(failure)(f"{where} (report and last good state in {self.folder})")


class _Snapshot:
    """The values of all variables of a training at one moment."""

    def __init__(self, model: keras.Model):
        self.variables = list(itertools.chain(*training_state(model).values()))
        self.values: list[np.ndarray] = []
        self.seeds = {id(v.value) for v in model.variables if is_seed(v)}

    def take(self) -> None:
        """Copies the values."""
        self.values = [variable.numpy() for variable in self.variables]

    def give_back(self, failures: int) -> None:
        """Sets the variables to the copied values, the seeds to others.

        The same seeds would draw the same noise and the same tolerances again. The new
        ones depend on the copied ones and the number of failures so far alone: the step
        that failed has drawn from some of its seeds and not from others.
        """
        for variable, value in zip(self.variables, self.values, strict=True):
            is_one = id(variable) in self.seeds
            variable.assign(new_seed(value, failures) if is_one else value)


def _lower_rate(optimizer: Any, factor: float) -> None:
    inner = inner_optimizer(optimizer)
    if _has_schedule(optimizer):
        inner.learning_rate = Scaled(inner._learning_rate, factor)
    else:
        inner.learning_rate = factor * float(tf.convert_to_tensor(inner.learning_rate))


def _has_schedule(optimizer: Any) -> bool:
    """True where the rate is no variable, which a checkpoint would hold."""
    return callable(inner_optimizer(optimizer)._learning_rate)


def _local(value: Any) -> Any:
    """Value of the first replica, of one of all replicas."""
    values = getattr(value, "values", None)
    return values[0] if isinstance(values, tuple) else value
