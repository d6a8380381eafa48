"""Independent baselines on images, to compare a model's results with.

They share with the flow only the data and its dequantization to
``u = (level + noise) / num_levels``; their densities of u are made of TensorFlow
Probability's parts. As in `tfcnf.flows.dequantize`, u is modelled on the scale
``logit(alpha + (1 - 2 alpha) u)``, which covers slightly more than [0, 1]: what a
density places outside of it counts against it, for the baselines as for the flow.
Labels are those of the first label factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from papers import spiral_posterior
from tfcnf import losses
from tfcnf.data.pipeline import steps_per_epoch, training_batches
from tfcnf.data.source import DataSource
from tfcnf.data.spirals import DESIGNS
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.files import write_json
from tfcnf.seeds import uniform
from tfcnf.types import Tensor

tfb = tfp.bijectors
tfd = tfp.distributions

ALPHA = 0.05  # as in configs/digits.py


def save(source: Any, out: str, seed: int = 0) -> None:
    """Runs baselines, prints a line for each measure and writes them as JSON.

    Args:
        source: images with grey levels, or spirals.
        out: path of the JSON file.
        seed: see `run`.

    Raises:
        ValueError: for other data, or where there can be no such file.
    """
    measures = _measures(source, seed)
    path = Path(out)
    if path.is_dir():
        raise ValueError(f"out must be a file. Received: out={out!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise ValueError(
            f"the folder cannot be made ({failure.strerror}). Received: out={out!r}"
        ) from failure
    results = {}
    for name, value in measures:
        print(f"{name}: {value:g}", flush=True)
        results[name] = value
    write_json(path, results)


def _measures(source: Any, seed: int) -> Iterator[tuple[str, float]]:
    if source.name in DESIGNS:
        return spiral_posterior.run(source)
    if source.task == "images" and source.num_levels > 1:
        return run(source, seed)
    raise ValueError(
        f"the baselines are for images and spirals. Received: {source.name!r}"
    )


def run(source: DataSource, seed: int) -> Iterator[tuple[str, float]]:
    """Fits each baseline to the training split and measures it on the test split.

    Args:
        source: images with grey levels.
        seed: fixes dequantization noise, initial weights and order of the batches.

    Yields:
        (name, value): ``logistic_regression_error`` (percent),
        ``gaussian_bits_per_dim`` (conditional on the label), ``gaussian_error``
        (percent), ``realnvp_bits_per_dim`` (conditional), ``realnvp_num_parameters``.
    """
    classifier = PixelClassifier(source.train, source.num_levels)
    yield "logistic_regression_error", classifier.error(source.test)
    u = dequantize(source.test.x, source.num_levels, [seed, -1])
    y = source.test.y
    scores = fit_gaussians(source, seed).log_prob(u[:, None, :])
    log_prob = tf.gather(scores, y[:, 0], batch_dims=1)
    yield "gaussian_bits_per_dim", _mean_bits(log_prob, source)
    yield "gaussian_error", 100 * float(np.mean(np.argmax(scores, 1) != y[:, 0]))
    model = fit_realnvp(source, seed)
    log_prob = model.distribution(y).log_prob(u)
    yield "realnvp_bits_per_dim", _mean_bits(log_prob, source)
    yield "realnvp_num_parameters", model.count_params()


def dequantize(x: Tensor, num_levels: int, seed: Sequence[int]) -> Tensor:
    """Levels ``[B, ...]`` to ``u = (level + noise) / num_levels``, ``[B, D]``.

    Args:
        x: integer grey levels.
        num_levels: grey levels of the source.
        seed: ``[2]`` integers that fix the uniform noise.
    """
    x = tf.cast(tf.reshape(x, [x.shape[0], -1]), tf.float32)
    return (x + uniform(tf.shape(x), seed)) / num_levels


def unit_interval(alpha: float = ALPHA) -> tfp.bijectors.Bijector:
    """The bijector from ``logit(alpha + (1 - 2 alpha) u)`` to u."""
    margin = alpha / (1 - 2 * alpha)
    return tfb.Sigmoid(low=-margin, high=1 + margin)


def fit_gaussians(
    source: DataSource, seed: int, floor: float = 1e-3
) -> tfp.distributions.Distribution:
    """A diagonal Gaussian of the logits for each class.

    Args:
        source: images with grey levels.
        seed: fixes the dequantization noise of the training split.
        floor: smallest variance of a logit.

    Returns:
        p(u | y = k): batch ``[K]``, event ``[D]``.
    """
    bijector = unit_interval()
    u = dequantize(source.train.x, source.num_levels, [seed, 0])
    logits = bijector.inverse(u).numpy()
    labels = source.train.y[:, 0]
    classes = [logits[labels == k] for k in range(source.num_classes[0])]
    mean = np.stack([values.mean(0) for values in classes])
    variance = np.stack([values.var(0) for values in classes])
    scale = np.sqrt(np.maximum(variance, floor))
    return tfd.TransformedDistribution(
        tfd.MultivariateNormalDiag(mean, scale), bijector
    )


class ConditionalRealNVP(keras.Model):
    """Affine couplings of the logits, each conditional on the label.

    Every coupling shifts and scales one half of the dimensions by a network of the
    other half and the one-hot label; dimensions are permuted at random in between.
    It starts as the identity.

    Args:
        num_dims: D.
        num_classes: K.
        seed: fixes permutations and initial weights.
        num_couplings: couplings.
        units: hidden units of each coupling's network. The default has about as
            many parameters on the digits as InfoCNF with configs/digits.py.
    """

    def __init__(
        self,
        num_dims: int,
        num_classes: int,
        *,
        seed: int,
        num_couplings: int = 8,
        units: int = 40,
    ):
        super().__init__()
        self.num_dims, self.num_classes = num_dims, num_classes
        self.num_masked = num_dims // 2
        rng = np.random.default_rng(seed)
        self.permutations = [rng.permutation(num_dims) for _ in range(num_couplings)]
        self.networks = [
            self._network(units, int(rng.integers(2**31))) for _ in range(num_couplings)
        ]
        self.built = True

    def distribution(self, y: Tensor) -> tfp.distributions.Distribution:
        """p(u | y) for integer labels ``[B, L]``: batch ``[B]``, event ``[D]``."""
        labels = tf.one_hot(y[:, 0], self.num_classes)
        chain = [unit_interval()]
        for network, permutation in zip(self.networks, self.permutations, strict=True):
            coupling = self._coupling(network, labels)
            chain += [tfb.Permute(permutation), coupling]
        base = tfd.MultivariateNormalDiag(tf.zeros([y.shape[0], self.num_dims]))
        return tfd.TransformedDistribution(base, tfb.Chain(chain))

    def _network(self, units: int, seed: int) -> keras.Sequential:
        hidden = keras.layers.Dense(
            units, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed)
        )
        outputs = 2 * (self.num_dims - self.num_masked)
        network = keras.Sequential(
            [hidden, keras.layers.Dense(outputs, kernel_initializer="zeros")]
        )
        network.build((None, self.num_masked + self.num_classes))
        return network

    def _coupling(
        self, network: keras.Sequential, labels: Tensor
    ) -> tfp.bijectors.Bijector:
        def shift_and_log_scale(x: Tensor, _: int) -> tuple[Tensor, Tensor]:
            out = network(tf.concat([x, labels], -1))
            shift, log_scale = tf.split(out, 2, -1)
            return shift, tf.tanh(log_scale)  # bounded: no coupling can explode

        return tfb.RealNVP(self.num_masked, shift_and_log_scale_fn=shift_and_log_scale)


def fit_realnvp(
    source: DataSource,
    seed: int,
    *,
    epochs: int = 200,
    batch_size: int = 128,
    learning_rate: float = 5e-3,
    weight_decay: float = 1.0,
) -> ConditionalRealNVP:
    """Trains couplings by Adam with decoupled weight decay and a cosine schedule.

    The defaults were chosen on a held-out tenth of the digits' training split, whose
    bits/dim still fall at the last epoch; the test split had no part in it.

    Args:
        source: images with grey levels.
        seed: fixes weights, order and noise, which is fresh in every batch.
        epochs: passes over the training split.
        batch_size: examples a step.
        learning_rate: at the start; it falls to zero.
        weight_decay: fraction, times the learning rate, that a step takes off.
    """
    model = ConditionalRealNVP(_num_dims(source), source.num_classes[0], seed=seed)
    steps = steps_per_epoch(source.train, batch_size) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(u: Tensor, y: Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.distribution(y).log_prob(u))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    for epoch in range(epochs):
        for x, y in training_batches(source, batch_size, seed=seed, epoch=epoch):
            noise = [seed, int(optimizer.iterations)]
            step(dequantize(x, source.num_levels, noise), y)
    return model


def _num_dims(source: DataSource) -> int:
    return math.prod(source.event_shape)


def _mean_bits(log_prob: Tensor, source: DataSource) -> float:
    bits = losses.bits_per_dim(log_prob, _num_dims(source), source.num_levels)
    return float(tf.reduce_mean(bits))
