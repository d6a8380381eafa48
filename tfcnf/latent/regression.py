"""Supervised codes for labels that are numbers: linear q_phi and q_theta.

The counterparts of `tfcnf.latent.conditional` and `tfcnf.latent.predictor` for labels
with a Gaussian (a parameter of a curve) or a Bernoulli distribution (its direction).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.checks import check_choice
from tfcnf.labels.linear import ZeroLinear
from tfcnf.latent.partition import Partition
from tfcnf.types import Tensor

tfd = tfp.distributions
KINDS = ("gaussian", "bernoulli")
MAPS = ("linear", "identity")


class LinearPrior(keras.layers.Layer):
    """p(z | y) = prod_i N(z_yi; mu(y_i), sigma(y_i)^2) N(z_u; 0, I).

    ``[mu, log sigma] = q_phi(y_i)`` is linear in the label and zero at the start
    (InfoCNF App. E.2). Without supervised codes it is N(0, I).

    Args:
        partition: sizes of the codes, one for each label.
    """

    def __init__(self, partition: Partition, **kwargs: Any):
        super().__init__(**kwargs)
        self.partition, self.q_phi = partition, []
        for i, size in enumerate(partition.supervised):
            self.q_phi.append(ZeroLinear(2 * size, name=f"q_phi_{i}", dtype=self.dtype))
            self.q_phi[-1].build((None, 1))
        self.built = True

    def distribution(self, y: Tensor) -> tfp.distributions.MultivariateNormalDiag:
        """p(z | y) for standardised labels ``[B, L]``: batch ``[B]``, event z."""
        zeros = tf.zeros([tf.shape(y)[0], self.partition.unsupervised], y.dtype)
        means, log_scales = [], []
        for i, q_phi in enumerate(self.q_phi):
            mean, log_scale = tf.split(q_phi(y[:, i : i + 1]), 2, -1)
            means.append(mean)
            log_scales.append(log_scale)
        return tfd.MultivariateNormalDiag(
            self.partition.merge(means, zeros),
            tf.exp(self.partition.merge(log_scales, zeros)),
        )


class LabelPredictor(keras.layers.Layer):
    """q_theta: each label from its own code, or from the whole z, linear.

    A linear q_theta can lose its code: where reconstruction makes something else of it
    first, the best weight is 0, and then the labels' terms no longer reach the code.
    The identity cannot. It compares the first dimension of a code with the
    standardised label directly, N(y; z_yi, 1) or a Bernoulli with that logit, as the
    authors' code for spirals does.

    Args:
        partition: sizes of the codes. Without supervised codes every label is read
            from the whole z: the same supervision without a partition.
        kinds: ``"gaussian"`` or ``"bernoulli"`` for each label.
        label_map: ``"linear"`` or ``"identity"``; from the whole z always linear.

    Raises:
        ValueError: for an unknown kind or map.
    """

    def __init__(
        self,
        partition: Partition,
        kinds: Sequence[str],
        label_map: str = "linear",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_choice("label_map", label_map, MAPS)
        if not all(kind in KINDS for kind in kinds):
            raise ValueError(
                f"label_kinds must be of {', '.join(KINDS)}. "
                f"Received: label_kinds={tuple(kinds)}"
            )
        self.partition, self.kinds, self.q_theta = partition, tuple(kinds), []
        sizes = partition.supervised or (partition.unsupervised,) * len(kinds)
        self.is_identity = label_map == "identity" and bool(partition.supervised)
        if self.is_identity:
            self.built = True
            return
        for i, (kind, size) in enumerate(zip(kinds, sizes, strict=True)):
            units = 2 if kind == "gaussian" else 1
            layer = ZeroLinear(units, name=f"q_theta_{i}", dtype=self.dtype)
            layer.build((None, size))
            self.q_theta.append(layer)
        self.built = True

    def distributions(self, z: Tensor) -> list[tfp.distributions.Distribution]:
        """p(y_i | z) of each standardised label, batch ``[B]``."""
        made = []
        for kind, (location, log_scale) in zip(
            self.kinds, self._outputs(z), strict=True
        ):
            if kind == "gaussian":
                made.append(tfd.Normal(location, tf.exp(log_scale)))
            else:
                made.append(tfd.Bernoulli(logits=location, dtype=location.dtype))
        return made

    def _outputs(self, z: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Location (or logit) and log-scale for each label, ``[B]``."""
        codes, _ = self.partition.split(z)
        if self.is_identity:
            return [(code[:, 0], tf.zeros_like(code[:, 0])) for code in codes]
        codes = codes or [z] * len(self.kinds)
        outs = [q(code) for q, code in zip(self.q_theta, codes, strict=True)]
        return [(out[:, 0], out[:, -1]) for out in outs]

    def negative_log_probs(self, z: Tensor, y: Tensor) -> list[Tensor]:
        """-log p(y_i | z) of each standardised label, ``[B]`` nats."""
        made = self.distributions(z)
        return [-dist.log_prob(y[:, i]) for i, dist in enumerate(made)]

    def means(self, z: Tensor) -> Tensor:
        """Means of the standardised labels, ``[B, L]``; probabilities for Bernoulli."""
        return tf.stack([dist.mean() for dist in self.distributions(z)], 1)
