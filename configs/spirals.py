"""Latent ODE with and without a partitioned code on spirals (InfoCNF 4.6, App. E).

    python launch/train.py --config=configs/spirals.py:partition=code \\
        --workdir=runs/spirals
    python launch/evaluate.py --workdir=runs/spirals
    python launch/report.py --workdir=runs/spirals

The default is a model that goes on where the curves end, in a quarter of an hour: 9,000
steps of 250 spirals, an encoder by regression, dynamics of one pair of numbers that
turns and grows beside three that do not change, a linear decoder, codes at random
points solved both ways, and the best of the epochs by held-out training spirals.
``budget=short`` has the papers' sizes: 4,000 steps in a few minutes, with what makes
the first thousand count: clipped gradients, a larger learning rate, an encoder that
starts with a long memory. ``budget=paper`` is theirs: 20,000 steps of the full batch at
1e-3. ``budget=parity`` has the conditions of the authors' logs: also 100 points of 500,
two hidden layers in the dynamics; compare the running ELBO with `papers/elbo.json`.

Variants: partition=code (supervised code) | head (the same labels through a linear head
on the unpartitioned latent) | none (no labels); data=spirals | spirals_held_out |
spirals_reference; budget=standard|short|paper|parity; smoke.
"""

import ml_collections

from tfcnf.data.spirals import DESIGNS
from tfcnf.models.latent_options import PARTITIONS
from tfcnf.runs.config import default_config, parse_variant

CONTINUED = {
    "encoder": "regression:units=64",
    "dynamics": "oscillators",
    "decoder_units": 0,
    "random_start": 0.5,
    "consistency": 0.3,
}
FULL_BATCH = {"batch_size": 5_000, "epochs": 200, "passes": 100}


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant,
        {
            "partition": PARTITIONS,
            "data": tuple(DESIGNS),
            "budget": ("standard", "short", "paper", "parity"),
            "smoke": (False, True),
        },
    )
    config = ml_collections.ConfigDict(default_config("latent_ode"))
    config.data = choice["data"]
    config.model.partition = choice["partition"]
    # an ELBO is hundreds of nats: at weight 1 the labels' terms are not seen
    config.model.label_weights = (100.0, 100.0, 100.0)
    if choice["budget"] != "paper":
        config.model.label_map = "identity"
    if choice["budget"] == "short":
        config.model.encoder = "rnn:units=25,start=orthogonal"
    if choice["budget"] == "standard":
        config.model.update(CONTINUED)
        # at 100 the decoder's first weights decide the sign of the direction's code
        config.model.label_weights = (100.0, 100.0, 1000.0)
        config.training.validation = 0.1
    if choice["budget"] in ("standard", "short"):
        # the first gradients are a hundred times the later ones, and Adam's mean of
        # squares would remember them for thousands of steps
        config.optimizer.update({"learning_rate": 1e-2, "clipnorm": 500.0})
        config.optimizer.update({"decay": "cosine", "warmup_epochs": 0.5})
        epochs = 50 if choice["budget"] == "standard" else 20
        config.training.update({"batch_size": 250, "epochs": epochs, "passes": 10})
        config.evaluation.update({"every": 5, "batch_size": 1_000})
    else:
        config.training.update(FULL_BATCH)
        config.evaluation.update({"every": 20, "batch_size": 1_000})
    if choice["budget"] == "parity":
        if choice["data"] == "spirals_held_out":
            raise ValueError(
                "budget=parity has data of its own, spirals_reference. "
                f"Received: data={choice['data']}"
            )
        config.data = "spirals_reference"
        config.model.dynamics = "mlp:units=(20,20)"
        config.model.tol = 1e-5
    if choice["smoke"]:
        config.training.update({"batch_size": 250, "epochs": 1, "passes": 1})
    return config.lock()
