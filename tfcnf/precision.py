"""Floating-point types: half precision within the dynamics, full for all else.

Under one of Keras' policies ``"mixed_bfloat16"`` and ``"mixed_float16"``, of a model or
global, the linear maps between hidden layers of the dynamics are computed in half
precision. The state of a solve, its time and error test, the log-determinant, all
quadratures, priors, losses and the optimizer stay in the policy's other type, float32.
Dynamics of your own are called as Keras does it, with everything in half precision, and
what they return is cast back.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import keras
import numpy as np

STATES = ("float32", "float64")
NOISE = {"bfloat16": 1e-3, "float16": 1e-4}  # tightest meaningful tolerance
LEAST = {"float32": 1e-7, "float64": 1e-12}  # that the rounding of a state allows


def is_mixed(policy: keras.DTypePolicy) -> bool:
    """True where a policy computes in another type than its variables have."""
    return policy.compute_dtype != policy.variable_dtype


def inner_optimizer(optimizer: Any) -> Any:
    """The optimizer itself, or the one that a `LossScaleOptimizer` wraps."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def checked_policy(dtype: Any) -> keras.DTypePolicy:
    """The policy, or the global one where ``dtype`` is None.

    Raises:
        ValueError: where the state of a solve would be in half precision.
    """
    policy = keras.dtype_policies.get(dtype)
    if policy.variable_dtype not in STATES:
        raise ValueError(
            "a solve needs a state of float32 or float64; for half precision in the "
            "hidden layers of its dynamics take mixed_bfloat16 or mixed_float16. "
            f"Received: dtype={policy.name!r}"
        )
    return policy


@functools.cache
def tell_of_noise(half: str) -> None:
    """Warns, once in a process, of a tolerance below the noise of this type."""
    warnings.warn(
        f"dynamics in {half} have a noise that the error estimate sees: below a "
        f"tolerance of {NOISE[half]:g} a solve takes many more steps and comes no "
        "closer; evaluate a copy in float32, or take a larger tol",
        stacklevel=2,
    )


def check_noise(policy: keras.DTypePolicy, tol: Any) -> None:
    """Warns where a tolerance, a number, is below the noise under this policy."""
    floor = NOISE.get(policy.compute_dtype, 0.0) if is_mixed(policy) else 0.0
    if isinstance(tol, float) and tol < floor:
        tell_of_noise(policy.compute_dtype)


def tighter(tol: Any, dtype: str) -> Any:
    """Tolerances 100 times tighter, but not below what rounding in this type allows."""
    return np.minimum(tol, np.maximum(tol / 100, LEAST[dtype]))


class FullPrecision(keras.layers.Layer):
    """A layer that computes in the type of its variables, under a mixed policy too."""

    def __init__(self, *, dtype: Any = None, **kwargs: Any):
        policy = checked_policy(dtype)
        full = policy.variable_dtype if is_mixed(policy) else policy
        super().__init__(dtype=full, **kwargs)
