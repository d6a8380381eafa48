"""MNIST with the papers' network (InfoCNF App. A, Table 2; MC-FFJORD section 4.2).

    python launch/train.py --config=configs/mnist.py:model=infocnf,batch=900 \\
        --workdir=runs/mnist --data_dir=DIR

The papers report, at batch 900 on several GPUs after 400 epochs, CCNF / InfoCNF:
test error .64 / .60 %, 1.016 / 1.030 bits/dim. One training step at batch 900 takes
minutes on two CPU cores; ``smoke`` is the same pipeline with a small network.

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
    config.data = "mnist"
    config.model.num_scales = 3
    config.optimizer.learning_rate = 1e-2 if large else 1e-3
    config.optimizer.reference_batch = choice["batch"]
    config.optimizer.warmup_epochs = 1000 * 900 / 60000
    config.optimizer.drop_epochs = (120,) if large else (250,)
    config.training.batch_size = choice["batch"]
    config.training.epochs = 400
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
