"""The prior of the code: a Gaussian per class on each z_yi, N(0, I) on z_u."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.data.source import HIDDEN
from tfcnf.labels.linear import ZeroLinear
from tfcnf.latent.code import CodeGaussian, CodeMarginal
from tfcnf.latent.partition import Partition
from tfcnf.seeds import normal
from tfcnf.types import Tensor

tfd = tfp.distributions


class ConditionalPrior(keras.layers.Layer):
    """p(z | y) = prod_i N(z_yi; mu(y_i), sigma(y_i)^2) N(z_u; 0, I).

    ``[mu, log sigma] = q_phi(y)`` is linear in the one-hot label and zero at the
    start (InfoCNF Eq. 3, section 4.1). Classes are equally probable a priori, so
    the marginal of each z_yi is a uniform mixture of the class Gaussians.

    Args:
        partition: sizes of the codes.
        num_classes: classes K_i of each label factor.
    """

    def __init__(
        self, partition: Partition, num_classes: tuple[int, ...], **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.partition = partition
        self.num_classes = num_classes if partition.supervised else ()
        self.q_phi = []
        for i, size in enumerate(partition.supervised):
            self.q_phi.append(ZeroLinear(2 * size, name=f"q_phi_{i}", dtype=self.dtype))
            self.q_phi[-1].build((None, num_classes[i]))
        self.built = True

    def component(
        self, factor: int, y: Tensor
    ) -> tfp.distributions.MultivariateNormalDiag:
        """p(z_yi | y_i) for integer labels ``[B]``: batch ``[B]``, event z_yi."""
        labels = tf.one_hot(y, self.num_classes[factor], dtype=self.compute_dtype)
        mean, log_scale = tf.split(self.q_phi[factor](labels), 2, -1)
        return tfd.MultivariateNormalDiag(mean, tf.exp(log_scale))

    def components(self, factor: int) -> tfp.distributions.MultivariateNormalDiag:
        """p(z_yi | y_i) for every class: batch ``[K]``."""
        return self.component(factor, tf.range(self.num_classes[factor]))

    def mixture(self, factor: int) -> tfp.distributions.MixtureSameFamily:
        """The marginal distribution of z_yi."""
        classes = self.num_classes[factor]
        weights = tfd.Categorical(logits=tf.zeros([classes], self.compute_dtype))
        return tfd.MixtureSameFamily(weights, self.components(factor))

    def unsupervised(self) -> tfp.distributions.Distribution:
        """N(0, I) for z_u."""
        zeros = tf.zeros([self.partition.unsupervised], self.compute_dtype)
        return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)

    def class_log_probs(self, z: Tensor) -> list[Tensor]:
        """log p(z_yi | y_i = k) for every class: one ``[B, K_i]`` a factor, nats."""
        codes, _ = self.partition.split(z)
        return [
            self.components(i).log_prob(code[:, None, :])
            for i, code in enumerate(codes)
        ]

    def log_prob(self, z: Tensor, y: Tensor) -> Tensor:
        """log p(z | y), ``[B]`` nats; labels that are hidden are marginalised.

        Args:
            z: codes ``[B, D]``.
            y: integer labels ``[B, L]``, `tfcnf.data.source.HIDDEN` where not known;
                not looked at without supervised codes.
        """
        codes, rest = self.partition.split(z)
        total = self.unsupervised().log_prob(rest)
        for i, code in enumerate(codes):
            total += self._factor_log_prob(i, code, y[:, i])
        return total

    def _factor_log_prob(self, factor: int, code: Tensor, y: Tensor) -> Tensor:
        """log p(z_yi | y_i), or log p(z_yi) for hidden labels, ``[B]`` nats."""
        known = self.component(factor, y).log_prob(code)
        hidden = tf.equal(y, HIDDEN)
        return tf.cond(
            tf.reduce_any(hidden),
            lambda: tf.where(hidden, self.mixture(factor).log_prob(code), known),
            lambda: known,
        )

    def marginal_log_prob(self, z: Tensor) -> Tensor:
        """log p(z), labels marginalised by the mixture, ``[B]`` nats (App. G)."""
        codes, rest = self.partition.split(z)
        total = self.unsupervised().log_prob(rest)
        for i, code in enumerate(codes):
            total += self.mixture(i).log_prob(code)
        return total

    def distribution(self, y: Tensor) -> CodeGaussian:
        """p(z | y) of the whole code: batch ``[B]``, event z.

        Args:
            y: integer labels ``[B, L]``.
        """
        zeros = tf.zeros(
            [tf.shape(y)[0], self.partition.unsupervised], self.compute_dtype
        )
        parts = [self.component(i, y[:, i]) for i in range(len(self.num_classes))]
        return CodeGaussian(
            self.partition.merge([part.loc for part in parts], zeros),
            self.partition.merge([part.scale.diag for part in parts], zeros + 1.0),
        )

    def marginal(self) -> CodeMarginal:
        """p(z) of the whole code, labels marginalised: batch ``[]``, event z."""
        return CodeMarginal(
            self.partition.dims,
            self.num_classes,
            self.marginal_log_prob,
            lambda noise, y: self.place(noise, y, 1.0),
            self.compute_dtype,
        )

    def sample(
        self,
        y: Tensor,
        seed: Tensor,
        temperature: float = 1.0,
        first: Tensor = None,
    ) -> Tensor:
        """Codes ``[B, D]`` from p(z | y), deviations scaled by the temperature.

        Args:
            y: integer labels ``[B, L]``.
            seed: ``[2]`` integers.
            temperature: 1 samples the model; 0 gives the means.
            first: see `tfcnf.seeds.uniform`.
        """
        shape = [tf.shape(y)[0], self.partition.dims]
        noise = normal(shape, seed, self.compute_dtype, first)
        return self.place(noise, y, temperature)

    def place(self, noise: Tensor, y: Tensor, temperature: Tensor) -> Tensor:
        """Codes ``[B, D]`` of p(z | y) from standard normal noise ``[B, D]``.

        Args:
            noise: what is scaled and moved.
            y: integer labels ``[B, L]``.
            temperature: factor on the deviations, a scalar or ``[B, 1]``.
        """
        chosen = self.distribution(y)
        return chosen.loc + temperature * chosen.scale.diag * noise
