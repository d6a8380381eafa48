"""Tolerances sampled from a Gaussian: with constant parameters, or with learned ones.

Let v be the tolerance's logarithm to base 10 or, as in the papers, the tolerance
itself, and [a, b] its bounds. Then v ~ N(mu, sigma^2) with ::

    mu = a + (b - a) m,    sigma = (b - a) s,    0 < m < 1, s within `SPREADS`,

and the solver gets the tolerance of v cut off at its bounds. log pi is the density
of v itself, so that the policy gradient of whatever the solver then does is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfcnf.seeds import fold_in, kernel_normal, shared_seed
from tfcnf.tolerances.network import GateNetwork
from tfcnf.tolerances.policy import TolerancePolicy, check_tolerance
from tfcnf.types import Tensor

SPREADS = (0.01, 0.3)


@keras.saving.register_keras_serializable("tfcnf")
class RandomTolerance(TolerancePolicy, key="random"):
    """The distribution that learned tolerances start with; nothing is learned.

    It is the control that tells what is owed to learning from what is owed to noise
    and to a looser tolerance.

    ```python
    policy = tfcnf.RandomTolerance(tol=1e-3, low=1e-5, high=1e-2)
    tol, log_pi = policy(tf.zeros([4, 2]), sample=True, seed=tf.constant([0, 1]))
    ```

    Args:
        tol: tolerance at the mean of the distribution.
        low: smallest tolerance to give.
        high: largest tolerance to give.
        spread: standard deviation as a fraction of the range of v.
        log_scale: whether v is log10 of the tolerance, or (InfoCNF section 3) the
            tolerance.
        seed: integer seed of the samples.

    Raises:
        ValueError: unless ``0 < low < tol < high``, or for a spread out of range.
    """

    samples: ClassVar[bool] = True

    def __init__(
        self,
        tol: float = 1e-3,
        low: float = 1e-6,
        *,
        high: float = 1e-1,
        spread: float = 0.1,
        log_scale: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.tol = check_tolerance("tol", tol)
        self.low, self.high = check_tolerance("low", low), check_tolerance("high", high)
        if not low < tol < high:
            raise ValueError(
                "the bounds must be on either side of the tolerance. "
                f"Received: low={low}, tol={tol}, high={high}"
            )
        if not SPREADS[0] < spread < SPREADS[1]:
            raise ValueError(
                f"spread must be between {SPREADS[0]} and {SPREADS[1]}. "
                f"Received: spread={spread}"
            )
        self.spread, self.log_scale, self.seed = spread, log_scale, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(
        self,
        features: Tensor,
        sample: bool | Tensor = False,
        seed: Tensor = None,
    ) -> tuple[Tensor, Tensor]:
        """One tolerance for a batch, and its log-density.

        Args:
            features: what flows into the solve, ``[B, ...]``.
            sample: whether to sample, a bool or a scalar 1 or 0; otherwise the mean
                is given, with log pi = 0.
            seed: ``[2]`` integers that fix the sample; a new one if None. All
                replicas draw the same.

        Returns:
            The tolerance, without gradient, and log pi of v; scalars.
        """
        dtype = features.dtype
        m, s = self.parameters(features)
        if sample is False:
            return tf.stop_gradient(self._tolerance(m)), tf.zeros([], dtype)
        sampled = tf.cast(sample, dtype)
        # from a given seed comes the solve's own noise too
        own = shared_seed(self.seed_generator) if seed is None else fold_in(seed, 1)
        noise = kernel_normal(own, dtype)
        drawn = tf.stop_gradient(m + sampled * s * noise)
        start, stop = self._range()
        log_pi = -0.5 * (
            tf.square((drawn - m) / s) + math.log(2 * math.pi)
        ) - tf.math.log(s * (stop - start))
        return self._tolerance(drawn), sampled * log_pi

    def parameters(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """m and s, scalars: mean and deviation as fractions of the range of v."""
        m, s = self._start()
        return tf.constant(m, features.dtype), tf.constant(s, features.dtype)

    def _start(self) -> tuple[float, float]:
        start, stop = self._range()
        v = math.log10(self.tol) if self.log_scale else self.tol
        return (v - start) / (stop - start), self.spread

    def _range(self) -> tuple[float, float]:
        if self.log_scale:
            return math.log10(self.low), math.log10(self.high)
        return self.low, self.high

    def _tolerance(self, fraction: Tensor) -> Tensor:
        start, stop = self._range()
        v = start + (stop - start) * tf.clip_by_value(fraction, 0.0, 1.0)
        return tf.pow(tf.constant(10.0, v.dtype), v) if self.log_scale else v

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "tol": self.tol,
            "low": self.low,
            "high": self.high,
            "spread": self.spread,
            "log_scale": self.log_scale,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("tfcnf")
class LearnedTolerance(RandomTolerance, key="learned"):
    """The paper's gate: a network gives mean and deviation (InfoCNF section 3).

    It starts as the `RandomTolerance` of the same keywords, whatever the features,
    and learns by REINFORCE (`tfcnf.tolerances.reinforce`).

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=8, policy="learned", tol=1e-3)
    assert isinstance(model.flow.layers[0].policy, tfcnf.LearnedTolerance)
    ```

    Args:
        tol: tolerance at the mean of the initial distribution.
        low: see `RandomTolerance`.
        high: see `RandomTolerance`.
        spread: initial standard deviation as a fraction of the range of v.
        log_scale: see `RandomTolerance`.
        width: see `GateNetwork`.
        seed: integer seed of the samples and the initial weights.
    """

    learns: ClassVar[bool] = True

    def __init__(
        self,
        tol: float = 1e-3,
        low: float = 1e-6,
        *,
        high: float = 1e-1,
        spread: float = 0.1,
        log_scale: bool = True,
        width: int = 10,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            tol,
            low,
            high=high,
            spread=spread,
            log_scale=log_scale,
            seed=seed,
            **kwargs,
        )
        self.width = width
        self.network = GateNetwork(2, width, seed, dtype=self.dtype_policy)

    def build(self, shape: Sequence[int | None]) -> None:
        """Creates the network's weights for features of this shape."""
        self.network.build(shape)
        self.built = True

    def parameters(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """m and s of this batch, scalars, differentiable in the network's weights."""
        outputs = self.network(features)
        m, s = self._start()
        least, most = SPREADS
        share = (s - least) / (most - least)
        return (
            tf.sigmoid(_logit(m) + outputs[0]),
            least + (most - least) * tf.sigmoid(_logit(share) + outputs[1]),
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {"width": self.width}


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
