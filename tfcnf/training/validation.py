"""The best epoch of a training by its validation split, and the end of its patience."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tfcnf.training.callbacks import Logs, read_metrics

BEST = "best_epoch"


class Validation(keras.callbacks.Callback):
    """Finds the best epoch so far, and ends a training that no longer improves.

    Put it behind what measures and before what writes: it adds ``best_epoch``, counted
    from 1, to the logs. All that it remembers follows from the lines that were written
    of these logs, so a training that was interrupted ends where it would have.

    Args:
        measure: name of the validation measure in the logs. A value that is not finite
            is no improvement.
        largest: whether the largest value is the best.
        patience: epochs without improvement that end the training; 0 for none.
        lines: logs of the epochs that are done, each with its ``"epoch"``.
    """

    def __init__(
        self,
        measure: str,
        *,
        largest: bool = False,
        patience: int = 0,
        lines: Sequence[Logs] = (),
    ):
        super().__init__()
        self.measure, self.sign = measure, -1 if largest else 1
        self.patience = patience
        self.best_epoch: int | None = None
        self.waited, self.least = 0, math.inf
        for line in lines:
            self._look(line["epoch"], line)

    @property
    def is_over(self) -> bool:
        """True where nothing has improved for too long."""
        return 0 < self.patience <= self.waited

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks at the measure, where it was taken."""
        logs = {} if logs is None else logs
        self._look(epoch + 1, logs)
        if self.best_epoch is not None:
            logs[BEST] = self.best_epoch
        if self.is_over and not self.model.stop_training:
            self.model.stop_training = True
            print(
                f"{self.measure} has not improved for {self.waited} epochs: the "
                f"training ends after epoch {epoch + 1}"
            )

    def _look(self, epoch: int, logs: Mapping[str, Any]) -> None:
        value = logs.get(self.measure)
        if value is None:
            return
        if math.isfinite(value) and self.sign * value < self.least:
            self.least, self.best_epoch = self.sign * value, epoch
        if self.best_epoch is not None:
            self.waited = epoch - self.best_epoch


def best_epoch(folder: Path) -> int | None:
    """The best epoch so far of a run, of which there is a checkpoint; None without any.

    Args:
        folder: of the run.
    """
    for line in reversed(read_metrics(folder / "metrics.jsonl")):
        epoch = line.get(BEST)
        path = folder / "checkpoints" / f"ckpt-{epoch}.index"
        if isinstance(epoch, int) and path.is_file():
            return epoch
    return None
