"""The training and test steps that every flow model shares."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfcnf.models.finite import require_finite_gradient, require_finite_loss
from tfcnf.models.inputs import check_weights
from tfcnf.models.measured import HONESTY, MeasuredModel
from tfcnf.models.metrics import sum_over_replicas
from tfcnf.precision import inner_optimizer
from tfcnf.seeds import replica_seed
from tfcnf.tolerances.reinforce import Decision, Gate, Reinforce, decide
from tfcnf.types import Control, FlowOutput, Tensor, Weighted


class Part(NamedTuple):
    """Gradients and measures of a batch, or of a part of it.

    Attributes:
        gradients: of the mean loss, over the replicas' number, in `flow_weights`; times
            the scale of a `keras.optimizers.LossScaleOptimizer`.
        loss: mean loss of each of K forward passes, with what REINFORCE charges for
            its gap, ``[K]``.
        nfe: evaluations of each solve in each pass, ``[K, N]``.
        nfe_backward: evaluations of the gradient's solves, ``[N]``.
    """

    gradients: list[Tensor]
    loss: Tensor
    nfe: Tensor
    nfe_backward: Tensor


class FlowModel(MeasuredModel):
    """A Keras model whose steps read `FlowOutput`.

    The same `train_step` serves ``model.fit`` and the package's own loop,
    ``strategy.run(model.train_step, ...)``, on any number of replicas.

    A subclass sets ``self.flow`` and ``self.is_supervised``, calls
    `_learn_tolerances` if its flow may have gates, and `_track_metrics`, and defines
    `terms`.
    """

    _is_even = False

    @contextmanager
    def even_batches(self) -> Iterator[None]:
        """Says of steps traced in the block that replicas have equally many examples.

        They need not tell each other how many those are.
        """
        self._is_even = True
        try:
            yield
        finally:
            self._is_even = False

    def terms(
        self, x: Tensor, y: Tensor, control: Control, training: bool
    ) -> tuple[dict[str, Tensor | Weighted], FlowOutput]:
        """Measures ``[B]`` by name, ``"loss"`` among them, and the flow's output.

        A measure that not all examples have is `Weighted`.
        """
        raise NotImplementedError

    def _learn_tolerances(
        self, options: Mapping[str, Any] | None, seed: int | None
    ) -> None:
        """Sets up REINFORCE, with these keywords, where the flow has gates."""
        weights = self.gate_weights
        if weights:
            given = {"seed": seed, "dtype": self.dtype_policy} | dict(options or {})
            self.reinforce = Reinforce(**given)
            self.reinforce.prepare(weights, self.flow.num_solves)
        elif options:
            raise ValueError(
                "reinforce has options only where tolerances are learned. "
                f"Received: reinforce={dict(options)}"
            )

    @property
    def samples_tolerances(self) -> bool:
        """True where tolerances are drawn, so that batches have their own."""
        return any(p is not None and p.samples for p, _ in self.flow.policies)

    @property
    def gates(self) -> list[Gate]:
        """The learned tolerances: solve and trainable variables."""
        return [
            (i, policy.learned_weights)
            for i, (policy, _) in enumerate(self.flow.policies)
            if policy is not None and policy.learned_weights
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

    def export(self, filepath: Any, *args: Any, **options: Any) -> None:
        """Refuses Keras' own export, whose graph would answer no question.

        Raises:
            ValueError: always, with the way to export a model.
        """
        raise ValueError(
            "the run of a flow is exported by launch/export.py "
            "(tfcnf.serving.export), with functions such as log_prob and sample; other "
            f"models are saved by model.save. Received: filepath={str(filepath)!r}"
        )

    def set_epoch(self, epoch: int) -> None:
        """Tells scheduled tolerances the epoch, counted from 0."""
        for policy in itertools.chain(*self.flow.policies):
            if policy is not None:
                policy.begin_epoch(epoch)

    def hear_honesty(self, honesty: float) -> None:
        """Tells the metric, and the tolerances that adapt, a measure of honesty."""
        self._trackers[HONESTY].update_state(honesty)
        for policy in itertools.chain(*self.flow.policies):
            if policy is not None:
                policy.hear(honesty)

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One optimizer step on a batch; returns the running means.

        The loss is a mean over the examples, with ``sample_weight`` the weighted one,
        plus the regularisers' and layers' own losses.

        Args:
            data: ``(x, y)`` or ``(x, y, sample_weight)``.
        """
        part, decision = self.differentiate(data)
        # a step that fails leaves everything as it was, the count of steps too
        with tf.control_dependencies(part.gradients):
            self.apply(part, decision)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def differentiate(
        self, data: Any, drawn: Tensor | None = None, total: Tensor | None = None
    ) -> tuple[Part, Decision]:
        """Gradients and measures of a batch, or of a part of it.

        Args:
            data: ``(x, y)`` or ``(x, y, sample_weight)``.
            drawn: the tolerances ``[K, N]`` that policies gave for the first part of
                the batch; None for the first part, or the whole.
            total: see `total_of`, where ``data`` is a part of a batch the whole's over
                the number of parts; found if None.
        """
        x, y, weights = self._unpack(data)
        total = self.total_of(data) if total is None else total
        probe = tf.zeros([self.flow.num_solves], self.compute_dtype)
        chosen = [None] * self.num_passes if drawn is None else tf.unstack(drawn)
        with tf.GradientTape(
            persistent=True, watch_accessed_variables=False
        ) as gate_tape:
            gate_tape.watch([weight.value for weight in self.gate_weights])
            with tf.GradientTape() as tape:
                tape.watch(probe)
                control = Control(nfe_backward_probe=probe, drawn_tol=chosen[0])
                terms, out = self._measure(x, y, control, True)
                # the optimizer sums over replicas: the only division by their number
                replicas = tf.distribute.get_strategy().num_replicas_in_sync
                first = _mean_loss(terms, weights, total)
                loss = first / replicas
            others = [
                self._measure(x, y, Control(drawn_tol=tol), True) for tol in chosen[1:]
            ]
        rest = [_mean_loss(other, weights, total) for other, _ in others]
        mean = tf.stack([first, *rest])
        scale = self._loss_scale
        # XLA has no assertions
        checks = [] if self._is_compiled else [require_finite_loss(mean)]
        with tf.control_dependencies(checks):
            one = tf.ones_like(loss) if scale is None else tf.identity(scale)
        trained = self.flow_weights
        *gradients, nfe_backward = tape.gradient(
            loss,
            [*(w.value for w in trained), probe],
            one,
            tf.UnconnectedGradients.ZERO,
        )
        checks = [] if self._is_compiled else [self.require_finite(gradients)]
        with tf.control_dependencies(checks):
            gradients, terms = tf.nest.map_structure(tf.identity, (gradients, terms))
        outputs = [out, *(other for _, other in others)]
        nfe = tf.stack([output.nfe for output in outputs])
        self._update(
            terms,
            weights,
            # what was drawn for the first part has been measured with it
            out=out if drawn is None else out._replace(log_pi=None),
            nfe_forward=tf.reduce_sum(nfe, 0),
            nfe_backward=nfe_backward,
        )
        decision = decide(gate_tape, self.gates, outputs)
        if self.reinforce:
            tight_tol = self.reinforce.gap_tol

            def gaps(seed: Tensor) -> Tensor:
                tight = self._loss_at(x, y, tight_tol, seed)
                apart = [
                    {"loss": tf.abs(self._loss_at(x, y, o.tolerance, seed) - tight)}
                    for o in outputs
                ]
                return tf.stack([_mean_loss(gap, weights, total) for gap in apart])

            mean = self.reinforce.charge_gap(mean, gaps)
        return Part(gradients, mean, nfe, nfe_backward), decision

    def _loss_at(self, x: Any, y: Any, tol: Any, seed: Tensor) -> Tensor:
        """The loss of each example, ``[B]``, at a tolerance and with this noise."""
        control = Control(tol=tf.cast(tol, self.compute_dtype), seed=seed)
        return self._measure(x, y, control, False)[0]["loss"]

    def apply(self, part: Part, decision: Decision) -> None:
        """The step of the gates, and the optimizer's."""
        if not self.optimizer.built:  # for all weights, as Keras does when it loads
            self.optimizer.build(self.trainable_variables)
        if self.reinforce:
            self.reinforce.learn(
                decision,
                self.gates,
                loss=part.loss,
                nfe=part.nfe,
                nfe_backward=part.nfe_backward,
            )
        # last: it averages all weights, those of the gates too
        self.optimizer.apply(self._clip(part.gradients), self.flow_weights)

    def require_finite(self, gradients: list[Tensor]) -> Any:
        """Asserts that the gradients of `flow_weights` are finite.

        Where the loss is scaled it does not: the optimizer leaves out such steps.
        """
        scaled = self._loss_scale is not None
        return require_finite_gradient([] if scaled else gradients, self.flow_weights)

    @property
    def _is_compiled(self) -> bool:
        """True where XLA compiles the training step."""
        return bool(getattr(self, "optimizer", None)) and self.jit_compile

    @property
    def _loss_scale(self) -> Tensor | None:
        """Factor of the loss that a `LossScaleOptimizer` has, or None."""
        optimizer = getattr(self, "optimizer", None)  # before compile there is none
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return None
        return optimizer.scale_loss(tf.ones([], self.compute_dtype))

    @property
    def num_passes(self) -> int:
        """Forward passes of a step, K: one, and those that REINFORCE asks for."""
        return 1 + (self.reinforce.extra_passes if self.reinforce else 0)

    def _clip(self, gradients: list[Tensor]) -> list[Tensor]:
        """Clips the gradient of the whole batch; alone, each replica clips its own.

        On one replica that is left to the optimizer.
        """
        if not gradients:
            return gradients
        scale, optimizer = self._loss_scale, inner_optimizer(self.optimizer)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        whole = gradients if scale is None else [g / scale for g in gradients]
        norm = tf.cast(tf.linalg.global_norm(whole), tf.float32)
        # else the optimizer leaves the step out
        finite = True if scale is None else self.optimizer.check_finite(gradients)
        self._trackers["gradient_norm"].update_state(
            tf.where(finite, norm, 0.0), tf.cast(finite, tf.float32)
        )
        if replicas == 1:
            return gradients
        clipped = optimizer._clip_gradients(whole)
        if scale is not None:  # it is to see what is not finite
            pairs = zip(clipped, gradients, strict=True)
            clipped = [tf.where(finite, c * scale, g) for c, g in pairs]
        return [gradient / replicas for gradient in clipped]

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """The same measures without an update and without backward solves.

        The noise is fixed by the number of batches since the metrics were reset, and
        the training's seeds are left alone: an evaluation repeats exactly.
        """
        x, y, weights = self._unpack(data)
        batches = self._trackers["nfe_forward"].count
        seed = tf.stack([0, tf.cast(tf.convert_to_tensor(batches), tf.int32)])
        terms, out = self._measure(x, y, Control(seed=replica_seed(seed)), False)
        terms = {k: v for k, v in terms.items() if k not in self.training_measures}
        self._update(terms, weights, out=out, nfe_forward=out.nfe, nfe_backward=None)
        return {
            name: tracker.result()
            for name, tracker in self._trackers.items()
            if name not in self.training_measures
        }

    def total_of(self, data: Any) -> Tensor | None:
        """The sum of the weights of a batch's examples on all replicas.

        An example without a weight counts 1; None where that is so on one replica.
        """
        x, _, weights = self._unpack(data)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if weights is not None:
            return sum_over_replicas(tf.reduce_sum(weights))
        if replicas == 1:
            return None
        count = tf.cast(tf.shape(tf.nest.flatten(x)[0])[0], self.compute_dtype)
        return count * replicas if self._is_even else sum_over_replicas(count)

    def _unpack(self, data: Any) -> tuple[Any, Any, Tensor | None]:
        """Examples, labels and weights ``[B]`` of a batch; None where not given."""
        if hasattr(data, "_fields"):  # one input that is a record, not (x, y)
            return data, None, None
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            weights = check_weights(weights, self.compute_dtype)
        return x, y, weights

    def _measure(
        self, x: Any, y: Any, control: Control, training: bool
    ) -> tuple[dict[str, Tensor | Weighted], FlowOutput]:
        """The terms, with the layers' own losses as a scalar ``"penalty"`` if any."""
        self._clear_losses()
        terms, out = self.terms(x, y, control, training)
        penalties = self.losses
        here = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if any(getattr(value, "graph", None) is not here for value in penalties):
            raise ValueError(
                "add_loss works in flow layers, not within the dynamics of a solve; "
                f"regularise their weights instead. Received: losses={penalties}"
            )
        if penalties:
            dtype = self.compute_dtype
            terms["penalty"] = tf.add_n([tf.cast(value, dtype) for value in penalties])
        return terms, out


def _mean_loss(
    terms: dict[str, Any], weights: Tensor | None, total: Tensor | None
) -> Tensor:
    """This replica's loss, a scalar, whose mean over the replicas is the batch's.

    It is 0 and the penalty where a replica has no example.
    """
    loss = terms["loss"]
    if total is None:
        mean = tf.reduce_mean(loss)
    else:
        loss = loss if weights is None else weights * loss
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        mean = tf.math.divide_no_nan(replicas * tf.reduce_sum(loss), total)
    return mean + terms["penalty"] if "penalty" in terms else mean
