"""Records of a training for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.models.failures import tell_once
from tfcnf.training.callbacks import iterations


class TensorBoardLog(keras.callbacks.Callback):
    """Writes event files for TensorBoard.

    Every epoch: all measures as scalars and the weights as histograms. After the first
    epoch, every few more and after the last: images, and histograms of what the solves
    of some batches took. From the first on, so that memory is flat from then on. Once:
    the configuration as text and the graph of a training step.

    Args:
        directory: of the event files.
        draw: makes ``[n, H, W, C]`` images in [0, 1] to show by name, or None.
        every: epochs between images, and between histograms of the solves.
        solves: gives measures of each solve of some batches by name, ``[n, N]``.
        config: shown as text.
    """

    def __init__(
        self,
        directory: Path,
        draw: Callable[[], Mapping[str, np.ndarray]] | None = None,
        *,
        every: int = 10,
        solves: Callable[[], Mapping[str, np.ndarray]] | None = None,
        config: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(directory))
        self.draw, self.every, self.solves = draw, every, solves
        self.config, self.is_graph_due = config, True
        self.tell = tell_once("the pictures of an epoch failed and are left out")

    def on_train_begin(self, logs: Any = None) -> None:
        """Writes the configuration."""
        if self.config is not None:
            lines = json.dumps(self.config, indent=2).splitlines()
            with self.writer.as_default(step=iterations(self.model)):
                tf.summary.text("config", "\n".join(f"    {line}" for line in lines))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Looks at the graph of the first step."""
        if self.is_graph_due:
            tf.summary.trace_on(graph=True, profiler=False)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Writes the graph of the first step."""
        if self.is_graph_due:
            with self.writer.as_default(step=iterations(self.model)):
                tf.summary.trace_export("training_step")
            self.is_graph_due = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the summaries of the epoch."""
        due = epoch % self.every == 0 or epoch + 1 == self.params["epochs"]
        with self.writer.as_default(step=iterations(self.model)):
            for name, value in (logs or {}).items():
                tf.summary.scalar(name, value)
            for weight in self.model.trainable_variables:
                tf.summary.histogram(weight.path, weight.value)
            pictures = self.tell(self.draw, {}) if self.draw and due else {}
            for name, images in pictures.items():
                tf.summary.image(name, images, max_outputs=100)
            measures = self.tell(self.solves, {}) if self.solves and due else {}
            for name, values in measures.items():
                for i, of_solve in enumerate(values.T):
                    tf.summary.histogram(f"{name}/cnf_{i:02d}", of_solve)
        self.writer.flush()
