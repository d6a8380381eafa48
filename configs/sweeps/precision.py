"""Half precision in the dynamics against float32: does the trained model differ?

    python launch/sweep.py --sweep=configs/sweeps/precision.py --out=runs/precision
    python launch/report.py --runs=runs/precision

InfoCNF on the digits, three seeds each, at the tightest tolerance that bfloat16 has a
use for (1e-3; below it the noise of the dynamics is what the error estimate sees), in
training and evaluation alike. The network and the epochs are those of
``configs/sweeps/digits.py``.

Variants: smoke (one seed and one epoch of a tiny network).
"""

import runpy
from pathlib import Path

import ml_collections

from tfcnf.precision import NOISE
from tfcnf.runs.config import SMOKE, parse_variant

DIGITS = runpy.run_path(str(Path(__file__).parents[1] / "digits.py"))["get_config"]
SIZE = {
    "model": {"filters": 16, "tol": NOISE["bfloat16"]},
    "training": {"epochs": 30},
    "evaluation": {"every": 10, "draws": 3, "tol": NOISE["bfloat16"]},
}
ARMS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, {"smoke": (False, True)})
    arms = {name: _arm(dtype, choice["smoke"]) for name, dtype in ARMS.items()}
    seeds = (0,) if choice["smoke"] else (0, 1, 2)
    sweep = ml_collections.ConfigDict({"seeds": seeds, "arms": {"digits": arms}})
    return sweep.lock()


def _arm(dtype: str, smoke: bool) -> ml_collections.ConfigDict:
    config = DIGITS("policy=fixed,papers")
    config.update(SIZE)
    if smoke:
        config.update(SMOKE)
    config.model.dtype = dtype
    return config
