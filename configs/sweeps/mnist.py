"""CNF, CCNF and InfoCNF on MNIST with one network and budget (InfoCNF, Table 2).

    python launch/sweep.py --sweep=configs/sweeps/mnist.py --out=runs/mnist_models \
        --data_dir=DIR
    python launch/report.py --runs=runs/mnist_models

The three models of ``configs/mnist.py``, InfoCNF with learned tolerances, and InfoCNF
without the price on the kinetic energy of its fields. One seed and three epochs each,
half an hour to an hour of one CPU core.

Variants: data=mnist|mnist_5k, bfloat16 (where the CPU has its instructions, a fifth
faster; evaluations are then at the tightest tolerance that it has a use for, and
``launch/evaluate.py --dtype=float32 --tol=1e-5`` measures a run as the others), smoke.
"""

import runpy
from pathlib import Path
from typing import Any

import ml_collections

from tfcnf.precision import NOISE
from tfcnf.runs.config import parse_variant

MNIST = runpy.run_path(str(Path(__file__).parents[1] / "mnist.py"))["get_config"]
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "infocnf": ("model=infocnf", {}),
    "cnf": ("model=cnf", {}),
    "ccnf": ("model=ccnf", {}),
    "infocnf_learned": ("model=infocnf,policy=learned", {}),
    "infocnf_no_cost": ("model=infocnf", {"model.costs.kinetic_energy": 0.0}),
}
EPOCHS = 3


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant,
        {
            "data": ("mnist", "mnist_5k"),
            "bfloat16": (False, True),
            "smoke": (False, True),
        },
    )
    arms = {name: _arm(*arm, choice) for name, arm in ARMS.items()}
    sweep = ml_collections.ConfigDict({"seeds": (0,), "arms": {choice["data"]: arms}})
    return sweep.lock()


def _arm(
    variant: str, different: dict[str, Any], choice: dict[str, Any]
) -> ml_collections.ConfigDict:
    config = MNIST(f"{variant},data={choice['data']},smoke={choice['smoke']}")
    if choice["data"] == "mnist" and not choice["smoke"]:
        config.training.epochs = EPOCHS
    if choice["bfloat16"]:
        config.model.dtype = "mixed_bfloat16"
        config.evaluation.tol = NOISE["bfloat16"]
    config.update_from_flattened_dict(different)
    return config
