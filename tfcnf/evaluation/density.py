"""Does the learned density integrate to one (InfoCNF section 4.2, App. C and D)?

The area is taken over a grid on the box of the data set (`tfcnf.data.source.Density`).
A flow is a density only as far as its ODE is solved exactly, so the area differs from
one by the solver's error, as long as the grid's own error is smaller. That error is
measured: by the change of the trapezoid rule when every second point is left out, and
by the largest density on the edge of the box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from tfcnf.data.source import DataSource, Density
from tfcnf.evaluation.image import Evaluator
from tfcnf.models.infocnf import InfoCNF
from tfcnf.types import Control, Tensor

CHUNK = 25_000  # points solved at a time; those of a line are solved together


class DensityEvaluator(Evaluator):
    """The measures of `Evaluator`, and those of the density as a whole.

    Args:
        model: a flow on points.
        source: data with a `Density`.
        batch_size: examples solved at a time.
        split: see `SplitEvaluator`.
    """

    def __init__(
        self,
        model: InfoCNF,
        source: DataSource,
        batch_size: int = 500,
        split: str = "test",
    ):
        super().__init__(model, source, batch_size, split)
        if source.density is None:
            raise ValueError(
                f"areas are for points with a box. Received: source={source.name!r}"
            )
        if self.split.context is not None:
            raise ValueError(
                "areas are of densities without a context; "
                "log_prob(grid, context=c) is that of one condition. "
                f"Received: context.shape={self.split.context.shape}"
            )
        self.density = source.density
        self.log_densities = LogDensities(model)

    def run(
        self, tol: float, draws: int = 1, backward: bool = False
    ) -> Iterator[tuple[str, float]]:
        """As `Evaluator.run`, with the measures of `density_measures`.

        Yields:
            With ``backward`` also ``own_tolerance``, the mean tolerance of the
            layers' own policies on the grid, and ``own_area_error`` there.
        """
        yield from super().run(tol, draws, backward)
        grid = grid_of(self.density)
        logs, _ = self.log_densities(grid, tol)
        log_prob = self.density.log_prob
        truth = None if log_prob is None else log_prob(grid)
        yield from density_measures(logs, truth, self.density)
        if backward:
            logs, tolerance = self.log_densities(grid, None)
            yield "own_tolerance", tolerance
            yield "own_area_error", abs(1 - area(logs["marginal"], self.density))


class LogDensities:
    """The log-densities of a model at many points.

    Args:
        model: a flow on points.
    """

    def __init__(self, model: InfoCNF):
        self.model = model
        self._measure = tf.function(
            self._values,
            input_signature=[
                tf.TensorSpec((None, model.num_dims), model.compute_dtype),
                tf.TensorSpec((), model.compute_dtype),
            ],
            autograph=False,
        )
        self._own = tf.function(
            lambda x: self._values(x, None),
            input_signature=[
                tf.TensorSpec((None, model.num_dims), model.compute_dtype)
            ],
            autograph=False,
        )

    def __call__(
        self, x: np.ndarray, tol: float | None
    ) -> tuple[dict[str, np.ndarray], float]:
        """``"marginal"`` and ``"class_k"`` log-densities ``[n]`` in nats.

        Args:
            x: points ``[n, D]``.
            tol: solver tolerance; the layers' own policies if None.

        Returns:
            Log-densities by name, in float64, and the mean tolerance.
        """
        parts, tolerances = [], []
        for start in range(0, len(x), CHUNK):
            chunk: np.ndarray = x[start : start + CHUNK].astype(
                self.model.compute_dtype
            )
            values, tolerance = (
                self._own(chunk) if tol is None else self._measure(chunk, tol)
            )
            parts.append({k: v.numpy().astype(np.float64) for k, v in values.items()})
            tolerances.append(float(tolerance))
        merged = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
        return merged, float(np.mean(tolerances))

    def _values(self, x: Tensor, tol: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        model = self.model
        out = model(x, control=Control(tol=tol, seed=tf.constant([0, 0])))
        values = {"marginal": model.log_density(out)}
        if len(model.labels) == 1 and model.reader.of_classes:
            _, rest = model.prior.partition.split(out.z)
            shared = model.prior.unsupervised().log_prob(rest) + out.log_det
            (scores,) = model.prior.class_log_probs(out.z)
            for k in range(model.labels[0].num_classes):
                values[f"class_{k}"] = scores[:, k] + shared
        return values, tf.reduce_mean(out.tolerance)


def grid_of(density: Density) -> np.ndarray:
    """The points of the grid, the last axis fastest, ``[points^D, D]``."""
    mesh = np.meshgrid(*axes_of(density), indexing="ij")
    return np.stack([m.ravel() for m in mesh], 1)


def area(log_density: np.ndarray, density: Density) -> float:
    """The integral of a density over the box by the trapezoid rule."""
    return _trapezoid(_on_grid(log_density, density), axes_of(density))


def area_measures(
    log_density: np.ndarray, density: Density
) -> Iterator[tuple[str, float]]:
    """Areas under one log-density ``[points^D]`` in nats.

    Yields:
        ``area`` (trapezoid), ``area_riemann`` (left Riemann sum, as the papers),
        ``area_error`` and ``riemann_error`` (their distances from one),
        ``quadrature_error`` (change of the trapezoid rule at twice the spacing) and
        ``edge_density`` (the largest on the edge of the box).
    """
    values, axes = _on_grid(log_density, density), axes_of(density)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    left = values[(slice(-1),) * values.ndim]
    riemann = float(left.sum() * cell)
    whole = _trapezoid(values, axes)
    half = (slice(None, None, 2),) * values.ndim
    coarse = _trapezoid(values[half], [axis[::2] for axis in axes])
    yield "area", whole
    yield "area_riemann", riemann
    yield "area_error", abs(1 - whole)
    yield "riemann_error", abs(1 - riemann)
    yield "quadrature_error", abs(whole - coarse)
    inner = values[(slice(1, -1),) * values.ndim]
    edge = np.pad(np.zeros_like(inner), 1, constant_values=1.0) * values
    yield "edge_density", float(edge.max())


def divergence(truth: np.ndarray, log_density: np.ndarray, density: Density) -> float:
    """KL(truth || model) in nats over the box, both as log-densities on the grid."""
    gap = np.where(np.isfinite(truth), truth - log_density, 0.0)
    values = _on_grid(truth, density) * gap.reshape(_shape(density))
    return _trapezoid(values, axes_of(density))


def density_measures(
    logs: Mapping[str, np.ndarray], truth: np.ndarray | None, density: Density
) -> Iterator[tuple[str, float]]:
    """Measures of log-densities on the grid, by the trapezoid rule.

    Args:
        logs: of the model, ``"marginal"`` and others, ``[points^D]`` nats.
        truth: the true one, or None.
        density: the box and its grid.

    Yields:
        Those of `area_measures` of the marginal, ``area_error/NAME`` of each other
        density, and ``kl_from_truth`` (nats) where the truth is known.
    """
    yield from area_measures(logs["marginal"], density)
    for name, values in logs.items():
        if name != "marginal":
            yield f"area_error/{name}", abs(1 - area(values, density))
    if truth is not None:
        yield "kl_from_truth", divergence(truth, logs["marginal"], density)


def axes_of(density: Density) -> list[np.ndarray]:
    """The axes of the grid, ``[points]`` each."""
    ends = zip(density.low, density.high, strict=True)
    return [np.linspace(low, high, density.points) for low, high in ends]


def _shape(density: Density) -> tuple[int, ...]:
    return (density.points,) * len(density.low)


def _on_grid(log_density: np.ndarray, density: Density) -> np.ndarray:
    return np.exp(log_density).reshape(_shape(density))


def _trapezoid(values: np.ndarray, axes: list[np.ndarray]) -> float:
    for axis in reversed(axes):
        values = np.trapezoid(values, axis)
    return float(values)
