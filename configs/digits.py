"""The main job: InfoCNF on the embedded 8x8 handwritten digits.

A scaled-down counterpart of the papers' image experiments that trains in minutes on
two CPU cores: two scales, one flow a block (3 CNFs), 32 filters, two hidden layers.

    python launch/train.py --config=configs/digits.py --workdir=runs/digits
    python launch/train.py --config=configs/digits.py:model=ccnf --workdir=runs/ccnf
    python launch/train.py --config=configs/digits.py:smoke --workdir=/tmp/smoke

Expected with seed 0: about 1.7 % test error and 2.01 bits/dim at tolerance 1e-5 after
about eight minutes; see BUILD_NOTES.md.

Variants: model=infocnf|ccnf|cnf, smoke (seconds, to see that all works).
"""

import ml_collections

from tfcnf.configuration import SMOKE, default_config, parse_variant


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant, {"model": ("infocnf", "ccnf", "cnf"), "smoke": (False, True)}
    )
    config = ml_collections.ConfigDict(default_config(choice["model"]))
    config.data = "digits"
    config.model.num_scales = 2
    config.model.flows_per_block = 1
    config.model.filters = 32
    config.model.hidden_layers = 2
    config.model.alpha = 0.05
    config.model.tol = 1e-2
    config.model.adjoint_tol = 1e-2
    config.optimizer.learning_rate = 1e-2
    config.optimizer.reference_batch = 128
    config.optimizer.warmup_epochs = 2.0
    config.optimizer.decay = "cosine"
    config.training.batch_size = 128
    config.training.epochs = 60
    config.evaluation.every = 2
    config.evaluation.draws = 10
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
