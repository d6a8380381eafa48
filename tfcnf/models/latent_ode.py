"""Latent ODE with a partitioned code (InfoCNF section 4.6, App. E)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.data.series import Series
from tfcnf.labels.kinds import make_labels
from tfcnf.latent.partition import Partition
from tfcnf.latent.prior import CodePrior
from tfcnf.latent.reader import CodeReader
from tfcnf.models.base import FlowModel
from tfcnf.models.decoder import Decoder
from tfcnf.models.label_inputs import read_labels
from tfcnf.models.latent_inputs import read_series
from tfcnf.models.latent_options import check_options
from tfcnf.models.latent_path import LatentPath
from tfcnf.models.metrics import EpochMean
from tfcnf.models.recognition import Recognition
from tfcnf.models.running_mean import RunningMean
from tfcnf.ode.autonomous import AutonomousDynamics
from tfcnf.ode.solver import Solver
from tfcnf.registry import plain
from tfcnf.seeds import next_int, next_seed, normal
from tfcnf.tolerances.policy import check_tolerance
from tfcnf.types import Control, FlowOutput, Tensor

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfcnf")
class LatentODE(FlowModel):
    """A variational model of series: z(0) ~ q(z | x), dz/dt = f(z), x(t) ~ p(x | z(t)).

    The loss is ``-E log p(x | z) + beta KL + sum_i weight_i (-log q_theta(y_i | z))``
    in nats a series. Labels ``[B, L]`` supervise in one of three ways, by a keyword:

    * ``partition="code"``: a part of z(0) is supervised. It has a prior linear in the
      label (q_phi) and each label is read from its own part (q_theta), as InfoCNF.
    * ``partition="head"``: the prior is N(0, I) and the labels are read from the whole
      z(0): the same supervision without a partition.
    * ``partition="none"``: labels are not looked at (Chen et al. 2018).

    With ``"code"`` the ELBO bounds log p(x | y), otherwise log p(x). Time 0 is where
    a series was first observed: shifted times have the same z(0) and the same ELBO.

    ```python
    model = tfcnf.LatentODE(obs_dims=2, labels=[tfcnf.Binary(), tfcnf.Real(1)])
    model.compile("adam")  # then model.fit(series, labels)
    ```

    Args:
        obs_dims: dimensions of an observation.
        labels: their kinds, as `tfcnf.labels.kinds.make_labels` takes them.
        partition: ``"code"``, ``"head"`` or ``"none"``.
        latent_dims: D, dimensions of z.
        code_dims: dimensions of the code of each label, for ``"code"``.
        encoder_units: units of the recurrent encoder.
        encoder_start: of its recurrent weights, see `Recognition`.
        dynamics_units: widths of the hidden layers of f.
        decoder_units: units of the decoder's hidden layer.
        activation: of f, see `AutonomousDynamics`.
        sigma: standard deviation of p(x | z).
        beta: weight of the KL divergence.
        kl_warmup_steps: steps over which that weight grows from 0; 0 for none.
        label_weights: weight of each label's term; 1 for each if empty.
        label_map: ``"linear"``, the paper's q_theta, or ``"identity"``, the authors'
            code's, see `tfcnf.labels.linear.FirstDims`; from the whole z always linear.
        encode_gaps: give the encoder the time to the next observation too; for
            irregular times.
        regular: all series have the same times and no missing point; saves work.
        tol: tolerance of the solver.
        solver: a Runge-Kutta solver such as `Tsit5`, or its text, such as
            ``"tsit5:max_num_steps=500"``.
        seed: integer seed of initial weights and noise.

    Raises:
        ValueError: for a keyword out of range.
    """

    training_measures = frozenset({"running_elbo"})

    def __init__(
        self,
        obs_dims: int,
        labels: Sequence[Any] = (),
        *,
        partition: str = "code",
        latent_dims: int = 5,
        code_dims: int = 1,
        encoder_units: int = 25,
        encoder_start: str = "uniform",
        dynamics_units: Sequence[int] = (20,),
        decoder_units: int = 20,
        activation: str = "elu",
        sigma: float = 0.3,
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        label_weights: Sequence[float] = (),
        label_map: str = "linear",
        encode_gaps: bool = False,
        regular: bool = False,
        tol: float = 1e-4,
        solver: str | Solver = "dopri5",
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.options: dict[str, Any] = {
            "obs_dims": obs_dims,
            "partition": partition,
            "latent_dims": latent_dims,
            "code_dims": code_dims,
            "encoder_units": encoder_units,
            "encoder_start": encoder_start,
            "dynamics_units": tuple(dynamics_units),
            "decoder_units": decoder_units,
            "activation": activation,
            "sigma": sigma,
            "beta": beta,
            "kl_warmup_steps": kl_warmup_steps,
            "label_weights": tuple(label_weights) or (1.0,) * len(labels),
            "label_map": label_map,
            "encode_gaps": encode_gaps,
            "regular": regular,
            "tol": tol,
            "solver": plain(solver),
            "seed": seed,
        }
        check_options(self.options, len(labels))
        self.is_supervised = partition != "none"
        sizes = (code_dims,) * len(labels) if partition == "code" else ()
        self.partition = Partition(sizes, latent_dims - sum(sizes))
        self.beta, self.kl_warmup_steps = beta, kl_warmup_steps
        self.label_weights, self.regular = self.options["label_weights"], regular
        self._make_parts(self.options, labels, self.dtype_policy)
        self._track_metrics()
        self.built = True

    def _make_parts(
        self, options: dict[str, Any], labels: Sequence[Any], dtype: Any
    ) -> None:
        seeds = keras.random.SeedGenerator(options["seed"])
        obs, latent = options["obs_dims"], options["latent_dims"]
        self.noise = keras.random.SeedGenerator(next_int(seeds))
        self.recognition = Recognition(
            obs,
            latent,
            units=options["encoder_units"],
            encode_gaps=options["encode_gaps"],
            regular=options["regular"],
            seed=next_int(seeds),
            start=options["encoder_start"],
            dtype=dtype,
        )
        dynamics = AutonomousDynamics(
            options["dynamics_units"],
            options["activation"],
            next_int(seeds),
            dtype=dtype,
        )
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
        self.labels = make_labels(labels, dtype)
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

    def posterior(self, x: Series) -> tfp.distributions.MultivariateNormalDiag:
        """q(z(0) | x): batch ``[B]``, event ``[D]``.

        Raises:
            ValueError: for series that do not fit the model, see `read_series`.
        """
        return self._encode(self._read(x))

    def _read(self, x: Series) -> Series:
        obs_dims = self.options["obs_dims"]
        return read_series(x, obs_dims, self.compute_dtype, self.regular)

    def _encode(self, x: Series) -> tfp.distributions.MultivariateNormalDiag:
        mean, log_variance = self.recognition(x)
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * log_variance))

    def decode(
        self, z: Tensor, times: Sequence[float], tol: float | Tensor | None = None
    ) -> Tensor:
        """Mean observations ``[B, T, C]`` on the path from z(0).

        Args:
            z: codes ``[B, D]``.
            times: T of them, before or after 0, the first observed time of a series.
            tol: solver tolerance; the model's own if None.

        Raises:
            ValueError: for times that are not finite.
        """
        stamps = np.sort(np.asarray(times, self.compute_dtype))
        if stamps.ndim != 1 or not stamps.size or not np.isfinite(stamps).all():
            raise ValueError(
                f"times must be finite, one at least. Received: times={times}"
            )
        control, before = self._control(tol), int((stamps < 0).sum())
        paths = [
            self.flow(z, tf.constant(part), control=control, direction=direction)[0]
            for part, direction in ((stamps[:before], -1), (stamps[before:], 1))
            if part.size
        ]
        order = np.argsort(np.argsort(np.asarray(times, self.compute_dtype)))
        return self.decoder(tf.gather(tf.concat(paths, 1), order, axis=1))

    def predict_labels(self, z: Tensor) -> Tensor:
        """Labels ``[B, columns]`` in their own units, see `Label.estimate`.

        Raises:
            ValueError: for a model that was given no labels.
        """
        if not self.is_supervised:
            raise ValueError(
                "a model without labels cannot predict them. Received: partition='none'"
            )
        return self.reader.estimates(z)

    def call(self, x: Series, tol: float | None = None) -> Tensor:
        """The mean observations at the times of the series, ``[B, T, C]``."""
        x = self._read(x)
        z = self._encode(x).mean()
        path, _ = self.flow(z, self._times(x), control=self._control(tol))
        return self.decoder(path)

    def terms(
        self, x: Series, y: Tensor | None, control: Control, training: bool
    ) -> tuple[dict[str, Tensor], FlowOutput]:
        """The loss and its parts in nats, each ``[B]``.

        One sample of z is drawn a series, from the noise of ``control.seed`` if given.

        Raises:
            ValueError: for series or labels that do not fit the model, see
                `tfcnf.models.latent_inputs`.
        """
        x = self._read(x)
        y = self._labels(x, y)
        posterior = self._encode(x)
        seed = next_seed(self.noise) if control.seed is None else control.seed
        mean = posterior.mean()
        noise = normal(tf.shape(mean), seed, mean.dtype)
        z = mean + posterior.stddev() * noise
        path, out = self.flow(z, self._times(x), control=control)
        log_likelihood = self.decoder.log_prob(x, self.decoder(path))
        kl = tfd.kl_divergence(posterior, self.prior.distribution(y))
        loss = self._kl_weight(training) * kl - log_likelihood
        terms = {
            "elbo": log_likelihood - kl,
            "running_elbo": log_likelihood - self.beta * kl,
            "log_likelihood": log_likelihood,
            "kl": kl,
        }
        if self.is_supervised:
            each = self.reader.losses(self.reader.codes(z), y)
            terms["label_nll"] = tf.add_n(
                [w * nll for w, nll in zip(self.label_weights, each, strict=True)]
            )
            loss += terms["label_nll"]
        return terms | {"loss": loss}, out

    def _control(self, tol: float | Tensor | None) -> Control:
        if tol is None:
            return Control()
        tol = tol if tf.is_tensor(tol) else check_tolerance("tol", tol)
        return Control(tol=tf.cast(tol, self.compute_dtype))

    def _times(self, x: Series) -> Tensor:
        return x.times[0] if self.regular else x.times

    def _kl_weight(self, training: bool) -> Any:
        if not (training and self.kl_warmup_steps):
            return self.beta
        done = tf.cast(self.optimizer.iterations, self.compute_dtype) + 1.0
        return self.beta * tf.minimum(done / self.kl_warmup_steps, 1.0)

    def _labels(self, x: Series, y: Any) -> Tensor:
        """Labels ``[B, columns]``; a model without labels looks at none."""
        if not self.is_supervised:
            return tf.zeros([tf.shape(x.times)[0], 0], self.compute_dtype)
        return read_labels(y, self.labels, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return self.options | {
            "labels": [label.record() for label in self.labels],
            "name": self.name,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> LatentODE:
        """Rebuilds the model from `get_config`."""
        return cls(**config)
