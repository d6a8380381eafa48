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
        self.shapes = [list(variable.shape) for variable in variables.values()]
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoint = tf.train.Checkpoint(epoch=self.epoch, variables=variables)
        self.directory = directory
        try:
            self.manager = self._manage()
        except ValueError:  # its list of checkpoints was cut short; it is only a list
            (directory / "checkpoint").unlink()
            self.manager = self._manage()

    def _manage(self) -> tf.train.CheckpointManager:
        directory = str(self.directory)
        return tf.train.CheckpointManager(self.checkpoint, directory, max_to_keep=KEPT)

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
            shapes = _read_shapes(path)
            if shapes is None:
                logging.warning(
                    "checkpoint %s is damaged; falling back to the one before", path
                )
            elif shapes != self.shapes:
                raise ValueError(
                    "the checkpoint belongs to a model of another architecture. "
                    f"Received: {path}"
                )
            else:
                self.checkpoint.restore(str(path)).assert_consumed()
                return int(self.epoch.numpy())
        if numbers:
            raise ValueError(
                "no checkpoint can be read; move the folder away to start again. "
                f"Received: {self.directory}"
            )
        return 0


def _read_shapes(path: Path) -> list[list[int]] | None:
    """Shapes of the numbered variables in a file; None if it cannot be read whole."""
    try:
        reader = tf.train.load_checkpoint(str(path))
        shapes = reader.get_variable_to_shape_map()
        for name in shapes:
            reader.get_tensor(name)  # compares the checksum
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError):
        return None
    return [shapes[name] for name in sorted(shapes) if name.startswith("variables/")]


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves after every epoch; put it last, so that the logs are written before."""

    def __init__(self, checkpoints: Checkpoints):
        super().__init__()
        self.checkpoints = checkpoints

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the state after this epoch."""
        self.checkpoints.save(epoch + 1)
