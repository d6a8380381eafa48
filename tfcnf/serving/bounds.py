"""Bounds of an export: what one request may cost a server."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tfcnf.checks import check_positive_integer
from tfcnf.models.infocnf import InfoCNF
from tfcnf.ode.solver import Solver
from tfcnf.tolerances.policy import check_tolerance


@dataclass(frozen=True)
class Bounds:
    """Largest batch, tightest tolerance and most steps of a solve in a request.

    A request beyond one of them is refused in one line that names it. The time of the
    worst request that is answered is in proportion to the product of the batch and the
    steps.

    Args:
        max_batch: examples of a request; pairs times steps where it interpolates.
        min_tol: tightest tolerance that may be asked for.
        max_num_steps: attempted steps of each solve, where the model's solver does not
            allow less; a solve that needs more fails.

    Raises:
        ValueError: for a bound that is not positive.
    """

    max_batch: int = 1000
    min_tol: float = 1e-6
    max_num_steps: int = 100

    def __post_init__(self) -> None:
        check_positive_integer("max_batch", self.max_batch)
        check_positive_integer("max_num_steps", self.max_num_steps)
        check_tolerance("min_tol", self.min_tol)

    def limit(self, model: InfoCNF) -> InfoCNF:
        """A copy of the model whose solves attempt no more steps."""
        config = _limited(model.get_config(), self.max_num_steps)
        if not config["flow"] and "solver" not in config:
            config["solver"] = _with_steps("dopri5", self.max_num_steps)
        copy = type(model).from_config(config)
        copy.set_weights(model.get_weights())
        return copy


def _limited(config: Any, steps: int) -> Any:
    """A configuration with every solver in it limited."""
    if isinstance(config, dict):
        return {
            key: _with_steps(value, steps)
            if key == "solver"
            else _limited(value, steps)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_limited(value, steps) for value in config)
    return config


def _with_steps(solver: str, steps: int) -> str:
    made = Solver.get(solver)
    steps = min(steps, made.max_num_steps)
    return str(dataclasses.replace(made, max_num_steps=steps))
