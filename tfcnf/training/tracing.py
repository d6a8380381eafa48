"""A trace of some training steps, for TensorBoard and `launch/operations.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


def parse_steps(text: str) -> tuple[int, int]:
    """``"START:STOP"`` as the first step to trace, from 1, and the last.

    Raises:
        ValueError: for anything else.
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise ValueError(
            "profile must be START:STOP, the first and the last step to trace, from 1. "
            f"Received: profile={text!r}"
        )
    return first, last


class Profile(keras.callbacks.Callback):
    """Traces steps of this process, counted from 1, whatever a run did before.

    The first step is traced by TensorFlow's graph builder too; START is better 3.

    Args:
        directory: gets ``plugins/profile/TIME/``.
        steps: first and last step.
    """

    def __init__(self, directory: Path, steps: tuple[int, int]):
        super().__init__()
        self.directory, (self.first, self.last) = directory, steps
        self.done, self.is_tracing = 0, False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Starts where it is due."""
        if self.done + 1 == self.first:
            tf.profiler.experimental.start(str(self.directory))
            self.is_tracing = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops after the last step."""
        self.done += 1
        if self.done == self.last:
            self._stop()

    def on_train_end(self, logs: Any = None) -> None:
        """Stops where the training ended before the last step."""
        self._stop()

    def _stop(self) -> None:
        if self.is_tracing:
            tf.profiler.experimental.stop()
            self.is_tracing = False
