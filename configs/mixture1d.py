"""Does the density integrate to one: a mixture on the line (InfoCNF Fig. 2a and 8).

    python launch/train.py --config=configs/mixture1d.py --workdir=runs/mixture1d
    python launch/evaluate.py --workdir=runs/mixture1d --dtype=float32,float64 \\
        --tol=1e-1,1e-2,1e-3,1e-4,1e-5,1e-6,1e-7,1e-8
    python launch/report.py --workdir=runs/mixture1d

The network is the authors': one CNF, three hidden layers of 64 with tanh, time by
"concatsquash", exact trace. A code of one dimension cannot be divided, so InfoCNF
supervises it whole and is the same as CCNF here.

With policy=learned the gates choose the tolerances, and ``evaluate`` also gives the
area at these (``own_area_error``).

Variants: model=cnf|infocnf|ccnf, policy=fixed|scheduled|random|adapted|learned, smoke
(seconds, to see that all works).
"""

import ml_collections

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
            "model": ("cnf", "infocnf", "ccnf"),
            "policy": PAPER_VARIANTS["policy"],
            "smoke": (False, True),
        },
    )
    config = ml_collections.ConfigDict(
        default_config(choice["model"], choice["policy"])
    )
    config.update(points_config("mixture1d", choice["smoke"]))
    if choice["policy"] == "learned":
        # at the default of 0.1 a saved evaluation is worth more than a good fit
        config.model.reinforce.price = 1e-3
        # without it the flow learns to gain by the error of a loose solver
        config.model.reinforce.gap = 2.0
    if choice["model"] == "infocnf":
        config.model.supervised_fraction = 1.0
    return config.lock()
