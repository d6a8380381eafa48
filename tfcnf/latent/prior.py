"""The prior of the code: a Gaussian given y_i on each z_yi, N(0, I) on z_u."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.labels.base import Label, split_values
from tfcnf.labels.categorical import Categorical
from tfcnf.latent.code import CodeGaussian, CodeMarginal
from tfcnf.latent.partition import Partition
from tfcnf.precision import FullPrecision
from tfcnf.seeds import fold_in, normal
from tfcnf.types import Tensor

tfd = tfp.distributions


class CodePrior(FullPrecision):
    """p(z | y) = prod_i N(z_yi; mu(y_i), sigma(y_i)^2) N(z_u; 0, I).

    The factors are those of the labels (InfoCNF Eq. 3, section 4.1). Without
    supervised codes it is N(0, I), whatever the labels.

    Args:
        partition: sizes of the codes.
        labels: one for each supervised code.
        seed: integer seed of the initial weights of networks q_phi.
    """

    def __init__(
        self,
        partition: Partition,
        labels: Sequence[Label],
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.partition = partition
        self.labels = list(labels) if partition.supervised else []
        for label, dims in zip(self.labels, partition.supervised, strict=True):
            label.build_prior(dims, seed)
        self.built = True

    @property
    def has_marginal(self) -> bool:
        """True where all labels can be marginalised."""
        return all(label.can_hide for label in self.labels)

    def unsupervised(self) -> tfp.distributions.Distribution:
        """N(0, I) for z_u."""
        zeros = tf.zeros([self.partition.unsupervised], self.compute_dtype)
        return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)

    def class_log_probs(self, z: Tensor) -> list[Tensor]:
        """log p(z_yi | y_i) for every class, ``[B, K]`` nats, of labels of classes."""
        codes, _ = self.partition.split(z)
        return [
            label.support_log_probs(code)
            for label, code in zip(self.labels, codes, strict=True)
            if isinstance(label, Categorical)
        ]

    def log_prob(self, z: Tensor, y: Tensor) -> Tensor:
        """log p(z | y), ``[B]`` nats; labels that are hidden are marginalised.

        Args:
            z: codes ``[B, D]``.
            y: values of the labels ``[B, columns]``; not looked at without supervised
                codes.
        """
        codes, rest = self.partition.split(z)
        total = self.unsupervised().log_prob(rest)
        values = split_values(self.labels, y)
        for label, code, value in zip(self.labels, codes, values, strict=True):
            total += label.log_prob(code, value)
        return total

    def marginal_log_prob(self, z: Tensor) -> Tensor:
        """log p(z) with the labels marginalised, ``[B]`` nats (App. G).

        Raises:
            ValueError: for a label whose distribution is not stated.
        """
        codes, rest = self.partition.split(z)
        total = self.unsupervised().log_prob(rest)
        for label, code in zip(self.labels, codes, strict=True):
            total += label.marginal_log_prob(code)
        return total

    def distribution(self, y: Tensor) -> CodeGaussian:
        """p(z | y) of the whole code: batch ``[B]``, event z.

        Args:
            y: values of the labels ``[B, columns]``.
        """
        zeros = tf.zeros(
            [tf.shape(y)[0], self.partition.unsupervised], self.compute_dtype
        )
        values = split_values(self.labels, y)
        parts = [
            label.prior(value) for label, value in zip(self.labels, values, strict=True)
        ]
        return CodeGaussian(
            self.partition.merge([part.loc for part in parts], zeros),
            self.partition.merge([part.scale.diag for part in parts], zeros + 1.0),
        )

    def marginal(self) -> CodeMarginal:
        """p(z) of the whole code, labels marginalised: batch ``[]``, event z.

        Raises:
            ValueError: for a label whose distribution is not stated.
        """
        for label in self.labels:
            label.support()
        return CodeMarginal(
            self.partition.dims,
            self.draw_labels,
            log_density=self.marginal_log_prob,
            place=lambda noise, y: self.place(noise, y, 1.0),
            dtype=self.compute_dtype,
        )

    def draw_labels(self, count: Tensor, seed: Tensor) -> Tensor:
        """Values of the labels from their distributions, ``[count, columns]``."""
        drawn = [
            label.sample(count, seed if i == 0 else fold_in(seed, i))
            for i, label in enumerate(self.labels)
        ]
        whole = all(label.integer for label in self.labels)
        dtype = tf.int32 if whole else self.compute_dtype
        return tf.concat(
            [tf.zeros([count, 0], dtype), *(tf.cast(y, dtype) for y in drawn)], 1
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
            y: values of the labels ``[B, columns]``.
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
            noise: standard normal numbers.
            y: values of the labels ``[B, columns]``.
            temperature: factor on the deviations, a scalar or ``[B, 1]``.
        """
        chosen = self.distribution(y)
        return chosen.loc + temperature * chosen.scale.diag * noise
