"""CIFAR10 with the papers' network (InfoCNF Table 1, Fig. 3 and 5).

    python launch/train.py --config=configs/cifar10.py:policy=learned,batch=900 \\
        --workdir=runs/cifar10 --data_dir=DIR

The papers report for CCNF / InfoCNF / InfoCNF with learned tolerances: at batch 900,
test error 33.09 / 21.50 / 20.99 %, 3.511 / 3.533 / 3.568 bits/dim, 924 / 985 / 776
evaluations a step; at batch 8000, 38.14 / 31.64 / 27.88 %, 3.710 / 3.674 / 3.638
bits/dim, 661 / 582 / 590 evaluations. They trained for 400 epochs on four GPUs;
``smoke`` is the same pipeline with a small network.

``batch=8000`` is the large-batch recipe (MC-FFJORD section 3): the learning rate in
proportion to the batch, a warm-up of 1000 steps from 0, a tenth of it from epoch 120
on, a tolerance of 1e-4 and dropout; with gates, the gradient is clipped as in the
authors' runs. The batch is computed in 80 parts of 100 images, in the memory of one
part; on large GPUs take fewer (--config.training.accumulation_steps=8).

Variants: model=infocnf|ccnf|cnf, policy=fixed|scheduled|random|learned,
batch=900|8000, smoke.
"""

import ml_collections
from ml_collections.config_dict import placeholder

from tfcnf.configuration import (
    PAPER_VARIANTS,
    SMOKE,
    default_config,
    parse_variant,
)


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, PAPER_VARIANTS)
    large, policy = choice["batch"] == 8000, choice["policy"]
    config = ml_collections.ConfigDict(default_config(choice["model"], policy))
    config.data = "cifar10"
    config.model.num_scales = 4
    config.model.tol = 1e-4 if large or policy != "fixed" else 1e-5
    config.model.adjoint_tol = placeholder(float)
    config.optimizer.learning_rate = 1e-2 if large else 1e-3
    config.optimizer.reference_batch = choice["batch"]
    config.optimizer.warmup_epochs = 1000 / (6 if large else 55)
    config.optimizer.drop_epochs = (120,) if large else (250,)
    config.optimizer.clipnorm = 20.0 if large and policy == "learned" else 0.0
    config.training.batch_size = choice["batch"]
    config.training.accumulation_steps = 80 if large else 1
    config.training.epochs = 400
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
