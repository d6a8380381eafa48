"""The front of evaluations against bits/dim, with and without running costs.

    python launch/sweep.py --sweep=configs/sweeps/regularised.py --out=runs/regularised
    python launch/report.py --runs=runs/regularised

For each constant tolerance from 1e-5 to 1e-1, and for scheduled, random, adapted (Ott
et al. 2021) and learned ones: InfoCNF on the digits as it is and with running costs
(Finlay et al. 2020); the constant 1e-3 with a random end time too (Ghosh et al. 2020).
All are evaluated at 1e-5.
The network, the epochs and the seeds are those of ``configs/sweeps/digits.py``.

Variants: smoke (one seed and one epoch of a tiny network). Weights are changed by flags
such as ``--sweep.arms.front.fixed_1e-3_costs.model.costs.kinetic_energy=0.1``.
"""

import runpy
from pathlib import Path
from typing import Any

import ml_collections

from tfcnf.runs.config import SMOKE, parse_variant

DIGITS = runpy.run_path(str(Path(__file__).parents[1] / "digits.py"))["get_config"]
SIZE = {
    "model": {"filters": 16},
    "training": {"epochs": 30},
    "evaluation": {"every": 3, "draws": 3},
}
TOLERANCES = ("1e-5", "1e-4", "1e-3", "1e-2", "1e-1")
POLICIES = ("scheduled", "random", "adapted", "learned")
COSTS = {"model.costs.kinetic_energy": 0.05, "model.costs.jacobian_norm": 0.05}
STEER = {"model.steer": 0.25}


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, {"smoke": (False, True)})
    bases = {f"fixed_{tol}": ("fixed", {"model.tol": float(tol)}) for tol in TOLERANCES}
    bases |= {policy: (policy, {}) for policy in POLICIES}
    arms = {}
    for name, (policy, different) in bases.items():
        for ending, added in [("", {}), ("_costs", COSTS)]:
            arms[name + ending] = _arm(policy, different | added, choice["smoke"])
    tight = {"model.tol": 1e-3} | STEER
    for ending, added in [("steer", {}), ("costs_steer", COSTS)]:
        arms[f"fixed_1e-3_{ending}"] = _arm("fixed", tight | added, choice["smoke"])
    seeds = (0,) if choice["smoke"] else (0, 1, 2)
    sweep = ml_collections.ConfigDict({"seeds": seeds, "arms": {"front": arms}})
    return sweep.lock()


def _arm(
    policy: str, different: dict[str, Any], smoke: bool
) -> ml_collections.ConfigDict:
    config = DIGITS(f"policy={policy},papers")
    config.update(SIZE)
    if smoke:
        config.update(SMOKE)
    config.update_from_flattened_dict(different)
    return config
