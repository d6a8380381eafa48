"""The training and test steps that every flow model shares."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfcnf.gates.policy import ScheduledTolerance
from tfcnf.gates.reinforce import Decision, Gate, Reinforce, decide
from tfcnf.gates.sampled import LearnedTolerance, RandomTolerance
from tfcnf.models.metrics import EpochMean, over_replicas
from tfcnf.types import Control, FlowOutput, Tensor


class DivergenceError(RuntimeError):
    """A training step whose loss or gradient is not finite."""


class Part(NamedTuple):
    """What a training step learns from a batch, or from a part of it.

    Attributes:
        gradients: of the mean loss, over the replicas' number, in `flow_weights`.
        loss: mean loss of each of K forward passes, ``[K]``.
        nfe: evaluations of each solve in each pass, ``[K, N]``.
        nfe_backward: evaluations of the gradient's solves, ``[N]``.
    """

    gradients: list[Tensor]
    loss: Tensor
    nfe: Tensor
    nfe_backward: Tensor


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
        return any(isinstance(p, RandomTolerance) for p, _ in self.flow.policies)

    @property
    def gates(self) -> list[Gate]:
        """The learned tolerances: solve and trainable variables."""
        return [
            (i, policy.trainable_variables)
            for i, (policy, _) in enumerate(self.flow.policies)
            if isinstance(policy, LearnedTolerance)
        ]

    @property
    def gate_weights(self) -> list[keras.Variable]:
        """Trainable variables of the learned tolerances."""
        return [weight for _, weights in self.gates for weight in weights]

    @property
    def flow_weights(self) -> list[keras.Variable]:
        """All other trainable variables, whose gradient is that of the loss."""
        known = {id(weight) for weight in self.gate_weights}
        return [w for w in self.trainable_variables if id(w) not in known]

    def set_epoch(self, epoch: int) -> None:
        """Tells scheduled tolerances the epoch, counted from 0."""
        for policy in itertools.chain(*self.flow.policies):
            if isinstance(policy, ScheduledTolerance):
                policy.epoch.assign(epoch)

    def _track_metrics(self) -> None:
        names = ["loss", "bits_per_dim"]
        if self.is_supervised:
            names += ["cross_entropy", "error"]
        names += ["gradient_norm", "nfe_forward", "nfe_backward"]
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
        part, decision = self.differentiate(data)
        # a step that fails leaves everything as it was, the count of steps too
        with tf.control_dependencies(part.gradients):
            self.apply(part, decision)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def differentiate(
        self, data: Any, drawn: Tensor | None = None
    ) -> tuple[Part, Decision]:
        """What a step needs to know of a batch, or of a part of it.

        Args:
            data: ``(x, y)``.
            drawn: the tolerances ``[K, N]`` that policies gave for the first part of
                the batch; None for the first part, or the whole.
        """
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        probe = tf.zeros([self.flow.num_solves], self.compute_dtype)
        chosen = [None] * self.num_passes if drawn is None else tf.unstack(drawn)
        with tf.GradientTape(
            persistent=True, watch_accessed_variables=False
        ) as gate_tape:
            gate_tape.watch([weight.value for weight in self.gate_weights])
            with tf.GradientTape() as tape:
                tape.watch(probe)
                control = Control(nfe_backward_probe=probe, drawn_tol=chosen[0])
                terms, out = self.terms(x, y, control, True)
                # the optimizer sums over replicas: the only division by their number
                replicas = tf.distribute.get_strategy().num_replicas_in_sync
                loss = tf.reduce_mean(terms["loss"]) / replicas
            others = [
                self.terms(x, y, Control(drawn_tol=tol), True) for tol in chosen[1:]
            ]
        losses = [terms["loss"], *(other["loss"] for other, _ in others)]
        mean = tf.stack([tf.reduce_mean(loss) for loss in losses])
        with tf.control_dependencies([_require_finite_loss(mean)]):
            one = tf.ones_like(loss)
        weights = self.flow_weights
        none = tf.UnconnectedGradients.ZERO
        *gradients, nfe_backward = tape.gradient(loss, [*weights, probe], one, none)
        with tf.control_dependencies([_require_finite_gradient(gradients, weights)]):
            gradients, terms = tf.nest.map_structure(tf.identity, (gradients, terms))
        outputs = [out, *(other for _, other in others)]
        nfe = tf.stack([output.nfe for output in outputs])
        self._update(terms, out, tf.reduce_sum(nfe, 0), nfe_backward)
        decision = decide(gate_tape, self.gates, outputs)
        return Part(gradients, mean, nfe, nfe_backward), decision

    def apply(self, part: Part, decision: Decision) -> None:
        """The optimizer's step, and that of the gates."""
        if not self.optimizer.built:  # for all weights, as Keras does when it loads
            self.optimizer.build(self.trainable_variables)
        self.optimizer.apply(self._clip(part.gradients), self.flow_weights)
        if self.reinforce:
            self.reinforce.learn(
                decision, self.gates, part.loss, part.nfe, part.nfe_backward
            )

    @property
    def num_passes(self) -> int:
        """Forward passes of a step, K: one, and those that REINFORCE asks for."""
        return 1 + (self.reinforce.extra_passes if self.reinforce else 0)

    def _clip(self, gradients: list[Tensor]) -> list[Tensor]:
        """Clips the gradient of the whole batch; alone, each replica clips its own.

        On one replica that is left to the optimizer.
        """
        limit = self.optimizer.global_clipnorm
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(gradients)
        self._trackers["gradient_norm"].update_state(tf.cast(norm, tf.float32), 1.0)
        if replicas == 1:
            return gradients
        if limit:
            gradients, _ = tf.clip_by_global_norm(gradients, limit, norm)
        return [gradient / replicas for gradient in gradients]

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """The same measures without an update and without backward solves."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        terms, out = self.terms(x, y, Control(), False)
        self._update(terms, out, out.nfe, None)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def _update(
        self,
        terms: dict[str, Tensor],
        out: FlowOutput,
        nfe_forward: Tensor,
        nfe_backward: Tensor | None,
    ) -> None:
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


ADVICE = "try a smaller learning rate, or gradient clipping"


def _require_finite_loss(loss: Tensor) -> Any:
    message = f"DivergenceError: the loss is not finite; {ADVICE}. Received: loss={{}}"
    finite = tf.reduce_all(tf.math.is_finite(loss))
    return tf.debugging.Assert(finite, [tf.strings.format(message, loss[0])])


def _require_finite_gradient(
    gradients: list[Tensor], weights: list[keras.Variable]
) -> Any:
    message = f"DivergenceError: the gradient is not finite; {ADVICE}. Received: "
    finite = tf.stack([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
    paths = tf.constant([weight.path for weight in weights])
    first = tf.gather(paths, tf.argmin(tf.cast(finite, tf.int32)))
    named = tf.strings.join([message, "gradient of ", first])
    return tf.debugging.Assert(tf.reduce_all(finite), [named])
