"""Toy densities in the plane: what one looks at first to judge a flow.

    python launch/train.py --config=configs/toy2d.py:data=pinwheel \\
        --workdir=runs/pinwheel
    python launch/evaluate.py --workdir=runs/pinwheel --dtype=float32,float64 \\
        --tol=1e-2,1e-4,1e-6
    python launch/report.py --workdir=runs/pinwheel

Variants: data=eight_gaussians|pinwheel|two_moons|checkerboard,
model=infocnf|ccnf|cnf, policy=fixed|scheduled|random|adapted|learned, smoke (seconds,
to see that all works).
"""

import ml_collections

from tfcnf.data.toy2d import TOYS
from tfcnf.runs.config import (
    PAPER_VARIANTS,
    default_config,
    parse_variant,
    points_config,
)


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant,
        {
            "data": tuple(TOYS),
            "model": ("infocnf", "ccnf", "cnf"),
            "policy": PAPER_VARIANTS["policy"],
            "smoke": (False, True),
        },
    )
    config = ml_collections.ConfigDict(
        default_config(choice["model"], choice["policy"])
    )
    config.update(points_config(choice["data"], choice["smoke"]))
    if not choice["smoke"]:
        config.training.epochs = 40
    return config.lock()
