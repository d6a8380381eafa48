"""Continuation of spirals by a latent ODE, by how it is trained.

    python -m benchmarks.continuation --steps=3000 \\
        --options=random_start=0.5,consistency=0.3

trains on spirals that are observed a quarter as densely as those of the papers (40
points of 200, the window of the same length in time), which costs a fifth, and prints
the scores of 1,000 test spirals as `tfcnf.evaluation.trajectories` has them.
"""

from __future__ import annotations

import ast
import json
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfcnf.data.series import Series, SeriesSource
from tfcnf.data.spirals import Design, draw, labels
from tfcnf.evaluation.trajectories import TrajectoryEvaluator
from tfcnf.models.latent_ode import LatentODE
from tfcnf.training.schedules import learning_rate

STEPS = flags.DEFINE_integer("steps", 3000, "optimizer steps of 250 spirals")
OPTIONS = flags.DEFINE_string("options", "", "keywords of the model, NAME=VALUE,...")
DESIGN = Design(spirals=5000, length=200, window=40)
BATCH, RATE, WARMUP = 250, 1e-2, 100
SHOWN = ("elbo", "kl", "rmse_window", "rmse_forward", "rmse_backward", "b_rmse")


def make(source: SeriesSource, options: dict[str, Any], steps: int) -> LatentODE:
    """The compiled model of configs/spirals.py with further options."""
    keywords: dict[str, Any] = source.model_keywords()
    keywords |= {"label_weights": (30.0,) * 3, "label_map": "identity"}
    keywords |= {"encoder_start": "orthogonal", "seed": 0} | options
    model = LatentODE(**keywords)
    rate = learning_rate(
        RATE, total_steps=steps, warmup_steps=WARMUP, decay="cosine", drops=[]
    )
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=500.0))
    return model


def main(_: Any) -> None:
    """Trains a model and prints its scores."""
    call: Any = ast.parse(f"f({OPTIONS.value})", mode="eval").body
    options = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    train, test = draw(DESIGN, 0), draw(DESIGN._replace(spirals=1000), 1)
    source = SeriesSource("coarse", train, test, {}, labels(), DESIGN.window / 10)
    model = make(source, options, STEPS.value)
    step = tf.function(model.train_step, autograph=False)
    rng, started = np.random.default_rng(0), time.process_time()
    for i in range(1, STEPS.value + 1):
        rows = rng.integers(0, len(train), BATCH)
        part = train.take(rows)
        step((Series(*map(tf.constant, part.x)), tf.constant(part.y)))
        if i % 500 == 0 or i == STEPS.value:
            found = dict(TrajectoryEvaluator(model, source, 1000).run(1e-4, 1))
            scores = {name: round(found[name], 3) for name in SHOWN}
            print(i, f"{time.process_time() - started:.0f} s", json.dumps(scores))


if __name__ == "__main__":
    app.run(main)
