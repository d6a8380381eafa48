"""Measures of a flow model's steps, as metrics of Keras."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfcnf.latent.reader import CodeReader
from tfcnf.models.metrics import EpochMean, Newest, over_replicas, weigh
from tfcnf.models.trainer import OwnLossModel
from tfcnf.tolerances.reinforce import Reinforce
from tfcnf.types import FlowOutput, Tensor, Weighted

HONESTY = "honesty"


class MeasuredModel(OwnLossModel):
    """A model whose steps update the means of an epoch.

    Attributes:
        flow: has ``num_solves``, the number of its ODE solves.
        is_supervised: whether there are measures of labels.
        reader: reads labels from the code.
        reinforce: trains the gates; None where the flow has none.
        costs: weights of the running costs that are part of the loss, by name.
        training_measures: names of terms that an evaluation leaves alone.
    """

    flow: Any
    is_supervised: bool
    reader: CodeReader
    reinforce: Reinforce | None = None
    costs: Mapping[str, float] = {}
    training_measures: frozenset[str] = frozenset({HONESTY})

    def _track_metrics(self) -> None:
        names = ["loss", "bits_per_dim"]
        measured = self.reader.measure_names if self.is_supervised else {}
        if self.is_supervised:
            names += [self.reader.loss_name, *measured]
        names += [*self.costs, "gradient_norm", "nfe_forward", "nfe_backward"]
        for i in range(self.flow.num_solves):
            names += [f"{name}/cnf_{i:02d}" for name in self._per_solve]
        roots = {k for k, (i, name) in measured.items() if name in self.labels[i].roots}
        self._trackers: dict[str, Any] = {
            name: EpochMean(name, name in roots) for name in names
        }

    def track_honesty(self) -> None:
        """Adds the metric ``honesty``, see `tfcnf.training.honesty`, once.

        Raises:
            ValueError: for a model without bits/dim.
        """
        if "bits_per_dim" not in self._trackers:
            raise ValueError(
                "honesty is of flows, whose likelihood is exact. "
                f"Received: model={self.name!r}"
            )
        self._trackers.setdefault(HONESTY, Newest(HONESTY))

    @property
    def _per_solve(self) -> list[str]:
        names = ["nfe_forward", "nfe_backward", "log10_tol"]
        return names + ["log_pi"] * (self.reinforce is not None)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means over the epoch; Keras resets them."""
        return list(self._trackers.values())

    def _update(
        self,
        terms: dict[str, Tensor | Weighted],
        weights: Tensor | None,
        *,
        out: FlowOutput,
        nfe_forward: Tensor,
        nfe_backward: Tensor | None,
    ) -> None:
        """Updates the means; without a backward solve there is no backward count."""
        per_solve = {
            "nfe_forward": nfe_forward,
            "nfe_backward": nfe_backward,
            "log10_tol": tf.math.log(out.tolerance) / math.log(10.0),
            "log_pi": out.log_pi,
        }
        measures = dict(terms)
        if weights is not None:
            measures = {
                name: value if name == "penalty" else weigh(value, weights)
                for name, value in terms.items()
            }
        for name in self._per_solve:
            value = per_solve[name]
            if value is None:
                continue
            if name in self._trackers:
                measures[name] = tf.reduce_sum(value)
            for i, part in enumerate(tf.unstack(value, self.flow.num_solves)):
                measures[f"{name}/cnf_{i:02d}"] = part
        means = over_replicas(measures)
        if "penalty" in means:
            (loss, weight), (penalty, _) = means["loss"], means.pop("penalty")
            means["loss"] = loss + penalty, weight
        for name, (mean, weight) in means.items():
            self._trackers[name].update_state(mean, weight)
