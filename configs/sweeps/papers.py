"""The papers' comparisons of images at full size: InfoCNF Tables 1 and 2, and figures.

    python launch/sweep.py --sweep=configs/sweeps/papers.py:data=cifar10 \\
        --out=runs/papers_cifar10 --data_dir=DIR
    python launch/report.py --runs=runs/papers_cifar10

Takes weeks of GPUs: each run is 400 epochs of 14 CNFs (cifar10) or 10 (mnist). Which
figure shows which arms: docs/papers.md. The same comparisons on two CPU cores are
``configs/sweeps/digits.py``.

Variants: data=cifar10|mnist, regime=both|small|large (batch 900 and 8000), smoke (one
seed and one epoch of a tiny network).
"""

import runpy
from pathlib import Path
from typing import Any

import ml_collections

from tfcnf.runs.config import parse_variant

CONFIGS = Path(__file__).parents[1]
NO_DROPOUT = {"model.dropout": 0.0}  # MC-FFJORD Fig. 2
PLAIN = {  # "without large learning rate and tuned tolerance", InfoCNF Fig. 5 and 12
    "model.tol": 1e-5,
    "optimizer.learning_rate": 1e-3,
    "optimizer.drop_epochs": (250,),
}
REGIMES = {  # batch: arms, name: (variant, what is different from it)
    900: {
        "ccnf": ("model=ccnf", {}),
        "ccnf_no_dropout": ("model=ccnf", NO_DROPOUT),
        "infocnf": ("model=infocnf", {}),
        "infocnf_no_dropout": ("model=infocnf", NO_DROPOUT),
        "infocnf_scheduled": ("model=infocnf,policy=scheduled", {}),
        "infocnf_learned": ("model=infocnf,policy=learned", {}),
        "cnf": ("model=cnf", {}),
        "cnf_learned": ("model=cnf,policy=learned", {}),
    },
    8000: {
        "ccnf_scheduled": ("model=ccnf,policy=scheduled", {}),
        "infocnf_scheduled": ("model=infocnf,policy=scheduled", {}),
        "infocnf_learned": ("model=infocnf,policy=learned", {}),
        "ccnf_plain": ("model=ccnf", PLAIN),
        "infocnf_plain": ("model=infocnf", PLAIN),
        "infocnf_learned_2x": (
            "model=infocnf,policy=learned",
            {"model.flows_per_block": 4},
        ),
    },
}
CHOSEN = {"both": (900, 8000), "small": (900,), "large": (8000,)}


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant,
        {
            "data": ("cifar10", "mnist"),
            "regime": tuple(CHOSEN),
            "smoke": (False, True),
        },
    )
    make = runpy.run_path(str(CONFIGS / "images.py"))["get_config"]
    seeds = (0,) if choice["smoke"] else (0, 1, 2)
    sweep = ml_collections.ConfigDict({"seeds": seeds, "arms": {}})
    for batch in CHOSEN[choice["regime"]]:
        text = f"data={choice['data']},batch={batch},smoke={choice['smoke']}"
        sweep.arms[f"batch_{batch}"] = {
            name: _arm(make(f"{arm},{text}"), different)
            for name, (arm, different) in REGIMES[batch].items()
        }
    return sweep.lock()


def _arm(
    config: ml_collections.ConfigDict, different: dict[str, Any]
) -> ml_collections.ConfigDict:
    config.update_from_flattened_dict(different)
    return config
