"""Tolerance policies: the error tolerance that a CNF's solver works to.

A new policy is one file with a subclass of `TolerancePolicy`: it defines ``call``, and
overrides what else differs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import keras

from tfcnf.precision import FullPrecision
from tfcnf.registry import Registered
from tfcnf.types import Tensor

# keywords of policies that the layer decides, not the options
COMMON = ("tol", "seed")
Pair = tuple["TolerancePolicy", "TolerancePolicy | None"]


class TolerancePolicy(Registered, FullPrecision, kind="policy"):
    """A layer ``policy(features, sample, seed) -> (tol, log_pi)``.

    The results are a scalar tolerance and the log-density with which it was sampled, 0
    if it was not. With ``sample`` a policy that has a distribution samples it;
    otherwise it gives the mean. Options are the keywords of the constructor that have a
    default.

    ```python
    class Halved(tfcnf.TolerancePolicy, key=None):
        def __init__(self, tol=1e-5, **kwargs):
            super().__init__(**kwargs)
            self.tol = tol

        def call(self, features, sample=False, seed=None):
            return tf.constant(self.tol / 2), tf.zeros([])
    ```

    Attributes:
        samples: tolerances are drawn, so that batches have their own.
        learns: it has variables that REINFORCE trains.
        steps: steps between the measures of honesty that it has to `hear`; 0 for none.
    """

    samples: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    steps: ClassVar[int] = 0

    @property
    def learned_weights(self) -> Sequence[keras.Variable]:
        """Variables that are trained by REINFORCE."""
        return self.trainable_variables if self.learns else ()

    def begin_epoch(self, epoch: int) -> None:
        """Called at the start of an epoch, counted from 0."""

    def hear(self, honesty: float) -> None:
        """Called with each |bits(tol) - bits(tighter)| of a training, bits/dim."""

    def call(
        self, features: Tensor, sample: bool = False, seed: Tensor = None
    ) -> tuple[Tensor, Tensor]:
        """Tolerance and log-density, scalars.

        Args:
            features: the input of the solve, ``[B, ...]``.
            sample: whether to sample, a bool or a scalar 1 or 0. It is not Keras'
                ``training``, which would pass on to the layers that come after.
            seed: ``[2]`` integers that fix the sample.
        """
        raise NotImplementedError

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The options of the policy, with their defaults."""
        return defaults(cls.__init__)

    @classmethod
    def for_layer(
        cls,
        first: bool,
        tol: float,
        adjoint_tol: float | None,
        seed: int | None,
        dtype: Any,
        **options: Any,
    ) -> Pair:
        """The policies of a layer's forward and backward solves.

        Args:
            first: whether the layer is the first of its stack (scale).
            tol: forward tolerance; for sampled tolerances the (initial) mean.
            adjoint_tol: backward tolerance.
            seed: integer seed of what is random.
            dtype: dtype or dtype policy of the layers.
            **options: see `options`.

        Returns:
            The second is None where the backward solve has the forward one's tolerance.
        """
        if "seed" in inspect.signature(cls.__init__).parameters:
            options["seed"] = seed
        backward = None
        if adjoint_tol is not None:
            backward = TolerancePolicy.find("fixed")(adjoint_tol, dtype=dtype)
        return cls(tol=tol, dtype=dtype, **options), backward


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The keywords of a function that have a default, but for those of all policies."""
    return {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.default is not p.empty and p.name not in COMMON
    }


def policy_options(policy: str) -> dict[str, Any]:
    """The options of a policy, with their defaults.

    Raises:
        ValueError: for an unknown policy.
    """
    return TolerancePolicy.find(policy).options()


def build_policies(
    policy: str,
    options: Mapping[str, Any] | None,
    *,
    first: bool,
    tol: float,
    adjoint_tol: float | None,
    seed: int | None,
    dtype: Any,
) -> Pair:
    """The policies of a layer's forward and backward solves, see `for_layer`.

    Args:
        policy: name of the policy.
        options: its options.
        first: see `TolerancePolicy.for_layer`.
        tol: see `TolerancePolicy.for_layer`.
        adjoint_tol: see `TolerancePolicy.for_layer`.
        seed: see `TolerancePolicy.for_layer`.
        dtype: see `TolerancePolicy.for_layer`.

    Raises:
        ValueError: for an unknown policy or option, or a value out of range.
    """
    made, known = TolerancePolicy.find(policy), policy_options(policy)
    if adjoint_tol is not None:
        check_tolerance("adjoint_tol", adjoint_tol)
    for key, value in (options or {}).items():
        if key not in known:
            raise ValueError(
                f"options of policy={policy!r} are {', '.join(known) or 'none'}. "
                f"Received: policy_options.{key}={value!r}"
            )
    return made.for_layer(first, tol, adjoint_tol, seed, dtype, **(options or {}))


def check_tolerance(name: str, value: float) -> float:
    """Returns a positive finite float or raises a ValueError that says so."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number. Received: {name}={value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(
            f"{name} must be positive and finite. Received: {name}={value!r}"
        )
    return float(value)


def parse_tolerances(texts: Sequence[str]) -> list[float]:
    """Tolerances from text, each checked.

    Raises:
        ValueError: for text that is not a positive number.
    """
    tols = []
    for text in texts:
        try:
            tols.append(check_tolerance("tol", float(text)))
        except ValueError:
            raise ValueError(
                f"tol must be positive numbers. Received: tol={text!r}"
            ) from None
    if not tols:
        raise ValueError("tol must have at least one entry. Received: tol=[]")
    return tols
