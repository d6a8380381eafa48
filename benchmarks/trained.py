"""The CNFs of a trained run in float64: forward problems, and gradients of a loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.contenders import OURS, PACKAGE
from benchmarks.network import Size, arrays_of, plan, size_of
from benchmarks.problems import Problem, State, pack
from tfcnf.data import catalog
from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.reshape import split_channels
from tfcnf.losses import bits_per_dim
from tfcnf.ode.discrete import Checkpoint
from tfcnf.ode.solve import Method, solve
from tfcnf.ode.trace import Probes, value_and_divergence
from tfcnf.runs.folder import read_config
from tfcnf.runs.run import Run
from tfcnf.types import Control

EXACT_TOL = 1e-12
Forward = Callable[..., tuple[Any, Any]]
GRADIENTS = (*PACKAGE, "tfp")


class CountedField:
    """A field whose every evaluation in a graph is counted."""

    def __init__(self, field: Any):
        self.field, self.calls = field, 0

    def jvp(self, *args: Any) -> Any:
        """As the field's own."""
        with tf.control_dependencies([tf.numpy_function(self._count, [], [])]):
            return self.field.jvp(*args)

    def _count(self) -> None:
        self.calls += 1


class TrainedCNF(NamedTuple):
    """One CNF of a run with an input that reaches it, fixed probes, float64.

    Attributes:
        name: unique.
        field: counts its evaluations.
        theta: parameters of the field.
        z: input ``[B, H, W, C]``.
        probes: directions of the trace.
    """

    name: str
    field: CountedField
    theta: tuple[Any, ...]
    z: Any
    probes: Probes

    def problem(self) -> Problem:
        """The forward solve, of (z, log_det)."""

        @tf.function(autograph=False)
        def graph(t: Any, z: Any) -> Any:
            field = self.field.field
            return value_and_divergence(field, self.theta, t=t, z=z, probes=self.probes)

        def rhs(t: float, z: np.ndarray, log_det: np.ndarray) -> State:
            dz, divergence = graph(tf.constant(t, tf.float64), tf.constant(z))
            return dz.numpy(), divergence.numpy()

        initial = (self.z.numpy(), np.zeros(self.z.shape[0]))
        return Problem(self.name, rhs, initial, 1.0)

    def true_gradient(self) -> np.ndarray:
        """In z and theta: the discrete gradient of a solve at tolerance 1e-12."""
        method = Method(solver=PACKAGE[OURS], gradient=Checkpoint())
        return self._gradient(self._forward(method), EXACT_TOL)[1]

    def gradients(
        self, contender: str, tols: Sequence[float]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """For each tolerance, backward evaluations and the gradient in z and theta.

        Args:
            contender: one of `GRADIENTS`, each with its own adjoint.
            tols: tolerances, each of the forward and the backward solve.
        """
        if contender == "tfp":
            forward = self._stock_forward()
        else:
            forward = self._forward(Method(solver=PACKAGE[contender]))
        for tol in tols:
            yield self._gradient(forward, tol)

    def _gradient(self, forward: Forward, tol: float) -> tuple[int, np.ndarray]:
        inputs = [self.z, *self.theta]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = _loss(*forward(tf.constant(tol, tf.float64), *inputs))
        before = self.field.calls
        gradient = pack(tape.gradient(loss, inputs))
        return self.field.calls - before, gradient

    def _forward(self, method: Method) -> Forward:
        """The package's own solve."""

        def forward(tol: Any, z: Any, *theta: Any) -> tuple[Any, Any]:
            zero = tf.zeros([], z.dtype)
            z, log_det, _ = solve(
                self.field,
                theta,
                z=z,
                probes=self.probes,
                tol=tol,
                adjoint_tol=tol,
                nfe_backward_probe=zero,
                method=method,
                name=self.name,
            )
            return z, log_det

        return forward

    def _stock_forward(self) -> Forward:
        """``tfp.math.ode.DormandPrince`` with its own adjoint, as it comes."""

        def ode_fn(t: Any, y: Any, theta: Any) -> Any:
            return value_and_divergence(
                self.field, theta, t=t, z=y[0], probes=self.probes
            )

        @tf.function(autograph=False)
        def forward(tol: Any, z: Any, *theta: Any) -> tuple[Any, Any]:
            initial = z, tf.zeros(z.shape[:1], z.dtype)
            states = (
                tfp.math.ode.DormandPrince(rtol=tol, atol=tol)
                .solve(ode_fn, 0.0, initial, [1.0], constants={"theta": theta})
                .states
            )
            return states[0][0], states[1][0]

        return forward


def load_cnfs(workdir: str, batch_size: int) -> list[TrainedCNF]:
    """The CNFs of a run on images, each with the test images that reach it.

    Args:
        workdir: run folder with a checkpoint.
        batch_size: images.

    Raises:
        ValueError: for a folder without a run or without a checkpoint.
    """
    source = catalog.get(read_config(workdir)["data"])
    flow = Run(workdir).model.flow
    x = tf.constant(source.test.x[:batch_size])
    return [
        _in_float64(f"trained CNF {i}", layer, z)
        for i, (layer, z) in enumerate(_reached(flow, x))
    ]


def load_arrays(workdir: str, seed: int) -> tuple[Size, dict[str, np.ndarray]]:
    """The network of a run on images as `benchmarks.network.make_arrays` has them.

    Args:
        workdir: run folder with a checkpoint.
        seed: of the noise.

    Returns:
        The size of a training batch, and its arrays: trained weights, and test images
        behind the dequantization.

    Raises:
        ValueError: for a folder without a run, or whose data are no images.
    """
    run = Run(workdir)
    model = run.model
    shape = getattr(model, "event_shape", ())
    if len(shape) != 3:
        raise ValueError(
            "only runs on images have a network that others can follow. "
            f"Received: checkpoint={workdir!r}"
        )
    x = run.source.test.x[: run.config["training"]["batch_size"]]
    size = size_of(model, len(x))
    z = model.flow.layers[0](tf.constant(x), control=Control(seed=tf.constant([0, 0])))
    arrays = {"input": np.asarray(z.z, np.float64)} | arrays_of(model)
    rng = np.random.default_rng(seed)
    for k, state in enumerate(plan(size)[1]):
        arrays[f"noise_{k}"] = rng.choice([-1.0, 1.0], (size.batch, *state))
    return size, arrays


def _reached(flow: Any, x: Any) -> Iterator[tuple[CNFLayer, Any]]:
    """Every CNF of a flow on images with the state that reaches it."""
    control = Control(seed=tf.constant([0, 0]))
    dequantize, multiscale = flow.layers
    z = dequantize(x, control=control).z
    for scale in multiscale.scales:
        for layer in scale.layers:
            if isinstance(layer, CNFLayer):
                yield layer, z
            z = layer(z, control=control).z
        if scale is not multiscale.scales[-1]:
            z, _ = split_channels(z)


def _in_float64(name: str, layer: CNFLayer, z: Any) -> TrainedCNF:
    field, theta = layer.dynamics.prepare()
    z = tf.cast(z, tf.float64)
    probes = layer.trace.draw(z, tf.constant([0, 1]))
    weights = tuple(tf.cast(x, tf.float64) for x in theta)
    return TrainedCNF(name, CountedField(field), weights, z, probes)


def _loss(z: Any, log_det: Any) -> Any:
    """Mean bits/dim under a standard normal."""
    z = tf.reshape(z, [tf.shape(z)[0], z.shape[1:].num_elements()])
    log_prob = -0.5 * tf.reduce_sum(z**2 + math.log(2.0 * math.pi), 1)
    return tf.reduce_mean(bits_per_dim(log_prob + log_det, z.shape[1]))
