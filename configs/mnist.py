"""MNIST with the papers' network (InfoCNF App. A, Table 2; MC-FFJORD section 4.2).

    python launch/train.py --config=configs/mnist.py:policy=learned,batch=900 \\
        --workdir=runs/mnist --data_dir=DIR

The papers report, at batch 900 on several GPUs after 400 epochs, CCNF / InfoCNF /
InfoCNF with learned tolerances: test error .64 / .60 / .61 %, 1.016 / 1.030 / 1.018
bits/dim, 611 / 589 / 416 evaluations a step. One training step at batch 900 takes
minutes on two CPU cores; ``smoke`` is the same pipeline with a small network.

``batch=8000`` is the large-batch recipe (MC-FFJORD section 3): the learning rate in
proportion to the batch, warm-up from 0 over as many examples as at batch 900, a tenth
of it from epoch 120 on, a tolerance of 1e-4 and dropout; with gates, the gradient is
clipped as in the authors' runs. The batch is computed in 80 parts of 100 images, in the
memory of one part; on large GPUs take fewer (--config.training.accumulation_steps=8).

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
    config.data = "mnist"
    config.model.num_scales = 3
    config.model.tol = 1e-4 if large or policy != "fixed" else 1e-5
    config.model.adjoint_tol = placeholder(float)
    config.optimizer.learning_rate = 1e-2 if large else 1e-3
    config.optimizer.reference_batch = choice["batch"]
    config.optimizer.warmup_epochs = 1000 * 900 / 60000
    config.optimizer.drop_epochs = (120,) if large else (250,)
    config.optimizer.clipnorm = 20.0 if large and policy == "learned" else 0.0
    config.training.batch_size = choice["batch"]
    config.training.accumulation_steps = 80 if large else 1
    config.training.epochs = 400
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
