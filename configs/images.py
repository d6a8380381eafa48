"""MNIST and CIFAR10 with the papers' network (InfoCNF App. A, Tables 1 and 2, Fig. 3).

    python launch/train.py --workdir=runs/mnist --data_dir=DIR \\
        --config=configs/images.py:data=mnist,policy=learned,batch=900

The papers report for CCNF / InfoCNF / InfoCNF with learned tolerances, after 400 epochs
on several GPUs:

* MNIST at batch 900: test error .64 / .60 / .61 %, 1.016 / 1.030 / 1.018 bits/dim,
  611 / 589 / 416 evaluations a step;
* CIFAR10 at batch 900: 33.09 / 21.50 / 20.99 %, 3.511 / 3.533 / 3.568 bits/dim,
  924 / 985 / 776 evaluations; at batch 8000: 38.14 / 31.64 / 27.88 %,
  3.710 / 3.674 / 3.638 bits/dim, 661 / 582 / 590 evaluations.

One training step at batch 900 takes minutes on two CPU cores; ``smoke`` is the same
pipeline with a small network.

``batch=8000`` is the large-batch recipe (MC-FFJORD section 3): the learning rate in
proportion to the batch, a warm-up from 0 (over 1000 steps, on MNIST over as many
examples as at batch 900), a tenth of it from epoch 120 on, a tolerance of 1e-4 and
dropout; with gates, the gradient is clipped as in the authors' runs. The batch is
computed in 80 parts of 100 images, in the memory of one part; on large GPUs take fewer
(--config.training.accumulation_steps=8).

Variants: data=mnist|cifar10, model=infocnf|ccnf|cnf, policy=fixed|scheduled|random|
learned, batch=900|8000, smoke.
"""

import ml_collections
from ml_collections.config_dict import placeholder

from tfcnf.runs.config import (
    PAPER_VARIANTS,
    SMOKE,
    default_config,
    parse_variant,
)


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, {"data": ("mnist", "cifar10")} | PAPER_VARIANTS)
    large, policy = choice["batch"] == 8000, choice["policy"]
    cifar10 = choice["data"] == "cifar10"
    config = ml_collections.ConfigDict(default_config(choice["model"], policy))
    config.data = choice["data"]
    config.model.num_scales = 4 if cifar10 else 3
    config.model.tol = 1e-4 if large or policy != "fixed" else 1e-5
    config.model.adjoint_tol = placeholder(float)
    config.optimizer.learning_rate = 1e-2 if large else 1e-3
    config.optimizer.reference_batch = choice["batch"]
    steps_per_epoch = 60000 / 900 if not cifar10 else 6 if large else 55
    config.optimizer.warmup_epochs = 1000 / steps_per_epoch
    config.optimizer.drop_epochs = (120,) if large else (250,)
    config.optimizer.clipnorm = 20.0 if large and policy == "learned" else 0.0
    config.training.batch_size = choice["batch"]
    config.training.accumulation_steps = 80 if large else 1
    config.training.epochs = 400
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
