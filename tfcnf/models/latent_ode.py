"""Latent ODE with a partitioned code (InfoCNF section 4.6, App. E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfcnf.checks import plain_integer
from tfcnf.data.series_units import SeriesUnits
from tfcnf.labels.kinds import make_labels
from tfcnf.latent.partition import Partition
from tfcnf.models.latent_forecasts import LatentForecasts
from tfcnf.models.latent_options import check_options, check_units
from tfcnf.ode.autonomous import AutonomousField
from tfcnf.ode.solver import Solver
from tfcnf.registry import plain


@keras.saving.register_keras_serializable("tfcnf")
class LatentODE(LatentForecasts):
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
        encoder: ``"rnn"`` (the paper's), ``"gru"``, ``"bidirectional"`` (two GRUs),
            ``"attention"`` (over time and value), ``"regression"`` (on waves in time)
            or an `Encoder` of your own, by its key, with options: ``units``, its
            width; ``gaps=True``, it sees the time to the next observation too, for
            irregular times; ``correlated=True``, q has a full covariance; ``start``,
            see `RNNEncoder`.
        dynamics: f as an `AutonomousField`, `Perceptron` or `Oscillators`, or its text.
        decoder_units: units of the decoder's hidden layer; 0 for a linear decoder.
        sigma: standard deviation of p(x | z).
        beta: weight of the KL divergence.
        kl_warmup_steps: steps over which that weight grows from 0; 0 for none.
        label_weights: weight of each label's term, or one for all; 1 if empty.
        label_map: ``"linear"``, the paper's q_theta, or ``"identity"``, the authors'
            code's, see `tfcnf.labels.linear.FirstDims`; from the whole z always linear.
        random_start: in training, half of the codes stand at a random one of this part
            of a series' points instead of the first, and their paths are solved in
            both directions; 0 for none. A step then takes about twice as long.
        consistency: weight of the divergence between a code at one such point and the
            code at another that the path from the first leads to; 0 for none.
        encode_mask: give the encoder of each value whether it was observed, for values
            that are missing one by one.
        regular: all series have the same times and no missing point; saves work.
        units: of values and times, see `SeriesUnits.of`; the model's own if None,
            where values and times should be of size one. ``sigma`` is in these units.
        refine: steps of gradient ascent by which predictions improve the encoder's
            mean, see `codes`.
        tol: tolerance of the solver.
        solver: a Runge-Kutta solver such as `Tsit5`, or its text, such as
            ``"tsit5:max_num_steps=500"``.
        seed: integer seed of initial weights and noise.

    Raises:
        ValueError: for a keyword out of range.
    """

    def __init__(
        self,
        obs_dims: int,
        labels: int | Sequence[Any] = (),
        *,
        partition: str = "code",
        latent_dims: int = 5,
        code_dims: int = 1,
        encoder: str = "rnn:units=25",
        dynamics: str | AutonomousField = "mlp:units=(20,),activation=elu",
        decoder_units: int = 20,
        sigma: float = 0.3,
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        label_weights: Sequence[float] = (),
        label_map: str = "linear",
        random_start: float = 0.0,
        consistency: float = 0.0,
        encode_mask: bool = False,
        regular: bool = False,
        units: SeriesUnits | Mapping[str, Any] | None = None,
        refine: int = 0,
        tol: float = 1e-4,
        solver: str | Solver = "dopri5",
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        made = make_labels(labels, self.dtype_policy)
        options = {
            "obs_dims": obs_dims,
            "partition": partition,
            "latent_dims": latent_dims,
            "code_dims": code_dims,
            "encoder": encoder,
            "dynamics": plain(dynamics),
            "decoder_units": decoder_units,
            "sigma": sigma,
            "beta": beta,
            "kl_warmup_steps": kl_warmup_steps,
            "label_weights": _each(tuple(label_weights) or (1.0,), len(made)),
            "label_map": label_map,
            "random_start": random_start,
            "consistency": consistency,
            "encode_mask": encode_mask,
            "regular": regular,
            "refine": refine,
            "tol": tol,
            "solver": plain(solver),
            "seed": seed,
        }
        self.options = {key: plain_integer(value) for key, value in options.items()}
        check_options(self.options, made)
        self.units = SeriesUnits.get(units)
        check_units(self.units, obs_dims)
        self.options["units"] = self.units and self.units.record()
        self.is_supervised = partition != "none"
        sizes = (code_dims,) * len(made) if partition == "code" else ()
        self.partition = Partition(sizes, latent_dims - sum(sizes))
        self._make_parts(made, self.dtype_policy)
        self._track_metrics()
        self.built = True

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


def _each(weights: tuple[float, ...], count: int) -> tuple[float, ...]:
    """The weights of a number of labels, where one is for all."""
    return weights * count if len(weights) == 1 else weights
