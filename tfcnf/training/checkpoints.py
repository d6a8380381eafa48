"""Checkpoints of everything that a training changes."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

KEPT = 3
EVERY = 100
SCRATCH = ".writing"
FILE = re.compile(r"ckpt-(\d+)(?:-(\d+))?\.(?:index|data-\d+-of-\d+)")


class Position(NamedTuple):
    """Position of a training.

    Attributes:
        epoch: epochs done.
        step: steps done of the epoch after them.
    """

    epoch: int = 0
    step: int = 0


START = Position()


class Checkpoints:
    """Saves and restores weights, optimizer, seeds and the running means of the epoch.

    ``ckpt-E`` is of E whole epochs, ``ckpt-E-S`` of S steps more. A checkpoint is
    written beside the others and renamed, the index last, so that one which was being
    written when the process was killed is not seen. TensorFlow checksums every tensor.

    Args:
        directory: where the files lie.
        model: a built and compiled model.
        keep: how many checkpoints of whole epochs, and of steps since the last of
            them, are kept.
    """

    def __init__(self, directory: Path, model: keras.Model, keep: int = KEPT):
        if keep < 1:
            raise ValueError(f"keep must be positive. Received: keep={keep}")
        model.optimizer.build(model.trainable_variables)
        # numbered, because Keras' names depend on what the process built before
        self.state = {
            kind: {f"{i:04d}": variable for i, variable in enumerate(variables)}
            for kind, variables in training_state(model).items()
        }
        self.checkpoint = tf.train.Checkpoint(**self.state)
        self.directory, self.keep = directory, keep
        self.saved = START

    def save(self, position: Position, best: int | None = None) -> None:
        """Writes a checkpoint and removes those that are not kept.

        Args:
            position: where the training stands. Checkpoints beyond it are removed.
            best: also keep the checkpoint of so many epochs.
        """
        if position == self.saved:
            return
        scratch = self.directory / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        path = _path(self.directory, position)
        self.checkpoint.write(str(scratch / path.name))
        path.with_name(f"{path.name}.index").unlink(missing_ok=True)
        for file in sorted(scratch.iterdir()):  # the index comes last
            with file.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(file, self.directory / file.name)
        scratch.rmdir()
        self.saved = position
        self._remove_all_but(self._kept(position, best))

    def go_back(self, position: Position) -> None:
        """Removes the checkpoints beyond a position, to which the training returns."""
        self._remove_all_but({p for p, _ in _files(self.directory) if p <= position})
        self.saved = min(self.saved, position)

    def restore(self, epoch: int | None = None) -> Position:
        """Restores the newest checkpoint that can be read.

        Args:
            epoch: restore none but the checkpoint of so many epochs.

        Returns:
            Where the training stands; `START` where there is no checkpoint.

        Raises:
            ValueError: where there are checkpoints and none can be read, or they
                are of another architecture.
        """
        position, arrays = read_newest(self.directory, epoch)
        if position == START:
            return START
        # at the start of an epoch its means are empty
        for kind in ("variables", "metrics") if position.step else ("variables",):
            variables = self.state[kind].values()
            saved = [arrays[name] for name in sorted(arrays) if f"{kind}/" in name]
            if [list(v.shape) for v in variables] != [list(a.shape) for a in saved]:
                raise ValueError(
                    "the checkpoint belongs to a model of another architecture. "
                    f"Received: {_path(self.directory, position)}"
                )
            for variable, array in zip(variables, saved, strict=True):
                variable.assign(array)
        self.saved = position
        return position

    def _kept(self, newest: Position, best: int | None) -> set[Position]:
        positions = {p for p, _ in _files(self.directory) if p <= newest}
        whole = sorted(p for p in positions if not p.step)
        within = sorted(p for p in positions if p > max(whole, default=START))
        kept = {*whole[-self.keep :], *within[-self.keep :]}
        return kept if best is None else kept | {Position(best)}

    def _remove_all_but(self, kept: set[Position]) -> None:
        # indices first: a checkpoint without one does not count
        for position, path in sorted(_files(self.directory), key=_comes_later):
            if position not in kept:
                path.unlink()


def read_newest(
    directory: Path, epoch: int | None = None
) -> tuple[Position, dict[str, np.ndarray]]:
    """The newest checkpoint that can be read, and its arrays by name.

    Args:
        directory: of the checkpoints.
        epoch: read none but the checkpoint of so many epochs.

    Returns:
        `START` and nothing where there is no checkpoint.

    Raises:
        ValueError: where there are checkpoints and none can be read.
    """
    found = {p for p, path in _files(directory) if path.suffix == ".index"}
    if epoch is not None:
        found &= {Position(epoch)}
    for position in sorted(found, reverse=True):
        path = _path(directory, position)
        arrays = _read(path)
        if arrays is not None:
            return position, arrays
        logging.warning(
            "checkpoint %s is damaged; falling back to the one before", path
        )
    if found:
        raise ValueError(
            "no checkpoint can be read; move the folder away to start again. "
            f"Received: {directory}"
        )
    return START, {}


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """All arrays of a checkpoint; None if it cannot be read whole."""
    try:
        reader = tf.train.load_checkpoint(str(path))
        # reading compares the checksums
        arrays = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError):
        return None
    # not the bookkeeping of TensorFlow
    kept = {n: a for n, a in arrays.items() if not isinstance(a, bytes)}
    return {name: np.asarray(array) for name, array in kept.items()}


def _path(directory: Path, position: Position) -> Path:
    epoch, step = position
    return directory / (f"ckpt-{epoch}-{step}" if step else f"ckpt-{epoch}")


def _files(directory: Path) -> Iterator[tuple[Position, Path]]:
    for path in directory.glob("ckpt-*"):
        match = FILE.fullmatch(path.name)
        if match:
            yield Position(int(match[1]), int(match[2] or 0)), path


def _comes_later(file: tuple[Position, Path]) -> bool:
    return file[1].suffix != ".index"


def training_state(model: keras.Model) -> dict[str, list[tf.Variable]]:
    """All that a training changes: ``"variables"`` and the ``"metrics"`` of the epoch.

    Every variable is there once, because TensorFlow saves it under one name alone.
    """
    variables = [*model.variables, *model.optimizer.variables]
    known = {id(variable) for variable in variables}
    metrics = [v for v in model.metrics_variables if id(v) not in known]
    return {
        "variables": [variable.value for variable in variables],
        "metrics": [variable.value for variable in metrics],
    }


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves after every epoch, every few steps, and when the training is told to stop.

    Put it last, so that the logs are written before. It also saves between the last
    step of an epoch and its evaluation, which may take long.

    Args:
        checkpoints: where to.
        every: steps between checkpoints, counted from the start of the training.
        best: tells which epoch so far was the best, counted from 1, or None.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        every: int = EVERY,
        best: Callable[[], int | None] = lambda: None,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(
                f"checkpoint_every must be positive. Received: checkpoint_every={every}"
            )
        self.checkpoints, self.every, self.best = checkpoints, every, best
        self.epoch = -1

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forgets an earlier training."""
        self.epoch = -1

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Remembers the epoch; removes the steps of one that is begun again."""
        if epoch == self.epoch:
            is_first = epoch == self.params.get("initial_epoch")
            step = self.params.get("initial_step", 0) if is_first else 0
            self.checkpoints.go_back(Position(epoch, step))
        self.epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Saves where it is due."""
        step, steps = batch + 1, self.params["steps"]
        due = (self.epoch * steps + step) % self.every == 0 or step == steps
        if due or self.model.stop_training:
            self.checkpoints.save(Position(self.epoch, step), self.best())

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the state after this epoch."""
        self.checkpoints.save(Position(epoch + 1), self.best())
