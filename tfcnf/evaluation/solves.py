"""The ODE solves of a flow at chosen tolerances, without the layers before them.

Layers before the first CNF (`Dequantize`, `Columns`) are no ODE. Examples pass them
once; the solves start from their output, numbers on the line, and all is compared
there, because a change of variables changes no mass.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcnf.data.source import Density, Split
from tfcnf.evaluation.density import area_measures, grid_of
from tfcnf.flows.base import Chain, unsolved
from tfcnf.flows.cnf import CNFLayer
from tfcnf.models.inputs import check_examples
from tfcnf.models.label_inputs import read_labels
from tfcnf.models.passes import Passes
from tfcnf.ode.solvers.dopri5 import Dopri5
from tfcnf.ode.solvers.tsit5 import Tsit5
from tfcnf.types import Control, FlowOutput, On, Tensor

EXACT = 16  # dimensions up to which the trace is exact
CHUNK = 25_000  # points of the grid solved at a time


class Solved(NamedTuple):
    """A pass of the batch at one tolerance.

    Attributes:
        log_prob: log p(x | y), ``[n]`` nats.
        wrong: 1 where the class read from the code is not the label, else 0, ``[n]``;
            empty for a model without classes.
        z: codes ``[n, D]``.
        nfe: evaluations of all solves.
    """

    log_prob: np.ndarray
    wrong: np.ndarray
    z: Tensor
    nfe: float


class Solves:
    """Passes of a batch through the ODEs of a flow at tolerances ``[N]``.

    The noise is that of seed 0 in all passes, so that differences are the solver's.
    The trace is exact up to 16 dimensions, else that of the layers.

    Args:
        model: a flow.
        split: the batch.
    """

    def __init__(self, model: Passes, split: Split):
        self.model, self.split, self.seed = model, split, tf.constant([0, 0])
        self.dtype = np.dtype(model.compute_dtype)
        self.entry, self.rest = _parts(model.flow)
        x = check_examples(split.x, model.event_shape, model.num_levels)
        self.y = None
        if model.is_supervised:
            self.y = read_labels(split.y, model.labels, model.compute_dtype)
        entered = self._enter(x)
        self.line, self.log_det = entered.z, entered.log_det
        self._forward = tf.function(self._encode, autograph=False)
        self._backward = tf.function(self._decode, autograph=False)
        self._log_prob = tf.function(self._marginal, autograph=False)

    @property
    def own_tolerances(self) -> np.ndarray:
        """Tolerances that the model's policies give this batch, ``[N]``."""
        return self.rest(self.line, control=self._control(None)).tolerance.numpy()

    def solve(self, tol: np.ndarray) -> Solved:
        """The batch from the line to its codes."""
        log_prob, wrong, z, nfe = self._forward(self.line, self.y, self._scalars(tol))
        log_prob = log_prob.numpy().astype(np.float64) + self.log_det.numpy()
        return Solved(log_prob, wrong.numpy(), z, float(nfe))

    def inversion(self, z: Tensor, tol: np.ndarray) -> np.ndarray:
        """Largest distance of each example from its decoded code, ``[n]``.

        Images are compared in [0, 1], vectors in standard deviations of the batch.
        """
        line, _ = self._backward(z, self._scalars(tol), False)
        if len(self.model.event_shape) == 3:
            before, after = (self._leave(part) for part in (self.line, line))
        else:
            unit = np.std(self.line, 0) + np.finfo(self.dtype).tiny
            before, after = self.line / unit, line / unit
        gap: np.ndarray = np.abs(np.asarray(after, np.float64) - before)
        return gap.reshape(len(gap), -1).max(1)

    def sampled(self, tol: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """A sample on the line for each label of the batch, and log q of it ``[n]``."""
        prior, count = self.model.prior, len(self.split)
        y = tf.zeros([count, 0], tf.int32) if self.y is None else self.y
        z = prior.sample(y, tf.constant([0, 1]))
        line, log_det = self._backward(z, self._scalars(tol), True)
        return line, (prior.log_prob(z, y) - log_det).numpy().astype(np.float64)

    def weights(
        self, samples: Tensor, log_q: np.ndarray, tol: np.ndarray
    ) -> np.ndarray:
        """p / q of samples of q, ``[n]``; the mean is the total mass of p."""
        log_prob = self._forward(samples, self.y, self._scalars(tol))[0]
        return np.exp(log_prob.numpy().astype(np.float64) - log_q)

    def area(self, density: Density, tol: np.ndarray) -> tuple[float, float]:
        """The area under p(x) over a box, and the error of the grid."""
        side = int(CHUNK ** (1 / len(density.low)))
        step = -(-(density.points - 1) // side)
        thinned = dataclasses.replace(density, points=(density.points - 1) // step + 1)
        grid: np.ndarray = grid_of(thinned).astype(self.dtype)
        logs = [
            self._log_prob(grid[i : i + CHUNK], self._scalars(tol)).numpy()
            for i in range(0, len(grid), CHUNK)
        ]
        found = dict(area_measures(np.concatenate(logs).astype(np.float64), thinned))
        return found["area"], found["quadrature_error"]

    def _scalars(self, tol: np.ndarray) -> Tensor:
        return tf.constant(tol, self.model.compute_dtype)

    def _control(self, tol: Tensor | None, context: Any = None) -> Control:
        exact = On() if self.model.num_dims <= EXACT else None
        control = Control(tol=tol, seed=self.seed, exact=exact)
        if self.model.condition is None:
            return control
        return self.model.conditioned(control, self.split.context, len(self.split))

    def _enter(self, x: Tensor) -> FlowOutput:
        x = x if x.dtype.is_integer else tf.cast(x, self.model.compute_dtype)
        if not self.entry.layers:
            return unsolved(x)
        return self.entry(x, control=self._control(None))

    def _leave(self, line: Tensor) -> np.ndarray:
        return self.entry(line, inverse=True, control=self._control(None)).z.numpy()

    def _encode(self, line: Tensor, y: Tensor, tol: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        out = self.rest(line, control=self._control(tol))
        wrong = tf.zeros([0])
        if y is not None and "error" in model.reader.measure_names:
            codes = model.reader.codes(out.z)
            wrong = model.reader.measures(codes, y)["error"][1] / 100  # of percent
        return model.log_density(out, y), wrong, out.z, tf.reduce_sum(out.nfe)

    def _decode(self, z: Tensor, tol: Tensor, is_whole: bool) -> tuple[Tensor, Tensor]:
        control = self._control(tol)
        if not is_whole:
            control = control._replace(skip_log_det=On())
        out = self.rest(z, inverse=True, control=control)
        return out.z, out.log_det

    def _marginal(self, x: Tensor, tol: Tensor) -> Tensor:
        entered = self._enter(x)
        out = self.rest(entered.z, control=self._control(tol))
        return self.model.log_density(out) + entered.log_det


def _parts(flow: Any) -> tuple[Chain, Chain]:
    """The layers before the first that solves an ODE, and the others."""
    layers = list(flow.layers) if isinstance(flow, Chain) else [flow]
    first = next((i for i, x in enumerate(layers) if x.num_solves), len(layers))
    entry, rest = Chain(layers[:first]), Chain(layers[first:])
    entry.built = rest.built = True
    return entry, rest


def cnf_layers(flow: Any) -> list[CNFLayer]:
    """The CNFs of a flow."""
    return [layer for layer in flow._flatten_layers() if isinstance(layer, CNFLayer)]


def interpolates(flow: Any) -> bool:
    """True where positions on the way through a flow are known."""
    return all(layer.solver.keeps_steps for layer in cnf_layers(flow))


@contextlib.contextmanager
def another_method(flow: Any) -> Iterator[None]:
    """Another pair of the same order in all solves that are traced meanwhile."""
    layers = cnf_layers(flow)
    solvers = [layer.solver for layer in layers]
    for layer, solver in zip(layers, solvers, strict=True):
        made = Dopri5 if isinstance(solver, Tsit5) else Tsit5
        layer.solver = made(max_num_steps=solver.max_num_steps)
    try:
        yield
    finally:
        for layer, solver in zip(layers, solvers, strict=True):
            layer.solver = solver
