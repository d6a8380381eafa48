"""Every tolerance policy on the digits, three seeds each: what learning brings.

    python launch/sweep.py --sweep=configs/sweeps/digits.py --out=runs/sweep
    python launch/report.py --runs=runs/sweep

Eleven arms at batch 128 and the main ones at batch 718, all on the same code, epochs
and evaluation (tolerance 1e-5). The network is smaller than that of
``configs/digits.py`` and trains for half as long, so that all fits into about four
hours on two CPU cores.

Variants: regime=both|small|large, smoke (one seed and one epoch of a tiny network).
Single arms are left out or changed by flags such as
``--sweep.arms.batch_128.infocnf_learned.model.reinforce.alpha=0.03`` and
``--sweep.seeds="(0,)"``.
"""

import runpy
from pathlib import Path

import ml_collections

from tfcnf.configuration import SMOKE, parse_variant

DIGITS = runpy.run_path(str(Path(__file__).parents[1] / "digits.py"))["get_config"]
SIZE = {
    "model": {"filters": 16},
    "training": {"epochs": 30},
    "evaluation": {"every": 3, "draws": 3},
}
ARMS = {  # name: (variant of configs/digits.py, tolerance or None for its default)
    "ccnf_fixed_1e-5": ("model=ccnf,policy=fixed", 1e-5),
    "infocnf_fixed_1e-5": ("policy=fixed", 1e-5),
    "infocnf_fixed_1e-4": ("policy=fixed", 1e-4),
    "infocnf_fixed_1e-3": ("policy=fixed", 1e-3),
    "infocnf_fixed_1e-2": ("policy=fixed", 1e-2),
    "infocnf_random": ("policy=random", None),
    "infocnf_scheduled": ("policy=scheduled", None),
    "infocnf_learned": ("policy=learned", None),
    "cnf_fixed_1e-5": ("model=cnf,policy=fixed", 1e-5),
    "cnf_fixed_1e-2": ("model=cnf,policy=fixed", 1e-2),
    "cnf_learned": ("model=cnf,policy=learned", None),
}
REGIMES = {
    "small": ("batch_128", "batch=128", tuple(ARMS)),
    "large": (
        "batch_718",
        "batch=718",
        (
            "ccnf_fixed_1e-5",
            "infocnf_fixed_1e-5",
            "infocnf_fixed_1e-2",
            "infocnf_scheduled",
            "infocnf_learned",
        ),
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
                arm: _arm(*ARMS[arm], batch, choice["smoke"]) for arm in arms
            }
    if choice["smoke"]:
        sweep.seeds = (0,)
    return sweep.lock()


def _arm(
    variant: str, tol: float | None, batch: str, smoke: bool
) -> ml_collections.ConfigDict:
    config = DIGITS(f"{variant},{batch}")
    config.update(SIZE)
    if smoke:
        config.update(SMOKE)
    if tol is not None:
        config.model.tol = tol
    return config
