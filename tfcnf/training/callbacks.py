"""Callbacks after each epoch: evaluation, logs, progress.

The callbacks share the logs of the epoch: those that measure come first, those that
write come after.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import keras
import tensorflow as tf

from tfcnf.models.failures import tell_once
from tfcnf.models.metrics import EpochMean
from tfcnf.records import append_line, read_lines, write_lines

Logs = dict[str, Any]
STEPS = 50  # between the lines of single steps
SHOWN = {"bits_per_dim": "bits/dim", "elbo": "elbo", "nll": "nats"}
LIVE = ("bits_per_dim", "elbo", "error", "nfe_forward", "nfe_backward")


class Evaluate(keras.callbacks.Callback):
    """Adds measures of a split to the logs every few epochs and after the last.

    Where a solve fails, the one measure is NaN and the training goes on.

    Args:
        measure: yields (name, value), for instance ``lambda: evaluator.run(1e-5)``.
        every: epochs between measurements.
        name: of the measure that is NaN where a solve fails.
        split: name of the split, which stands before those of the measures.
    """

    def __init__(
        self,
        measure: Callable[[], Iterator[tuple[str, float]]],
        every: int = 1,
        name: str = "bits_per_dim",
        split: str = "test",
    ):
        super().__init__()
        self.measure, self.every, self.name = measure, every, name
        self.split = split
        self.tell = tell_once("an evaluation after an epoch failed, its measure is NaN")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Evaluates where it is due."""
        due = (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]
        if due and logs is not None:
            found = self.tell(lambda: dict(self.measure()), {self.name: math.nan})
            logs.update({f"{self.split}/{k}": value for k, value in found.items()})


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
        _drop_later(path, "epoch", epochs_done)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the line."""
        done = {"epoch": epoch + 1, "step": iterations(self.model)}
        append_line(self.path, done | (logs or {}))


class StepsLog(keras.callbacks.Callback):
    """Appends what single steps measured to ``steps.jsonl``, a line every few steps.

    A line is about that step alone, not a mean over those since the last line, so that
    it does not depend on where a training was interrupted. Lines of steps that are
    done again are removed.

    Args:
        path: the file.
        every: steps between lines; 0 for none.
        writer: of TensorBoard, which gets them as ``step/...``.
    """

    def __init__(
        self, path: Path, every: int, writer: tf.summary.SummaryWriter | None = None
    ):
        super().__init__()
        if every < 0:
            raise ValueError(
                f"log_every must not be negative. Received: log_every={every}"
            )
        self.path, self.every, self.writer = path, every, writer

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Removes the lines of steps that are still to be done."""
        if self.path.exists():
            _drop_later(self.path, "step", iterations(self.model))

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Remembers the sums so far where the step is to be logged."""
        self.step = iterations(self.model) + 1
        self.is_due = self.every > 0 and self.step % self.every == 0
        if self.is_due:
            self.before = self._sums()
            rate = tf.convert_to_tensor(self.model.optimizer.learning_rate)
            self.rate = float(rate)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes the line; none for a step that was skipped or left out."""
        step = iterations(self.model)
        if not self.is_due or step != self.step:
            return
        measures = self._measures()
        measures["learning_rate"] = self.rate
        append_line(self.path, {"step": step, **measures})
        if self.writer:
            with self.writer.as_default(step=step):
                for name, value in measures.items():
                    tf.summary.scalar(f"step/{name}", value)

    def _sums(self) -> dict[EpochMean, tuple[float, float]]:
        means = [m for m in self.model.metrics if isinstance(m, EpochMean)]
        return {m: (float(m.total.numpy()), float(m.count.numpy())) for m in means}

    def _measures(self) -> dict[str, float]:
        """Measures of the steps since the sums were remembered."""
        added = {
            mean: (total - self.before[mean][0], count - self.before[mean][1])
            for mean, (total, count) in self._sums().items()
        }
        return {
            mean.name: float(mean.mean_of(total, count))
            for mean, (total, count) in added.items()
            if count > 0
        }


def iterations(model: Any) -> int:
    """Steps that a model's optimizer has made."""
    return int(model.optimizer.iterations.numpy())


def _drop_later(path: Path, key: str, last: int) -> None:
    """Keeps the whole lines of a file whose ``key`` is at most ``last``."""
    lines = read_metrics(path, key)
    write_lines(path, [line for line in lines if line[key] <= last])


def read_metrics(path: Path, *counts: str) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; an incomplete last one is left out.

    Args:
        path: the file; no line where it is absent.
        counts: integers that every line must have.

    Raises:
        ValueError: naming the line that is damaged.
    """
    return read_lines(path, dict.fromkeys(counts, int), float)


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
            shown = [m for m in self.model.metrics if m.name in LIVE]
            logs = {m.name: float(m.result()) for m in shown}
            step = f"step {batch + 1}/{self.params['steps']}"
            line = f"{self._head()}  {step}  {_measures(logs)}  {self._remaining()}"
            self.stream.write(f"\r{line}\x1b[K" if self.live else f"{line}\n")
            self.stream.flush()
            self.printed = now

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Prints the line of the epoch."""
        line = f"{self._head()}  {_measures(logs or {})}  {self._remaining()}"
        self.printed = time.perf_counter()
        start = "\r\x1b[K" if self.live else ""
        self.stream.write(f"{start}{line}\n")
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


def _measures(logs: Logs) -> str:
    parts = []
    for name, title in SHOWN.items():
        if name in logs:
            parts.append(f"{title} {logs[name]:.3f}")
    if "error" in logs:
        parts.append(f"error {logs['error']:.2f} %")
    if "nfe_forward" in logs:
        parts.append(f"nfe {logs['nfe_forward']:.0f}+{logs['nfe_backward']:.0f}")
    for split in ("validation", "test"):
        for name, title in SHOWN.items():
            if f"{split}/{name}" in logs:
                parts.append(f"| {split} {title} {logs[f'{split}/{name}']:.3f}")
        if f"{split}/{split}_error" in logs:
            parts.append(f"error {logs[f'{split}/{split}_error']:.2f} %")
    return "  ".join(parts)
