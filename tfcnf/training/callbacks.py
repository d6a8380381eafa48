"""What happens after each epoch: evaluation, logs, progress.

The callbacks share the logs of the epoch: those that measure come first, those that
write come after.
"""

from __future__ import annotations

import json
import operator
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import keras

Logs = dict[str, Any]


class Evaluate(keras.callbacks.Callback):
    """Adds ``test/...`` measures to the logs every few epochs and after the last.

    Args:
        measure: yields (name, value), for instance ``lambda: evaluator.run(1e-5)``.
        every: epochs between measurements.
    """

    def __init__(
        self, measure: Callable[[], Iterator[tuple[str, float]]], every: int = 1
    ):
        super().__init__()
        self.measure, self.every = measure, every

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Evaluates where it is due."""
        due = (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]
        if due and logs is not None:
            logs.update({f"test/{name}": value for name, value in self.measure()})


class MetricsLog(keras.callbacks.Callback):
    """Appends one JSON line an epoch to ``metrics.jsonl``.

    Args:
        path: the file.
        epochs_done: lines of later epochs, left by a run that was killed, and an
            incomplete last line are removed.
    """

    def __init__(self, path: Path, epochs_done: int = 0):
        super().__init__()
        self.path = path
        lines = [line for line in read_metrics(path) if line["epoch"] <= epochs_done]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
        os.replace(temporary, path)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the line."""
        line = {
            "epoch": epoch + 1,
            "step": int(self.model.optimizer.iterations.numpy()),
            **(logs or {}),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; an incomplete last one is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def best_epoch(lines: Sequence[Logs]) -> int | None:
    """The epoch whose test measure is the best; None where nothing was measured."""
    for name, better in (("test/bits_per_dim", min), ("test/elbo", max)):
        measured = [line for line in lines if name in line]
        if measured:
            return better(measured, key=operator.itemgetter(name))["epoch"]
    return None


class Progress(keras.callbacks.Callback):
    """A line an epoch with the remaining time, and the step within long epochs.

    Args:
        stream: where to print; standard output if None. On a terminal the step is
            shown in place, otherwise as a line.
        seconds: time between such lines.
    """

    def __init__(self, stream: TextIO | None = None, seconds: float = 60.0):
        super().__init__()
        self.stream, self.seconds = stream or sys.stdout, seconds
        self.live = self.stream.isatty()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Starts the clock."""
        self.started, self.steps = time.perf_counter(), 0
        self.printed = self.started

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remembers the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Counts the step and, on a terminal or where it is time, shows it."""
        self.steps += 1
        now = time.perf_counter()
        if self.live or now - self.printed >= self.seconds:
            step = f"step {batch + 1}/{self.params['steps']}"
            line = f"{self._head()}  {step}  {self._remaining()}"
            self.stream.write(f"\r{line}\x1b[K" if self.live else f"{line}\n")
            self.stream.flush()
            self.printed = now

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Prints the line of the epoch."""
        logs = logs or {}
        parts = [self._head()]
        for name, title in (("bits_per_dim", "bits/dim"), ("elbo", "elbo")):
            if name in logs:
                parts.append(f"{title} {logs[name]:.3f}")
        if "error" in logs:
            parts.append(f"error {logs['error']:.2f} %")
        parts.append(f"nfe {logs['nfe_forward']:.0f}+{logs['nfe_backward']:.0f}")
        if "test/bits_per_dim" in logs:
            parts.append(f"| test bits/dim {logs['test/bits_per_dim']:.3f}")
        if "test/elbo" in logs:
            parts.append(f"| test elbo {logs['test/elbo']:.3f}")
        if "test/test_error" in logs:
            parts.append(f"error {logs['test/test_error']:.2f} %")
        parts.append(self._remaining())
        self.printed = time.perf_counter()
        start = "\r\x1b[K" if self.live else ""
        self.stream.write(f"{start}{'  '.join(parts)}\n")
        self.stream.flush()

    def _head(self) -> str:
        return f"epoch {self.epoch + 1}/{self.params['epochs']}"

    def _remaining(self) -> str:
        done_before = self.params.get("initial_epoch", 0)
        total = (self.params["epochs"] - done_before) * self.params["steps"]
        total -= self.params.get("initial_step", 0)
        seconds = time.perf_counter() - self.started
        left = seconds / max(self.steps, 1) * max(total - self.steps, 0)
        minutes, seconds = divmod(round(left), 60)
        return f"{minutes}:{seconds:02d} left"
