"""InfoCNF in tfcnf as a contender of the train suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.network import trained_weights
from tfcnf.data.pipeline import training_batches
from tfcnf.runs.build import build_model, read_source
from tfcnf.training.accumulation import make_step
from tfcnf.training.checkpoints import Checkpoints, Position


class TfcnfContender:
    """The model of a configuration, trained as a run trains it.

    Args:
        config: of a run.
        folder: of the checkpoints.
    """

    def __init__(self, config: dict[str, Any], folder: Path):
        self.config, self.folder = config, folder
        self.source = read_source(config, None)

    def prepare(self) -> None:
        """Builds the model and traces its training step."""
        self.model = build_model(self.config, self.source)
        self.checkpoints = Checkpoints(self.folder / "checkpoints", self.model, keep=2)
        step: Any = make_step(self.model, tf.distribute.get_strategy())
        self.step = step
        step.get_concrete_function(next(iter(self._batches(0))))

    def epoch(self, number: int) -> dict[str, float]:
        """Trains an epoch; mean evaluations of a step both ways."""
        self.model.reset_metrics()
        self.model.set_epoch(number)
        for batch in self._batches(number):
            self.step(batch)
        metrics = {metric.name: metric for metric in self.model.metrics}
        names = "nfe_forward", "nfe_backward"
        return {name: float(metrics[name].result()) for name in names}

    def weights(self) -> list[np.ndarray]:
        """In the order of `benchmarks.network.trained_weights`."""
        return [weight.numpy() for weight in trained_weights(self.model)]

    def save(self, epochs: int) -> None:
        """Writes a checkpoint of so many epochs."""
        self.checkpoints.save(Position(epochs))

    def restore(self, epochs: int) -> None:
        """Reads the checkpoint of so many epochs."""
        self.checkpoints.restore(epochs)

    def _batches(self, epoch: int) -> Any:
        batch = self.config["training"]["batch_size"]
        seed = self.config["seed"]
        return training_batches(self.source, batch, seed=seed, epoch=epoch)
