"""Likelihood and both posteriors of each single example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfcnf.data.source import Split
    from tfcnf.models.infocnf import InfoCNF
    from tfcnf.types import Tensor


class ExampleMeasures:
    """Measures single examples with one draw of noise, as ``model.log_prob`` does.

    Args:
        model: the model.
        tol: solver tolerance.
        batch_size: examples solved at a time.
        posteriors: measure the posteriors, not the likelihood.

    Raises:
        ValueError: for a tolerance that is not positive.
    """

    def __init__(
        self,
        model: InfoCNF,
        tol: float,
        batch_size: int = 500,
        posteriors: bool = False,
    ):
        import tensorflow as tf

        from tfcnf.tolerances.policy import check_tolerance

        self.model, self.batch_size, self.posteriors = model, batch_size, posteriors
        self.tol = tf.constant(check_tolerance("tol", tol), model.compute_dtype)
        self._measure = tf.function(self._pass, autograph=False, reduce_retracing=True)

    def __call__(self, split: Split) -> dict[str, np.ndarray]:
        """Measures every example of a split; labels are not looked at.

        Returns:
            ``"log_prob"``: log p(x) with the labels marginalised, ``[n]`` nats, or with
            ``posteriors``, for the first label of classes, the unnormalised
            log-probabilities ``[n, K]`` of the classes: ``"discriminative"`` from the
            classifier and ``"generative"`` by Bayes' rule from the mixture.
        """
        import tensorflow as tf

        from tfcnf.data.pipeline import evaluation_batches

        parts = [
            self._measure(tf.nest.map_structure(tf.constant, x), tf.constant([0, i]))
            for i, (x, _) in enumerate(evaluation_batches(split, self.batch_size))
        ]
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}

    def _pass(self, x: Tensor, seed: Tensor) -> dict[str, Tensor]:
        from tfcnf.models.inference import POSTERIORS
        from tfcnf.types import Control

        model = self.model
        out = model(x, control=Control(tol=self.tol, seed=seed))
        if not self.posteriors:
            return {"log_prob": model.log_density(out)}
        return {name: model.class_scores(out.code, name)[0] for name in POSTERIORS}
