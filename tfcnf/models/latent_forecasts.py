"""Questions to a latent ODE: codes, curves, forecasts and labels of series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.checks import (
    check_count,
    check_level,
    check_positive_integer,
    plain_integer,
)
from tfcnf.data.observations import numbers
from tfcnf.data.series import Series
from tfcnf.models.inputs import check_codes
from tfcnf.models.latent_loss import LatentLoss
from tfcnf.models.latent_refine import ascend, log_prior
from tfcnf.seeds import fold_in, normal
from tfcnf.types import Tensor


class Forecast(NamedTuple):
    """A prediction of series at T times, in the data's units.

    Attributes:
        mean: of the noise-free curves, ``[B, T, C]``.
        low: lower end of the interval of observations, ``[B, T, C]``.
        high: upper end.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class LatentForecasts(LatentLoss):
    """A latent ODE's public questions."""

    _refined: Any = None  # traced when first asked for

    def posterior(self, x: Series) -> tfp.distributions.Distribution:
        """q(z(0) | x), a normal distribution: batch ``[B]``, event ``[D]``.

        Raises:
            ValueError: for series that do not fit the model, see `read_series`.
        """
        return self._encode(self._read(x))

    def codes(
        self, x: Series, refine: int | None = None, tol: float | Tensor | None = None
    ) -> Tensor:
        """The most probable z(0) of each series as far as it is looked for, ``[B, D]``.

        The mean of q(z(0) | x), improved by steps of Adam on log p(x | z) + log p(z).
        A step takes about as long as a training step without its encoder.

        Args:
            x: the series.
            refine: number of steps; the model's own if None.
            tol: solver tolerance; the model's own if None.

        Raises:
            ValueError: for series that do not fit the model, or a number of steps that
                is not an integer of at least 0.
        """
        steps = self.options["refine"] if refine is None else refine
        check_count("refine", steps)
        x = self._read(x)
        posterior = self._encode(x)
        if not steps:
            return posterior.mean()
        if self._refined is None:
            self._refined = tf.function(
                self._refine, autograph=False, reduce_retracing=True
            )
        control = self._control(self.options["tol"] if tol is None else tol)
        moments = posterior.mean(), posterior.stddev()
        return self._refined(x, *moments, tf.constant(steps), control.tol)

    def _refine(
        self, x: Series, mean: Tensor, scale: Tensor, steps: Tensor, tol: Tensor
    ) -> Tensor:
        def log_density(z: Tensor) -> Tensor:
            path, _ = self.flow(z, self._times(x), control=self._control(tol))
            return self._log_likelihood(x, path) + log_prior(self.prior, z)

        return ascend(log_density, mean, scale, steps)

    def decode(
        self, z: Tensor, times: Sequence[float], tol: float | Tensor | None = None
    ) -> Tensor:
        """Mean observations ``[B, T, C]`` on the path from z(0).

        Args:
            z: codes ``[B, D]``.
            times: T of them, before or after 0, the first observed time of a series.
            tol: solver tolerance; the model's own if None.

        Raises:
            ValueError: for codes that do not fit the model, or times that are not one
                list of finite numbers.
        """
        z = self._check_codes(z)
        stamps: np.ndarray = numbers("times", times).astype(np.float64)
        if stamps.ndim != 1:
            raise ValueError(
                "times must be one list [T], the same for all series. "
                f"Received: times={times!s:.200}"
            )
        if not stamps.size or not np.isfinite(stamps).all():
            raise ValueError(
                f"times must be finite, one at least. Received: times={times!s:.200}"
            )
        if self.units is not None:
            stamps = stamps / self.units.duration
        order = np.argsort(np.argsort(stamps))
        stamps = np.sort(stamps).astype(self.compute_dtype)
        control, before = self._control(tol), int((stamps < 0).sum())
        paths = [
            self.flow(z, tf.constant(part), control=control, direction=direction)[0]
            for part, direction in ((stamps[:before], -1), (stamps[before:], 1))
            if part.size
        ]
        return self._observe(tf.gather(tf.concat(paths, 1), order, axis=1))

    def sample(
        self,
        x: Series,
        times: Sequence[float],
        *,
        draws: int = 100,
        seed: int = 0,
        noise: bool = True,
        refine: int | None = None,
        tol: float | None = None,
    ) -> Tensor:
        """Curves of the same series, ``[draws, B, T, C]`` in the data's units.

        Each is the path from a sample of q(z(0) | x), with the observations' noise.

        Args:
            x: the series.
            times: see `decode`.
            draws: curves of each series.
            seed: integer; the same seed gives the same curves.
            noise: add what an observation differs from its curve by.
            refine: see `codes`.
            tol: solver tolerance; the model's own if None.

        Raises:
            ValueError: for an argument out of range.
        """
        check_positive_integer("draws", draws)
        mean, scale = self.codes(x, refine, tol), self.posterior(x).scale
        count, dims = tf.shape(mean)[0], mean.shape[1]
        unit = normal(
            [draws, count, dims], tf.constant([plain_integer(seed), 0]), mean.dtype
        )
        z = tf.reshape(mean + scale.matvec(unit), [-1, dims])
        curves = self.decode(z, times, tol)
        curves = tf.reshape(curves, [draws, count, *curves.shape[1:]])
        return self._add_noise(curves, seed, tf.shape(curves)) if noise else curves

    def _add_noise(self, curves: Tensor, seed: int, shape: Tensor) -> Tensor:
        """Observations of noise-free curves, by noise of a shape."""
        scales = tf.constant(self.units.scale if self.units else 1.0, curves.dtype)
        seeds = fold_in(tf.constant([plain_integer(seed), 0]), 1)
        unit = normal(shape, seeds, curves.dtype)
        return curves + self.options["sigma"] * (scales * unit)

    def predict(
        self,
        x: Series,
        times: Sequence[float] | None = None,
        *,
        level: float = 0.9,
        draws: int = 200,
        seed: int = 0,
        refine: int | None = None,
        tol: float | None = None,
        **options: Any,
    ) -> Any:
        """A `Forecast` of series at any times; without times as `keras.Model.predict`.

        ```python
        series = tfcnf.make_series(np.random.rand(4, 5, 2), times=np.arange(5.0))
        model = tfcnf.LatentODE(obs_dims=2, partition="none")
        mean, low, high = model.predict(series, times=[4.0, 5.0, 6.0])
        assert mean.shape == (4, 3, 2)
        ```

        Args:
            x: the series.
            times: see `decode`.
            level: probability of the interval, between quantiles of `sample`.
            draws: see `sample`.
            seed: see `sample`.
            refine: see `codes`.
            tol: solver tolerance; the model's own if None.
            **options: of `keras.Model.predict`.

        Raises:
            ValueError: for an argument out of range.
        """
        if times is None:
            return super().predict(x, **options)
        check_level(level)
        curves = self.sample(
            x, times, draws=draws, seed=seed, noise=False, refine=refine, tol=tol
        )
        # the same noise at all times: each interval is as it was, their ends smooth
        shape = tf.shape(curves[:, :, :1])
        noisy, tail = self._add_noise(curves, seed, shape), (1 - level) / 2
        low, high = np.quantile(noisy.numpy(), [tail, 1 - tail], axis=0)
        return Forecast(curves.numpy().mean(0), low, high)

    def predict_step(self, data: Any) -> Tensor:
        """The mean observations of a batch of `predict` without times."""
        return self(self._unpack(data)[0])

    def predict_labels(
        self, x: Series | Tensor, *, level: float | None = None
    ) -> Tensor:
        """Labels ``[B, columns]`` in their own units, see `Label.estimate`.

        With ``level`` the answer is ``[B, columns, 3]``: the value, and the ends of
        the interval that has this probability, NaN for what is no number.

        Args:
            x: series, which are read by their `codes`, or codes ``[B, D]``.
            level: probability of an interval beside each value, or None.

        Raises:
            ValueError: for a model that was given no labels, for series or codes that
                do not fit it, or a level out of range.
        """
        if level is not None:
            check_level(level)
        if not self.is_supervised:
            raise ValueError(
                "a model without labels cannot predict them. Received: partition='none'"
            )
        z = self.codes(x) if isinstance(x, Series) else self._check_codes(x)
        return self.reader.intervals(z, level) if level else self.reader.estimates(z)

    def _check_codes(self, z: Any) -> Tensor:
        """Codes ``[B, D]`` as a tensor of the model's type."""
        return tf.cast(check_codes(z, self.options["latent_dims"]), self.compute_dtype)

    def call(self, x: Series, tol: float | None = None) -> Tensor:
        """The mean observations at the times of the series, ``[B, T, C]``."""
        x = self._read(x)
        z = self._encode(x).mean()
        path, _ = self.flow(z, self._times(x), control=self._control(tol))
        return self._observe(path)
