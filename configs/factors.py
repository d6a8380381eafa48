"""InfoCNF with three labels: the digits, rotated and in coloured ink.

Each label has its own part of the code (the papers' y_1 ... y_L): the class and the ink
are classes, the rotation is a number of degrees. Twelve by twelve pixels in three
channels; two scales, one flow a block (3 CNFs), 32 filters, two hidden layers. The
training takes about 40 minutes of one thread.

    python launch/train.py --config=configs/factors.py --workdir=runs/factors
    python launch/evaluate.py --workdir=runs/factors --uses=factors
    python launch/report.py --workdir=runs/factors

``evaluate`` changes one label of test images at a time with all else of their code
held, and judges of pixels say what the images then show.

Variants: smoke (seconds, to see that all works).
"""

import ml_collections

from tfcnf.runs.config import SMOKE, default_config, parse_variant


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, {"smoke": (False, True)})
    config = ml_collections.ConfigDict(default_config("infocnf"))
    config.data = "factors"
    config.model.num_scales = 2
    config.model.flows_per_block = 1
    config.model.filters = 32
    config.model.hidden_layers = 2
    config.model.alpha = 0.05
    config.model.tol = 1e-3
    config.optimizer.learning_rate = 1e-2
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.decay = "cosine"
    config.training.batch_size = 128
    config.training.epochs = 60
    config.evaluation.every = 2
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
