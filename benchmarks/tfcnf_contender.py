"""tfcnf as a contender of the step suite."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.network import Size, plan, weight_names
from tfcnf.flows.reshape import Squeeze, flatten_code, split_channels
from tfcnf.ode.dynamics import ConvDynamics
from tfcnf.ode.gradient import Gradient
from tfcnf.ode.solve import Method, solve
from tfcnf.ode.trace import Probes
from tfcnf.types import Tensor


class TfcnfContender:
    """The network of a plan with one of our gradients.

    Args:
        size: the batch.
        arrays: see `benchmarks.network.make_arrays`.
        tol: tolerance of all solves.
        gradient: name of a `tfcnf.ode.gradient.Gradient`.
        dtype: of the computation.
    """

    def __init__(
        self,
        size: Size,
        arrays: Any,
        *,
        tol: float,
        gradient: str = "adjoint",
        dtype: str = "float32",
    ):
        self.operations, shapes = plan(size)
        self.tol = tf.constant(tol, dtype)
        self.method = Method(gradient=Gradient.get(gradient))
        self.x = tf.constant(arrays["input"], dtype)
        self.noise = [
            tf.constant(arrays[f"noise_{k}"], dtype) for k in range(len(shapes))
        ]
        self.dynamics = []
        for k, shape in enumerate(shapes):
            weights = [arrays[name] for name in weight_names(arrays, k)]
            widths = [len(bias) for bias in weights[1:-1:2]]
            layer = ConvDynamics(widths, dtype=dtype)
            layer.build((None, *shape))
            layer.set_weights(weights)
            self.dynamics.append(layer)
        self.weights = [w for layer in self.dynamics for w in layer.trainable_variables]
        self.optimizer = keras.optimizers.Adam(
            1e-12
        )  # the work of a step, not its move
        self.optimizer.build(self.weights)
        self._forward = tf.function(self._encode, autograph=False)
        self._step = tf.function(self._train, autograph=False)

    def forward(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Codes ``[B, D]``, log-determinants ``[B]``, evaluations."""
        z, log_det, nfe = self._forward(tf.zeros([len(self.noise)], self.x.dtype))
        return z.numpy(), log_det.numpy(), int(nfe)

    def step(self) -> tuple[list[np.ndarray], int]:
        """Gradients of one training step, evaluations of its backward solves."""
        gradients, nfe = self._step()
        return [g.numpy() for g in gradients], int(nfe)

    def _encode(self, probe: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, codes = self.x, []
        log_det, nfe = tf.zeros(x.shape[:1], x.dtype), tf.constant(0)
        squeeze = Squeeze()
        for operation, k in self.operations:
            if operation == "squeeze":
                x = squeeze(x).z
            elif operation == "split":
                x, factored = split_channels(x)
                codes.append(flatten_code(factored))
            else:
                field, theta = self.dynamics[k].prepare()
                probes = Probes(self.noise[k][None], tf.ones([], x.dtype))
                x, increment, stats = solve(
                    field,
                    theta,
                    z=x,
                    probes=probes,
                    tol=self.tol,
                    adjoint_tol=self.tol,
                    nfe_backward_probe=probe[k],
                    method=self.method,
                )
                log_det, nfe = log_det + increment, nfe + stats.nfe
        return tf.concat([*codes, flatten_code(x)], 1), log_det, nfe

    def _train(self) -> tuple[list[Tensor], Tensor]:
        probe = tf.zeros([len(self.noise)], self.x.dtype)
        with tf.GradientTape() as tape:
            tape.watch(probe)
            z, log_det, _ = self._encode(probe)
            loss = tf.reduce_mean(0.5 * tf.reduce_sum(z**2, 1) - log_det)
        *gradients, nfe = tape.gradient(loss, [*self.weights, probe])
        self.optimizer.apply(gradients, self.weights)
        return gradients, tf.reduce_sum(nfe)
