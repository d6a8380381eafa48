"""The main job: InfoCNF on the embedded 8x8 handwritten digits.

A scaled-down counterpart of the papers' image experiments that trains in minutes on
two CPU cores: two scales, one flow a block (3 CNFs), 32 filters, two hidden layers.

    python launch/train.py --config=configs/digits.py --workdir=runs/digits
    python launch/train.py --config=configs/digits.py:model=ccnf --workdir=runs/ccnf
    python launch/train.py --config=configs/digits.py:policy=fixed --workdir=runs/fixed
    python launch/train.py --config=configs/digits.py:batch=718 --workdir=runs/large
    python launch/train.py --config=configs/digits.py:smoke --workdir=/tmp/smoke

Expected with seed 0: about 1.1 % test error and 1.97 bits/dim at tolerance 1e-5 after
about ten minutes; see BUILD_NOTES.md.

``policy`` says where the solver's tolerances come from: gates that learn them
(InfoCNF section 3), a random control, a schedule by hand, or one constant.
``batch=718`` is the papers' large-batch recipe (MC-FFJORD section 3) scaled down: two
steps an epoch, where theirs has six, with a larger learning rate, a longer warm-up and
dropout.

``papers`` trains as the papers do: grey levels by a logit, no running cost, and the
error norm of the authors' solver. Otherwise they are mapped by a probit, a step's error
is measured as TensorFlow Probability measures it, and the kinetic energy of the field
has a price (Finlay et al. 2020), which halves the evaluations; see RESULTS.md.

``labels=10`` keeps the labels of ten training images of each class; the others are
trained on by their marginal likelihood. ``labels=10,alone`` leaves them out.

``--config.training.validation=0.1 --config.training.patience=10`` holds a tenth of the
training images out, which choose the weights and the end; without it, as in the papers,
nothing is chosen.

Variants: model=infocnf|ccnf|cnf, policy=learned|fixed|scheduled|random,
batch=128|718, labels=all|5|10|50, alone, papers, smoke (seconds, to see that all
works).
"""

import ml_collections
from ml_collections.config_dict import placeholder

from tfcnf.runs.config import SMOKE, default_config, parse_variant
from tfcnf.tolerances.policy import TolerancePolicy

VARIANTS = {
    "model": ("infocnf", "ccnf", "cnf"),
    "policy": ("learned", *(key for key in TolerancePolicy.known if key != "learned")),
    "batch": (128, 718),
    "labels": ("all", 5, 10, 50),
    "alone": (False, True),
    "papers": (False, True),
    "smoke": (False, True),
}


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, VARIANTS)
    sampled = TolerancePolicy.find(choice["policy"]).samples
    large = choice["batch"] == 718
    config = ml_collections.ConfigDict(
        default_config(choice["model"], choice["policy"])
    )
    config.data = "digits"
    config.model.num_scales = 2
    config.model.flows_per_block = 1
    config.model.filters = 32
    config.model.hidden_layers = 2
    config.model.tol = 1e-3 if sampled else 1e-2
    config.model.adjoint_tol = placeholder(float)
    config.optimizer.learning_rate = 3e-2 if large else 1e-2
    config.optimizer.reference_batch = choice["batch"]
    config.optimizer.warmup_epochs = 10.0 if large else 2.0
    config.optimizer.decay = "cosine"
    config.training.batch_size = choice["batch"]
    config.training.epochs = 60
    config.training.labels = 0 if choice["labels"] == "all" else choice["labels"]
    if choice["alone"]:
        config.training.labelled_part = 1.0
    config.evaluation.every = 2
    config.evaluation.draws = 10
    if choice["papers"]:
        config.model.alpha = 0.05
    else:
        config.model.link = "probit"
        config.model.alpha = 1e-6
        config.model.solver = "dopri5:norm=joint"
        config.model.costs.kinetic_energy = 0.1
    if choice["smoke"]:
        config.update(SMOKE)
    return config.lock()
