"""Checkpoints of everything that a training changes."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import tensorflow as tf

KEPT = 3


class Checkpoints:
    """Saves and restores weights, optimizer, seeds and the number of epochs done.

    Args:
        directory: where the files lie.
        model: a built and compiled model.
    """

    def __init__(self, directory: Path, model: keras.Model):
        model.optimizer.build(model.trainable_variables)
        # numbered, because Keras' names depend on what the process built before
        variables = {
            f"{i:04d}": variable.value
            for i, variable in enumerate([*model.variables, *model.optimizer.variables])
        }
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoint = tf.train.Checkpoint(epoch=self.epoch, variables=variables)
        self.manager = tf.train.CheckpointManager(
            self.checkpoint, str(directory), max_to_keep=KEPT
        )
        self.directory = directory

    def save(self, epochs_done: int) -> None:
        """Writes a checkpoint; the last few are kept."""
        self.epoch.assign(epochs_done)
        self.manager.save(checkpoint_number=epochs_done)

    def restore(self) -> int:
        """Restores the newest checkpoint that can be read.

        Returns:
            Epochs done; 0 where there is no checkpoint.

        Raises:
            ValueError: where there are checkpoints and none can be read, or they
                are of another architecture.
        """
        indices = self.directory.glob("ckpt-*.index")
        numbers = sorted(
            (int(path.stem.split("-")[1]) for path in indices), reverse=True
        )
        for number in numbers:
            path = self.directory / f"ckpt-{number}"
            try:
                self.checkpoint.restore(str(path)).assert_consumed()
            except tf.errors.OpError as failure:
                logging.warning(
                    "checkpoint %s is damaged (%s); falling back to the one before",
                    path,
                    type(failure).__name__,
                )
            except (AssertionError, ValueError) as failure:
                raise ValueError(
                    "the checkpoint belongs to a model of another architecture. "
                    f"Received: {path}"
                ) from failure
            else:
                return int(self.epoch.numpy())
        if numbers:
            raise ValueError(
                "no checkpoint can be read; move the folder away to start again. "
                f"Received: {self.directory}"
            )
        return 0


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves after every epoch; put it last, so that the logs are written before."""

    def __init__(self, checkpoints: Checkpoints):
        super().__init__()
        self.checkpoints = checkpoints

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the state after this epoch."""
        self.checkpoints.save(epoch + 1)
