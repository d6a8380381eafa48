"""REINFORCE for the gates (InfoCNF Eq. 6 and 7).

The paper minimises over the flow and the gates, both called theta there, ::

    J = E_{x,y} E_g [ L - alpha/N sum_i R_i(g) ],    R_i = -NFE_i,                (6)

so J = E[L + alpha/N sum_i NFE_i]: evaluations cost, as they should. Gate i draws
g_i ~ pi_i(. | x_i), and x_i depends on g_1 .. g_{i-1} alone. Hence ::

    grad J = E[grad L] + E[ sum_i grad log pi_i(g_i) c_i ],
    c_i = L + alpha/N sum_{j >= i} NFE_j,

where NFE_j with j < i fell out because g_i comes later. Eq. 7 has -sum_i grad log
pi_i r_i with r_i = -[L - alpha/N sum_{j>=i} R_j], which is -c_i: the same, with the
"cumulative future reward" r_i. We descend, so a gate becomes less likely to repeat
what cost more than usual.

Subtracting from c_i a baseline that does not depend on g_i leaves the mean as it is,
because E[grad log pi] = 0, and takes variance away.

**The gap.** L is what the solver makes of the losses l at the tolerances g, and its
error may make it smaller than L0, the loss at a tight tolerance: a gate that minimises
J earns by being wrong. With the weight w, J has the gap as a cost too, ::

    J = E[ L + w G + alpha/N sum_i NFE_i ],    G = mean_x |l(x; g) - l(x; tight)|,

and c_i gets w G. As G >= L0 - L, no error pays if w >= 1. G is measured in a part 1/k
of the steps, drawn at random, and counts k times there: its mean, and with it that of
the gradient, is that of a measure in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfcnf.checks import check_choice, check_positive_integer
from tfcnf.precision import FullPrecision
from tfcnf.seeds import fold_in, replica_seed, shared_seed, uniform
from tfcnf.tolerances.policy import check_tolerance
from tfcnf.types import FlowOutput, Tensor

BASELINES = ("running", "leave_one_out", "none")
EVALUATIONS = ("forward", "both")


def costs_to_go(loss: Tensor, nfe: Tensor, price: float) -> Tensor:
    """c_i, the loss and the price of the evaluations from each gate on.

    Args:
        loss: L, ``[K]`` for K samples of all gates' tolerances.
        nfe: evaluations of each solve, ``[K, N]``.
        price: of an evaluation, the paper's alpha.

    Returns:
        ``[K, N]``.
    """
    to_go = tf.cumsum(nfe, axis=-1, reverse=True)
    return loss[:, None] + price / nfe.shape[-1] * to_go


Gate = tuple[int, Sequence[keras.Variable]]  # its solve, from 0, and its weights


class Decision(NamedTuple):
    """The tolerances of a step, and how likely they were.

    Attributes:
        tolerance: of K samples for N solves, ``[K, N]``.
        log_pi: their log-densities, ``[K, N]``.
        scores: for each sample, the gradient of log pi_i in each weight of gate i, one
            gate after the other.
    """

    tolerance: Tensor
    log_pi: Tensor
    scores: list[list[Tensor]]


def decide(
    tape: tf.GradientTape, gates: Sequence[Gate], outputs: Sequence[FlowOutput]
) -> Decision:
    """The decision of the K forward passes of a step.

    Args:
        tape: a persistent one that has watched the gates' weights in every pass.
        gates: each gate's solve and trainable variables.
        outputs: the output of the flow in each pass.
    """

    def score(out: FlowOutput, i: int, weights: Sequence[keras.Variable]) -> Any:
        alone = tf.one_hot(i, out.log_pi.shape[0], dtype=out.log_pi.dtype)
        none = tf.UnconnectedGradients.ZERO
        return tape.gradient(out.log_pi, [w.value for w in weights], alone, none)

    return Decision(
        tf.stack([out.tolerance for out in outputs]),
        tf.stack([out.log_pi for out in outputs]),
        [[g for gate in gates for g in score(out, *gate)] for out in outputs],
    )


@keras.saving.register_keras_serializable("tfcnf")
class Reinforce(FullPrecision):
    """The gates' objective, baseline and optimizer.

    Args:
        price: of an evaluation, in units of the loss (the paper's alpha).
        nfe: evaluations that have a price: ``"forward"``, or ``"both"`` for those of
            the gradient too. How a tolerance changes the gradients' solves of the
            layers before its own is then left out of c_i; it acts through the
            adjoint state alone.
        baseline: ``"running"``, the mean of the former steps' c_i with exponential
            weights; ``"leave_one_out"``, the c_i of a second forward pass of the same
            batch with other tolerances, which takes out what differs between batches
            but costs its evaluations; or ``"none"``.
        decay: weight of the past in the running mean, a step.
        entropy: weight of the policies' entropy, which is subtracted from J.
        learning_rate: of Adam for the gates' weights.
        gap: weight w of the distance between the losses at the gates' tolerances and at
            ``gap_tol``, in units of the loss; 0 measures none. From 1 on no gate earns
            by the solver's error.
        gap_tol: the tight tolerance.
        gap_every: k; one step in k, drawn at random, measures the gap, by two forward
            passes, of which one is tight.
        seed: integer seed of the steps that measure it.

    Raises:
        ValueError: for an unknown choice or a number out of range.
    """

    def __init__(
        self,
        price: float = 0.1,
        nfe: str = "forward",
        *,
        baseline: str = "running",
        decay: float = 0.9,
        entropy: float = 0.0,
        learning_rate: float = 1e-2,
        gap: float = 0.0,
        gap_tol: float = 1e-5,
        gap_every: int = 10,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, choice, known in [
            ("nfe", nfe, EVALUATIONS),
            ("baseline", baseline, BASELINES),
        ]:
            check_choice(name, choice, known)
        if baseline == "leave_one_out" and nfe == "both":
            raise ValueError(
                "the second pass of baseline='leave_one_out' has no gradient; nfe must "
                f"be 'forward'. Received: nfe={nfe!r}"
            )
        for name, value, most in [
            ("price", price, float("inf")),
            ("decay", decay, 1),
            ("entropy", entropy, float("inf")),
            ("gap", gap, float("inf")),
        ]:
            if not 0 <= value < most:
                raise ValueError(
                    f"{name} must be at least 0 and less than {most}. "
                    f"Received: {name}={value}"
                )
        if not learning_rate > 0:
            raise ValueError(
                "learning_rate must be positive. "
                f"Received: learning_rate={learning_rate}"
            )
        self.price, self.nfe, self.baseline = price, nfe, baseline
        self.decay, self.entropy, self.learning_rate = decay, entropy, learning_rate
        check_positive_integer("gap_every", gap_every)
        self.gap, self.gap_tol = gap, check_tolerance("gap_tol", gap_tol)
        self.gap_every, self.seed = gap_every, seed
        self.seed_generator = keras.random.SeedGenerator(seed) if gap else None
        self.optimizer = keras.optimizers.Adam(learning_rate)

    @property
    def extra_passes(self) -> int:
        """Forward passes a step needs besides the one that trains the flow."""
        return int(self.baseline == "leave_one_out")

    def prepare(self, weights: Sequence[keras.Variable], num_solves: int) -> None:
        """Creates what is remembered from step to step.

        Args:
            weights: trainable variables of the gates.
            num_solves: N.
        """
        self.optimizer.build(weights)
        # weights of this layer too, so that checkpoints and .keras files hold them
        self.optimizer_state = list(self.optimizer.variables)

        def remember(name: str, shape: tuple[int, ...]) -> keras.Variable:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
            )

        self.past_costs = remember("past_costs", (num_solves,))
        self.past_weight = remember("past_weight", ())
        self.built = True

    def charge_gap(self, loss: Tensor, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """The losses ``[K]`` of the forward passes, and w G of each.

        The estimate of w G has no bias; it is 0 in most steps.

        Args:
            loss: mean loss of each pass.
            measure: from a seed ``[2]`` of this replica's noise to G, ``[K]``.
        """
        if self.seed_generator is None:
            return loss
        seed = shared_seed(self.seed_generator)
        is_due = uniform([], fold_in(seed, 1)) * self.gap_every < 1
        weight = self.gap * self.gap_every
        return loss + tf.cond(
            is_due,
            lambda: weight * measure(replica_seed(fold_in(seed, 2))),
            lambda: tf.zeros_like(loss),
        )

    def learn(
        self,
        decision: Decision,
        gates: Sequence[Gate],
        *,
        loss: Tensor,
        nfe: Tensor,
        nfe_backward: Tensor,
    ) -> None:
        """One step of the gates, with the losses and counts of the whole batch.

        Args:
            decision: the tolerances of the step, and how log pi came from the weights.
            gates: each gate's solve and trainable variables.
            loss: mean loss of this replica's examples in each forward pass, with the
                cost of its gap, ``[K]``.
            nfe: evaluations of each solve in each forward pass, ``[K, N]``.
            nfe_backward: evaluations of the first pass's gradient, ``[N]``.
        """
        if self.nfe == "both":
            nfe += nfe_backward
        advantages = self.advantages(
            _mean_over_replicas(loss), _mean_over_replicas(nfe), decision.log_pi
        )
        # log pi is the same on every replica, and the optimizer sums over them
        passes, replicas = len(decision.scores), _replicas()
        share = advantages / (passes * replicas)
        owners = [i for i, weights in gates for _ in weights]
        gradients = [
            tf.add_n([share[k, i] * score for k, score in enumerate(scores)])
            for i, *scores in zip(owners, *decision.scores, strict=True)
        ]
        self.optimizer.apply(gradients, [w for _, weights in gates for w in weights])

    def advantages(self, loss: Tensor, nfe: Tensor, log_pi: Tensor) -> Tensor:
        """c_i minus its baseline, ``[K, N]``; updates the running baseline.

        The entropy H_i of a policy enters as a cost: with H_i = -E[log pi_i], the
        gradient of ``-entropy * H_i`` is ``entropy * E[grad log pi_i log pi_i]``.
        """
        costs = costs_to_go(loss, nfe, self.price) + self.entropy * log_pi
        costs = tf.stop_gradient(costs)
        samples = costs.shape[0]
        if self.baseline == "none":
            return costs
        if self.baseline == "leave_one_out":
            others = tf.reduce_sum(costs, 0) - costs
            return costs - others / (samples - 1)
        weight = tf.convert_to_tensor(self.past_weight)
        past = tf.convert_to_tensor(self.past_costs)
        new = tf.reduce_mean(costs, 0)
        self.past_costs.assign(self.decay * past + (1 - self.decay) * new)
        self.past_weight.assign(self.decay * weight + (1 - self.decay))
        # without a past there is nothing to compare with, and nothing is learned
        return tf.where(weight > 0, costs - past / weight, tf.zeros_like(costs))

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "price": self.price,
            "nfe": self.nfe,
            "baseline": self.baseline,
            "decay": self.decay,
            "entropy": self.entropy,
            "learning_rate": self.learning_rate,
            "gap": self.gap,
            "gap_tol": self.gap_tol,
            "gap_every": self.gap_every,
            "seed": self.seed,
        }


def _mean_over_replicas(value: Tensor) -> Tensor:
    """The mean over all replicas of a value of each."""
    if _replicas() == 1:
        return value
    context = tf.distribute.get_replica_context()
    if context is None:  # outside of ``strategy.run`` there is one value
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def _replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync
