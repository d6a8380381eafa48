"""JAX + diffrax as a contender of the step suite."""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.network import Size, plan, weight_names

LAYOUT = ("NHWC", "HWIO", "NHWC")


def network(weights: Any, t: Any, z: Any) -> Any:
    """dz/dt of a CNF, time as the first channel of each layer."""
    count = len(weights) // 2
    for i, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        z = jnp.concatenate([jnp.full_like(z[..., :1], t), z], -1)
        z = jax.lax.conv_general_dilated(
            z, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT
        )
        z = jax.nn.softplus(z + bias) if i < count - 1 else z + bias
    return z


def vector_field(t: Any, state: Any, args: Any) -> Any:
    """Derivatives of z and of the log-determinant."""
    weights, noise = args
    dz, jvp = jax.jvp(lambda z: network(weights, t, z), (state[0],), (noise,))
    return dz, jnp.sum(jvp * noise, (1, 2, 3))


class DiffraxContender:
    """The network of a plan with diffrax' ``Dopri5`` and backsolve adjoint.

    Evaluations are diffrax' own count of its forward solves; it does not give one for
    the backward solves.

    Args:
        size: the batch.
        arrays: see `benchmarks.network.make_arrays`.
        tol: tolerance of all solves.
    """

    def __init__(self, size: Size, arrays: Any, tol: float):
        self.operations, shapes = plan(size)
        self.x = jnp.asarray(arrays["input"], jnp.float32)
        self.noise = [
            jnp.asarray(arrays[f"noise_{k}"], jnp.float32) for k in range(len(shapes))
        ]
        self.weights = [
            [jnp.asarray(arrays[n], jnp.float32) for n in weight_names(arrays, k)]
            for k in range(len(shapes))
        ]
        self.controller = diffrax.PIDController(rtol=tol, atol=tol)
        self._forward = jax.jit(self._encode)
        self._step = jax.jit(self._train)

    def forward(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Codes ``[B, D]``, log-determinants ``[B]``, evaluations."""
        z, (log_det, nfe) = self._forward(self.weights)
        return np.asarray(z), np.asarray(log_det), int(nfe)

    def step(self) -> tuple[list[np.ndarray], int]:
        """Gradients of one training step; backward evaluations are not known: 0."""
        gradients, self.weights = self._step(self.weights)
        return [np.asarray(g) for g in jax.tree.leaves(gradients)], 0

    def _encode(self, weights: Any) -> Any:
        x, codes = self.x, []
        log_det, nfe = jnp.zeros(len(x)), 0
        for operation, k in self.operations:
            if operation == "squeeze":
                b, h, w, c = x.shape
                x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
                x = x.reshape(b, h // 2, w // 2, 4 * c)
            elif operation == "split":
                x, factored = jnp.split(x, 2, -1)
                codes.append(factored.transpose(0, 3, 1, 2).reshape(len(x), -1))
            else:
                solution = diffrax.diffeqsolve(
                    diffrax.ODETerm(vector_field),
                    diffrax.Dopri5(),
                    0.0,
                    1.0,
                    dt0=None,
                    y0=(x, jnp.zeros(len(x))),
                    args=(weights[k], self.noise[k]),
                    stepsize_controller=self.controller,
                    adjoint=diffrax.BacksolveAdjoint(),
                )
                x, log_det = solution.ys[0][-1], log_det + solution.ys[1][-1]
                # first same as last: six a step, one at the start, one for its size
                nfe = nfe + 2 + 6 * solution.stats["num_steps"]
        codes.append(x.transpose(0, 3, 1, 2).reshape(len(x), -1))
        return jnp.concatenate(codes, 1), (log_det, nfe)

    def _train(self, weights: Any) -> Any:
        def loss(weights: Any) -> Any:
            z, (log_det, _) = self._encode(weights)
            return jnp.mean(0.5 * jnp.sum(z**2, 1) - log_det)

        gradients = jax.grad(loss)(weights)
        moved = jax.tree.map(lambda w, g: w - 1e-12 * g, weights, gradients)
        return gradients, moved
