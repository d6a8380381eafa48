"""CIFAR10 with the papers' network (InfoCNF Table 1, Fig. 3 and 5).

    python launch/train.py --config=configs/cifar10.py:model=infocnf,batch=900 \\
        --workdir=runs/cifar10 --data_dir=DIR

The papers report with fixed tolerances, CCNF / InfoCNF: at batch 900, test error
33.09 / 21.50 %, 3.511 / 3.533 bits/dim, 924 / 985 evaluations a step; at batch 8000,
38.14 / 31.64 %, 3.710 / 3.674 bits/dim, 661 / 582 evaluations. They trained for 400
epochs on four GPUs; ``smoke`` is the same pipeline with a small network.

Variants: model=infocnf|ccnf|cnf, batch=900|8000, smoke.
"""

import ml_collections

from tfcnf.configuration import (
    PAPER_VARIANTS,
    SMOKE,
    default_config,
    parse_variant,
)


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, PAPER_VARIANTS)
    large = choice["batch"] == 8000
    config = ml_collections.ConfigDict(default_config(choice["model"]))
    config.data = "cifar10"
    config.model.num_scales = 4
    config.model.tol = config.model.adjoint_tol = 1e-4 if large else 1e-5
    config.optimizer.learning_rate = 1e-2 if large else 1e-3
    config.optimizer.reference_batch = choice["batch"]
    config.optimizer.warmup_epochs = 1000 / (6 if large else 55)
    config.optimizer.drop_epochs = (120,) if large else (250,)
    config.training.batch_size = choice["batch"]
    config.training.epochs = 400
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
