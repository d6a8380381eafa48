"""The training and test steps that every flow model shares."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfcnf.types import Control, FlowOutput, Tensor


class FlowModel(keras.Model):
    """A Keras model whose steps read `FlowOutput`.

    The same `train_step` serves ``model.fit`` and the package's own loop,
    ``strategy.run(model.train_step, ...)``, on any number of replicas.

    A subclass sets ``self.flow`` and ``self.is_supervised``, calls
    `_track_metrics`, and defines `terms`.
    """

    flow: Any
    is_supervised: bool

    def terms(
        self, x: Tensor, y: Tensor, control: Control, training: bool
    ) -> tuple[dict[str, Tensor], FlowOutput]:
        """Measures ``[B]`` by name, ``"loss"`` among them, and the flow's output."""
        raise NotImplementedError

    def _track_metrics(self) -> None:
        names = ["loss", "bits_per_dim"]
        if self.is_supervised:
            names += ["cross_entropy", "error"]
        names += ["nfe_forward", "nfe_backward"]
        for i in range(self.flow.num_solves):
            names += [f"nfe_forward/cnf_{i:02d}", f"nfe_backward/cnf_{i:02d}"]
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over the epoch; Keras resets them."""
        return list(self._trackers.values())

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One optimizer step on a batch ``(x, y)``; returns the running means."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        probe = tf.zeros([self.flow.num_solves], self.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(probe)
            terms, out = self.terms(x, y, Control(nfe_backward_probe=probe), True)
            # the optimizer sums over replicas: the only division by their number
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            loss = tf.reduce_mean(terms["loss"]) / replicas
        weights = self.trainable_variables
        *gradients, nfe_backward = tape.gradient(loss, [*weights, probe])
        gradients = self._clip(gradients, replicas)
        self.optimizer.apply(gradients, weights)
        return self._update(terms, out.nfe, nfe_backward)

    def _clip(self, gradients: list[Tensor], replicas: int) -> list[Tensor]:
        """Clips the gradient of the whole batch; alone, each replica clips its own."""
        limit = self.optimizer.global_clipnorm
        if not limit or replicas == 1:
            return gradients
        context = tf.distribute.get_replica_context()
        total = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        clipped, _ = tf.clip_by_global_norm(total, limit)
        return [gradient / replicas for gradient in clipped]

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """The same measures without an update and without backward solves."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        terms, out = self.terms(x, y, Control(), False)
        return self._update(terms, out.nfe, None)

    def _update(
        self, terms: dict[str, Tensor], nfe: Tensor, nfe_backward: Tensor | None
    ) -> dict[str, Tensor]:
        """Updates the means; without a backward solve there is no backward count."""
        for name, value in terms.items():
            self._trackers[name].update_state(value)
        for name, value in [("nfe_forward", nfe), ("nfe_backward", nfe_backward)]:
            if value is None:
                continue
            self._trackers[name].update_state(tf.reduce_sum(value))
            for i in range(self.flow.num_solves):
                self._trackers[f"{name}/cnf_{i:02d}"].update_state(value[i])
        return {name: tracker.result() for name, tracker in self._trackers.items()}
