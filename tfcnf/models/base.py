"""The training and test steps that every flow model shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfcnf.gates.policy import ScheduledTolerance
from tfcnf.gates.reinforce import Reinforce
from tfcnf.gates.sampled import LearnedTolerance, RandomTolerance
from tfcnf.models.metrics import EpochMean, over_replicas
from tfcnf.types import Control, FlowOutput, Tensor


class FlowModel(keras.Model):
    """A Keras model whose steps read `FlowOutput`.

    The same `train_step` serves ``model.fit`` and the package's own loop,
    ``strategy.run(model.train_step, ...)``, on any number of replicas.

    A subclass sets ``self.flow`` and ``self.is_supervised``, calls
    `_learn_tolerances` if its flow may have gates, and `_track_metrics`, and defines
    `terms`.

    Attributes:
        reinforce: trains the gates; None where the flow has none.
    """

    flow: Any
    is_supervised: bool
    reinforce: Reinforce | None = None

    def terms(
        self, x: Tensor, y: Tensor, control: Control, training: bool
    ) -> tuple[dict[str, Tensor], FlowOutput]:
        """Measures ``[B]`` by name, ``"loss"`` among them, and the flow's output."""
        raise NotImplementedError

    def _learn_tolerances(self, options: Mapping[str, Any] | None) -> None:
        """Sets up REINFORCE, with these keywords, where the flow has gates."""
        weights = self.gate_weights
        if weights:
            self.reinforce = Reinforce(**(options or {}))
            self.reinforce.prepare(weights, self.flow.num_solves)
        elif options:
            raise ValueError(
                "reinforce has options only where tolerances are learned. "
                f"Received: reinforce={dict(options)}"
            )

    @property
    def samples_tolerances(self) -> bool:
        """Whether tolerances are drawn, or learned, so that batches have their own."""
        return any(isinstance(p, RandomTolerance) for p in self.flow.policies)

    @property
    def gate_weights(self) -> list[keras.Variable]:
        """Trainable variables of the learned tolerances."""
        gates = [p for p in self.flow.policies if isinstance(p, LearnedTolerance)]
        return [weight for gate in gates for weight in gate.trainable_variables]

    def set_epoch(self, epoch: int) -> None:
        """Tells scheduled tolerances the epoch, counted from 0."""
        for policy in self.flow.policies:
            if isinstance(policy, ScheduledTolerance):
                policy.epoch.assign(epoch)

    def _track_metrics(self) -> None:
        names = ["loss", "bits_per_dim"]
        if self.is_supervised:
            names += ["cross_entropy", "error"]
        names += ["nfe_forward", "nfe_backward"]
        for i in range(self.flow.num_solves):
            names += [f"{name}/cnf_{i:02d}" for name in self._per_solve]
        self._trackers = {name: EpochMean(name) for name in names}

    @property
    def _per_solve(self) -> list[str]:
        names = ["nfe_forward", "nfe_backward", "log10_tol"]
        return names + ["log_pi"] * (self.reinforce is not None)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over the epoch; Keras resets them."""
        return list(self._trackers.values())

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One optimizer step on a batch ``(x, y)``; returns the running means."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        probe = tf.zeros([self.flow.num_solves], self.compute_dtype)
        gates = self.gate_weights
        with tf.GradientTape(watch_accessed_variables=False) as gate_tape:
            gate_tape.watch([weight.value for weight in gates])
            with tf.GradientTape() as tape:
                tape.watch(probe)
                terms, out = self.terms(x, y, Control(nfe_backward_probe=probe), True)
                # the optimizer sums over replicas: the only division by their number
                replicas = tf.distribute.get_strategy().num_replicas_in_sync
                loss = tf.reduce_mean(terms["loss"]) / replicas
            others = self._extra_passes(x, y)
        known = {id(weight) for weight in gates}
        weights = [w for w in self.trainable_variables if id(w) not in known]
        *gradients, nfe_backward = tape.gradient(loss, [*weights, probe])
        gradients = self._clip(gradients, replicas)
        if not self.optimizer.built:  # for all weights, as Keras does when it loads
            self.optimizer.build(self.trainable_variables)
        self.optimizer.apply(gradients, weights)
        if self.reinforce:
            passes = [(terms["loss"], out), *others]
            self.reinforce.learn(gate_tape, gates, passes, nfe_backward)
        spent = out.nfe + sum(other.nfe for _, other in others)
        return self._update(terms, out, spent, nfe_backward)

    def _extra_passes(self, x: Tensor, y: Tensor) -> list[tuple[Tensor, FlowOutput]]:
        """Losses ``[B]`` and outputs of the forward passes that REINFORCE asks for."""
        count = self.reinforce.extra_passes if self.reinforce else 0
        passes = [self.terms(x, y, Control(), True) for _ in range(count)]
        return [(terms["loss"], out) for terms, out in passes]

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
        return self._update(terms, out, out.nfe, None)

    def _update(
        self,
        terms: dict[str, Tensor],
        out: FlowOutput,
        nfe_forward: Tensor,
        nfe_backward: Tensor | None,
    ) -> dict[str, Tensor]:
        """Updates the means; without a backward solve there is no backward count."""
        per_solve = {
            "nfe_forward": nfe_forward,
            "nfe_backward": nfe_backward,
            "log10_tol": tf.math.log(out.tolerance) / math.log(10.0),
            "log_pi": out.log_pi,
        }
        measures = dict(terms)
        for name in self._per_solve:
            value = per_solve[name]
            if value is None:
                continue
            if name in self._trackers:
                measures[name] = tf.reduce_sum(value)
            for i in range(self.flow.num_solves):
                measures[f"{name}/cnf_{i:02d}"] = value[i]
        for name, (mean, weight) in over_replicas(measures).items():
            self._trackers[name].update_state(mean, weight)
        return {name: tracker.result() for name, tracker in self._trackers.items()}
