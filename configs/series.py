"""Latent ODE of real series: those of a file, or two sets of sktime.

    python launch/train.py --config=configs/series.py --config.data=FILE.csv \\
        --config.series.subject=patient --config.series.time=day \\
        --config.series.x=weight,pulse --config.series.labels=outcome \\
        --workdir=runs/patients
    python launch/predict.py --workdir=runs/patients --table=NEW.csv --ahead=1,7 \\
        --questions=forecast,labels --out=answers.csv
    python launch/train.py --config=configs/series.py --workdir=runs/vowels
    python launch/train.py --config=configs/series.py:data=plaid --workdir=runs/plaid
    python launch/report.py --workdir=runs/vowels

A CSV, Parquet or .npz file has a row for each point of a subject in time, in any
order; an empty cell is a missing value. ``series.time`` holds numbers, or dates, which
count in days; without ``series.x`` all other columns are of x; without
``series.labels`` take ``partition=none``. ``series.split`` is a column that says train,
validation or test, else a part ``series.test`` of the subjects is drawn by
``series.seed``.

The sets of sktime (extra "series") have a class each. ``japanese_vowels`` are 640
utterances of a vowel by nine men, of 7 to 29 points of 12 numbers; ``plaid`` 1,074
currents of household appliances of 11 kinds, of 100 to 1,344 points, of which a step
takes far longer.

A label has a code of its own (partition=code), is read from the whole code (head), or
is not looked at (none).

Variants: data=japanese_vowels|plaid; partition=code|head|none; smoke.
"""

import ml_collections

from tfcnf.data.sktime_series import BUILDERS
from tfcnf.models.latent_options import PARTITIONS
from tfcnf.runs.config import COLUMNS, default_config, parse_variant


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant,
        {
            "data": tuple(BUILDERS),
            "partition": PARTITIONS,
            "smoke": (False, True),
        },
    )
    config = ml_collections.ConfigDict(default_config("latent_ode"))
    config.data = choice["data"]
    config.series = dict(COLUMNS["series"])
    config.model.partition = choice["partition"]
    config.model.encoder = "gru:units=64"
    config.model.dynamics = "mlp:units=(64,),activation=tanh"
    config.model.update({"latent_dims": 16, "code_dims": 8, "decoder_units": 64})
    config.model.sigma = 0.5
    config.model.label_weights = (20.0,)
    config.optimizer.update({"learning_rate": 3e-3, "clipnorm": 100.0})
    config.optimizer.update({"decay": "cosine", "warmup_epochs": 2.0})
    config.training.update({"batch_size": 90, "epochs": 100, "validation": 0.2})
    config.evaluation.update({"every": 10, "batch_size": 100})
    if choice["smoke"]:
        config.training.epochs = 1
    return config.lock()
