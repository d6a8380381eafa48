"""From keywords to the policies of one CNF layer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfcnf.checks import check_choice
from tfcnf.gates.policy import FixedTolerance, ScheduledTolerance, check_tolerance
from tfcnf.gates.sampled import LearnedTolerance, RandomTolerance


def fixed(first: bool, tol: float, adjoint_tol: float | None, **common: Any) -> Any:
    """The same tolerances in all layers."""
    del common["seed"]
    return FixedTolerance(tol, **common), _fixed(adjoint_tol, **common)


def scheduled(
    first: bool,
    tol: float,
    adjoint_tol: float | None,
    first_factor: float = 0.1,
    adjoint_first_factor: float = 0.1,
    epochs: Sequence[int] = (0,),
    factors: Sequence[float] = (1.0,),
    adjoint_factors: Sequence[float] = (1.0,),
    **common: Any,
) -> Any:
    """Tolerances set by hand: the first CNF of each stack strict, the others loose.

    Args:
        first: whether the layer is the first of its stack (scale).
        tol: forward tolerance of the layers that are not.
        adjoint_tol: their backward tolerance; ``tol`` if None.
        first_factor: factor on the forward tolerance of the first.
        adjoint_first_factor: factor on its backward tolerance.
        epochs: see `ScheduledTolerance`; for both tolerances.
        factors: of the forward tolerances, from each of ``epochs`` on.
        adjoint_factors: of the backward tolerances, from each of ``epochs`` on; one
            alone holds for all of them.
        **common: keywords of the layers.
    """
    del common["seed"]
    backward = tol if adjoint_tol is None else adjoint_tol
    tol, backward = (
        value * (factor if first else 1.0)
        for value, factor in [(tol, first_factor), (backward, adjoint_first_factor)]
    )
    backward_factors = tuple(adjoint_factors)
    if len(backward_factors) == 1:
        backward_factors *= len(epochs)
    if len(backward_factors) != len(epochs):
        raise ValueError(
            "adjoint_factors must be one or as many as epochs. Received: "
            f"adjoint_factors={backward_factors}, epochs={tuple(epochs)}"
        )
    return (
        ScheduledTolerance(tol, epochs, factors, **common),
        ScheduledTolerance(backward, epochs, backward_factors, **common),
    )


def random(
    first: bool,
    tol: float,
    adjoint_tol: float | None,
    low: float = 1e-6,
    high: float = 1e-1,
    spread: float = 0.1,
    log_scale: bool = True,
    **common: Any,
) -> Any:
    """Tolerances with the distribution that learned ones start with."""
    policy = RandomTolerance(tol, low, high, spread, log_scale, **common)
    del common["seed"]
    return policy, _fixed(adjoint_tol, **common)


def learned(
    first: bool,
    tol: float,
    adjoint_tol: float | None,
    low: float = 1e-6,
    high: float = 1e-1,
    spread: float = 0.1,
    log_scale: bool = True,
    width: int = 10,
    **common: Any,
) -> Any:
    """Tolerances of gates."""
    policy = LearnedTolerance(tol, low, high, spread, log_scale, width, **common)
    del common["seed"]
    return policy, _fixed(adjoint_tol, **common)


POLICIES = {
    "fixed": fixed,
    "scheduled": scheduled,
    "random": random,
    "learned": learned,
}


def policy_options(policy: str) -> dict[str, Any]:
    """The options of a policy, with their defaults.

    Raises:
        ValueError: for an unknown policy.
    """
    parameters = inspect.signature(_maker(policy)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def build_policies(
    policy: str,
    options: Mapping[str, Any] | None,
    first: bool,
    tol: float,
    adjoint_tol: float | None,
    seed: int | None,
    dtype: Any,
) -> tuple[keras.layers.Layer, keras.layers.Layer | None]:
    """The policies of a layer's forward and backward solves.

    Args:
        policy: ``"fixed"``, ``"scheduled"``, ``"random"`` or ``"learned"``.
        options: keywords of the policy, see `policy_options`.
        first: whether the layer is the first of its stack.
        tol: forward tolerance; for sampled tolerances the (initial) mean.
        adjoint_tol: backward tolerance.
        seed: integer seed of what is random.
        dtype: dtype or dtype policy of the layers.

    Returns:
        The second is None where the backward solve has the forward one's tolerance.

    Raises:
        ValueError: for an unknown policy or option, or a value out of range.
    """
    make, known = _maker(policy), policy_options(policy)
    if adjoint_tol is not None:
        check_tolerance("adjoint_tol", adjoint_tol)
    for key, value in (options or {}).items():
        if key not in known:
            raise ValueError(
                f"options of policy={policy!r} are {', '.join(known) or 'none'}. "
                f"Received: policy_options.{key}={value!r}"
            )
    return make(first, tol, adjoint_tol, **(options or {}), seed=seed, dtype=dtype)


def _maker(policy: str) -> Any:
    check_choice("policy", policy, POLICIES)
    return POLICIES[policy]


def _fixed(adjoint_tol: float | None, **common: Any) -> FixedTolerance | None:
    return None if adjoint_tol is None else FixedTolerance(adjoint_tol, **common)
