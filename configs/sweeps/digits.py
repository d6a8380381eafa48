"""Every tolerance policy on the digits, three seeds each: what learning brings.

    python launch/sweep.py --sweep=configs/sweeps/digits.py --out=runs/sweep
    python launch/report.py --runs=runs/sweep

Thirteen arms at batch 128 and nine at batch 718, all on the same code, epochs and
evaluation (tolerance 1e-5). The network is smaller than that of ``configs/digits.py``
and trains for half as long: a run takes three to ten minutes of one CPU core. The
papers' own sizes are in ``configs/sweeps/papers.py``.

Variants: regime=both|small|large, smoke (one seed and one epoch of a tiny network).
Single arms are left out or changed by flags such as
``--sweep.arms.batch_128.infocnf_learned.model.reinforce.price=0.03`` and
``--sweep.seeds="(0,)"``.
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
PLAIN = {"model.tol": 1e-5, "optimizer.learning_rate": 1e-2}  # as at batch 128
EXACT = {"model.gradient": "checkpoint"}  # what a loose adjoint solve costs
ARMS = {  # name: (variant of configs/digits.py, what is different from it)
    "ccnf_fixed_1e-5": ("model=ccnf,policy=fixed", {"model.tol": 1e-5}),
    "infocnf_fixed_1e-5": ("policy=fixed", {"model.tol": 1e-5}),
    "infocnf_fixed_1e-4": ("policy=fixed", {"model.tol": 1e-4}),
    "infocnf_fixed_1e-3": ("policy=fixed", {"model.tol": 1e-3}),
    "infocnf_fixed_1e-2": ("policy=fixed", {"model.tol": 1e-2}),
    "infocnf_random": ("policy=random", {}),
    "infocnf_scheduled": ("policy=scheduled", {}),
    "infocnf_learned": ("policy=learned", {}),
    "cnf_fixed_1e-5": ("model=cnf,policy=fixed", {"model.tol": 1e-5}),
    "cnf_fixed_1e-2": ("model=cnf,policy=fixed", {"model.tol": 1e-2}),
    "cnf_learned": ("model=cnf,policy=learned", {}),
    "infocnf_learned_checkpoint": ("policy=learned", EXACT),
    "cnf_learned_checkpoint": ("model=cnf,policy=learned", EXACT),
}
RECIPE = {  # what only large batches have
    "ccnf_scheduled": ("model=ccnf,policy=scheduled", {}),
    "ccnf_plain": ("model=ccnf,policy=fixed", PLAIN),
    "infocnf_plain": ("policy=fixed", PLAIN),
    "infocnf_learned_2x": ("policy=learned", {"model.flows_per_block": 2}),
}
SHARED = (
    *("ccnf_fixed_1e-5", "infocnf_fixed_1e-5", "infocnf_fixed_1e-2"),
    *("infocnf_scheduled", "infocnf_learned"),
)
REGIMES = {
    "small": ("batch_128", "batch=128", ARMS),
    "large": (
        "batch_718",
        "batch=718",
        {name: ARMS[name] for name in SHARED} | RECIPE,
    ),
}


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant, {"regime": ("both", *REGIMES), "smoke": (False, True)}
    )
    sweep = ml_collections.ConfigDict({"seeds": (0, 1, 2), "arms": {}})
    for regime, (folder, batch, arms) in REGIMES.items():
        if choice["regime"] in ("both", regime):
            sweep.arms[folder] = {
                name: _arm(*arm, batch, choice["smoke"]) for name, arm in arms.items()
            }
    if choice["smoke"]:
        sweep.seeds = (0,)
    return sweep.lock()


def _arm(
    variant: str, different: dict[str, Any], batch: str, smoke: bool
) -> ml_collections.ConfigDict:
    config = DIGITS(f"{variant},{batch},papers")
    config.update(SIZE)
    if smoke:
        config.update(SMOKE)
    config.update_from_flattened_dict(different)
    return config
