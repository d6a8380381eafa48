"""Latent ODEs with and without a partitioned code, three seeds each (InfoCNF 4.6).

    python launch/sweep.py --sweep=configs/sweeps/spirals.py --out=runs/spirals_sweep
    python launch/report.py --runs=runs/spirals_sweep

Three arms of one size and budget: a supervised code (``code``), the same labels read
from the whole code by a linear head (``head``), no labels (``none``). What ``code``
gains over ``head`` is owed to the partition, what ``head`` gains over ``none`` to the
labels. They are trained without clockwise spirals of large b, so that the domain
``held_out`` is unseen; ``shift_2`` and ``shift_4`` are unseen anyway.

``budget=standard`` has the models of `configs/spirals.py` that go on where the curves
end, nine minutes of one core each, in place of the papers' sizes.

``study=parity`` trains ``none`` and ``code`` under the conditions of the authors' logs
(one seed, as they), for the first 2,000 of their 20,000 steps; the learning rate is
constant, so that a run for longer begins in the same way.

Variants: study=partition|parity, data=spirals_held_out|spirals, budget=short|standard,
smoke.
"""

import runpy
from pathlib import Path
from typing import Any

import ml_collections

from tfcnf.models.latent_options import PARTITIONS
from tfcnf.runs.config import parse_variant

SPIRALS = runpy.run_path(str(Path(__file__).parents[1] / "spirals.py"))["get_config"]
PARITY_EPOCHS = 20  # of 100 steps
DATA, BUDGETS = ("spirals_held_out", "spirals"), ("short", "standard")


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant,
        {
            "study": ("partition", "parity"),
            "data": DATA,
            "budget": BUDGETS,
            "smoke": (False, True),
        },
    )
    smoke = f"smoke={choice['smoke']}"
    if choice["study"] == "parity":
        _refuse_other_sizes(choice)
        arms = {
            p: SPIRALS(f"partition={p},budget=parity,{smoke}") for p in ("none", "code")
        }
        for arm in arms.values():
            arm.training.epochs = min(arm.training.epochs, PARITY_EPOCHS)
        seeds: tuple[int, ...] = (0,)
    else:
        common = f"data={choice['data']},budget={choice['budget']},{smoke}"
        arms = {p: SPIRALS(f"partition={p},{common}") for p in PARTITIONS}
        seeds = (0,) if choice["smoke"] else (0, 1, 2)
    folder = "parity" if choice["study"] == "parity" else choice["data"]
    sweep = ml_collections.ConfigDict({"seeds": seeds, "arms": {folder: arms}})
    return sweep.lock()


def _refuse_other_sizes(choice: dict[str, Any]) -> None:
    for key, (default, *_) in {"data": DATA, "budget": BUDGETS}.items():
        if choice[key] != default:
            raise ValueError(
                "study=parity has the data and the budget of the authors' logs. "
                f"Received: {key}={choice[key]}"
            )
