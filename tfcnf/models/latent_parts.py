"""The parts of a latent ODE and its measures."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.data.series import Series
from tfcnf.data.series_units import SeriesUnits
from tfcnf.labels.base import Label
from tfcnf.latent.partition import Partition
from tfcnf.latent.prior import CodePrior
from tfcnf.latent.reader import CodeReader
from tfcnf.models.base import FlowModel
from tfcnf.models.decoder import Decoder
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.models.label_inputs import read_labels
from tfcnf.models.latent_inputs import in_units, read_series
from tfcnf.models.latent_path import LatentPath
from tfcnf.models.metrics import EpochMean
from tfcnf.models.running_mean import RunningMean
from tfcnf.ode.autonomous import AutonomousDynamics
from tfcnf.ode.solver import Solver
from tfcnf.seeds import next_int
from tfcnf.tolerances.policy import check_tolerance
from tfcnf.types import Control, Tensor

tfd = tfp.distributions


class LatentParts(FlowModel):
    """Encoder, dynamics, decoder, prior and labels of a latent ODE.

    Attributes:
        options: the constructor's keywords.
        partition: of the code.
        units: of the data; None where they are the model's.
        noise: seeds of the samples of z(0).
        recognition: the encoder.
        flow: the path through time.
        decoder: p(x | z).
        prior: of z(0), given the labels.
    """

    training_measures = frozenset({"running_elbo", "consistency"})
    options: dict[str, Any]
    partition: Partition
    units: SeriesUnits | None = None

    def _make_parts(self, labels: list[Label], dtype: Any) -> None:
        options = self.options
        seeds = keras.random.SeedGenerator(options["seed"])
        obs, latent = options["obs_dims"], options["latent_dims"]
        self.noise = keras.random.SeedGenerator(next_int(seeds))
        encoder, chosen = Encoder.parse(options["encoder"])
        self.recognition = encoder(
            obs,
            latent,
            encode_mask=options["encode_mask"],
            seed=next_int(seeds),
            dtype=dtype,
            **chosen,
        )
        dynamics = AutonomousDynamics(options["dynamics"], next_int(seeds), dtype=dtype)
        dynamics.build((None, latent))
        self.flow = LatentPath(
            dynamics, options["tol"], Solver.get(options["solver"]), dtype=dtype
        )
        self.flow.built = True
        self.decoder = Decoder(
            obs,
            latent,
            units=options["decoder_units"],
            sigma=options["sigma"],
            seed=next_int(seeds),
            dtype=dtype,
        )
        self.labels = labels
        self.prior = CodePrior(
            self.partition, self.labels, options["seed"], dtype=dtype
        )
        if self.is_supervised:
            identity = options["label_map"] == "identity"
            self.reader = CodeReader(
                self.partition, self.labels, identity=identity, dtype=dtype
            )

    def _track_metrics(self) -> None:
        names = ["loss", "elbo", "log_likelihood", "kl"]
        if self.is_supervised:
            names.append("label_nll")
        if self.options["consistency"]:
            names.append("consistency")
        names += ["gradient_norm", "nfe_forward", "nfe_backward"]
        names += [f"{name}/cnf_00" for name in self._per_solve]
        self._trackers = {name: EpochMean(name) for name in names}
        mean, begun = (
            self.add_weight(
                shape=(),
                initializer="zeros",
                trainable=False,
                aggregation="mean",
                name=name,
            )
            for name in ("running_elbo", "running_elbo_begun")
        )
        self._trackers["running_elbo"] = RunningMean("running_elbo", mean, begun)

    @property
    def regular(self) -> bool:
        """True where all series have the same times and no missing point."""
        return bool(self.options["regular"])

    def _read(self, x: Series) -> Series:
        obs_dims = self.options["obs_dims"]
        x = read_series(x, obs_dims, self.compute_dtype, self.regular)
        return x if self.units is None else in_units(x, self.units)

    def _observe(self, path: Tensor) -> Tensor:
        """Mean observations ``[B, T, C]`` on a path, in the data's units."""
        curve = self.decoder(path)
        if self.units is None:
            return curve
        return curve * self.units.scale + tf.constant(self.units.mean, curve.dtype)

    def _encode(
        self, x: Series, complete: bool | None = None
    ) -> tfp.distributions.Distribution:
        complete = self.regular if complete is None else complete
        return gaussian(*self.recognition(x, complete=complete))

    def _control(self, tol: float | Tensor | None) -> Control:
        if tol is None:
            return Control()
        tol = tol if tf.is_tensor(tol) else check_tolerance("tol", tol)
        return Control(tol=tf.cast(tol, self.compute_dtype))

    def _times(self, x: Series) -> Tensor:
        return x.times[0] if self.regular else x.times

    def _labels(self, x: Series, y: Any) -> Tensor:
        """Labels ``[B, columns]``; a model without labels looks at none."""
        if not self.is_supervised:
            return tf.zeros([tf.shape(x.times)[0], 0], self.compute_dtype)
        return read_labels(y, self.labels, self.compute_dtype)


def gaussian(mean: Tensor, scale: Tensor) -> tfp.distributions.Distribution:
    """A normal distribution of codes by mean and scale as encoders give them."""
    if len(scale.shape) == 3:
        return tfd.MultivariateNormalTriL(mean, scale)
    return tfd.MultivariateNormalDiag(mean, scale)
