"""Continuation of spirals by a latent ODE, by how it is trained.

    python -m benchmarks.continuation --steps=3000 \\
        --options=random_start=0.5,consistency=0.3

trains on spirals that are observed a quarter as densely as those of the papers (40
points of 200, the window of the same length in time) and prints the scores of 1,000
further spirals as `tfcnf.evaluation.trajectories` has them. They are spirals of their
own, so that what is chosen by them is not chosen by the test.

A quarter of the points forward lie beyond the place where the last window ends: no
training has seen a curve there. ``rmse_forward_seen`` is of the others,
``rmse_forward_beyond`` of those, and ``rmse_forward_clockwise`` and
``rmse_forward_counter`` of those of each direction.

What goes on beyond that place must not be chosen by curves that no window shows. With
``--design=edge``, of the papers' density, windows end at 0.6 of the curve instead of
0.8, and curves are scored up to 0.8.
"""

from __future__ import annotations

import ast
import json
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tfcnf.data.series import Series, SeriesSource, SeriesSplit
from tfcnf.data.spirals import END, Design, draw, labels, starts, times
from tfcnf.evaluation.trajectories import TrajectoryEvaluator
from tfcnf.models.latent_ode import LatentODE
from tfcnf.training.schedules import learning_rate

FLAGS = flags.FlagValues()  # its own: several of these modules may be imported
STEPS = flags.DEFINE_integer(
    "steps", 3000, "optimizer steps of 250 spirals", flag_values=FLAGS
)
OPTIONS = flags.DEFINE_string(
    "options", "", "keywords of the model, NAME=VALUE,...", flag_values=FLAGS
)
DESIGN = flags.DEFINE_enum(
    "design", "coarse", ["coarse", "edge"], "see above", flag_values=FLAGS
)
DESIGNS = {
    "coarse": Design(spirals=5000, length=200, window=40),
    "edge": Design(spirals=5000, room_after=400),
}
BATCH, RATE, WARMUP, FURTHER = 250, 1e-2, 100, 5
SHOWN = (
    *("elbo", "kl", "rmse_window", "median_rmse_forward", "rmse_forward"),
    *("rmse_backward", "b_rmse"),
)


def make(source: SeriesSource, options: dict[str, Any], steps: int) -> LatentODE:
    """The compiled model of `configs/spirals.py:budget=short` with further options."""
    keywords: dict[str, Any] = source.model_keywords()
    keywords |= {"label_weights": (30.0,) * 3, "label_map": "identity"}
    keywords |= {"encoder": "rnn:start=orthogonal", "seed": 0} | options
    model = LatentODE(**keywords)
    rate = learning_rate(
        RATE, total_steps=steps, warmup_steps=WARMUP, decay="cosine", drops=[]
    )
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=500.0))
    return model


def place(split: SeriesSplit) -> np.ndarray:
    """t of the points of noise-free spirals, ``[n, P]``, from their radius."""
    a, b, clockwise = np.split(split.y.astype(np.float64), 3, 1)
    turned = clockwise > 0.5
    centre = np.where(turned, -5.0, 5.0)[..., None] * [1.0, 0.0]
    radius = np.linalg.norm(split.truth - centre, axis=-1)
    return np.where(turned, END + 1 - 50 * b / (radius - a), (radius - a) / b)


def forward(model: LatentODE, split: SeriesSplit, edge: float) -> dict[str, float]:
    """Root mean squares of the distance forward, before and beyond a place."""
    z = model.codes(split.x, tol=1e-4)
    curves = model.decode(z, split.truth_times.tolist(), 1e-4).numpy()
    square = np.square(curves - split.truth).sum(-1)
    after = split.truth_times > split.x.times.max(1)[:, None]
    after &= split.truth_mask > 0
    beyond = after & (place(split) > edge + 1e-3)
    clockwise = split.y[:, 2:] > 0.5
    parts = {"seen": after & ~beyond, "beyond": beyond}
    parts |= {"clockwise": beyond & clockwise, "counter": beyond & ~clockwise}
    return {
        f"rmse_forward_{name}": float(np.sqrt(square[part].mean()))
        for name, part in parts.items()
    }


def main() -> None:
    """Trains a model and prints its scores."""
    call: Any = ast.parse(f"f({OPTIONS.value})", mode="eval").body
    options = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    design = DESIGNS[DESIGN.value]
    train, test = draw(design, 0), draw(design._replace(spirals=1000), FURTHER)
    grid, window = times(design), design.window
    source = SeriesSource(
        DESIGN.value, train, test, {}, labels(), float(grid[window - 1])
    )
    edge = float(grid[starts(design)[-1] + window - 1])
    model = make(source, options, STEPS.value)
    step = tf.function(model.train_step, autograph=False)
    rng, started = np.random.default_rng(0), time.process_time()
    for i in range(1, STEPS.value + 1):
        rows = rng.integers(0, len(train), BATCH)
        part = train.take(rows)
        step((Series(*map(tf.constant, part.x)), tf.constant(part.y)))
        if i % 500 == 0 or i == STEPS.value:
            found = dict(TrajectoryEvaluator(model, source, 1000).run(1e-4, 1))
            scores = {name: found[name] for name in SHOWN} | forward(model, test, edge)
            rounded = {name: round(value, 3) for name, value in scores.items()}
            spent = f"{time.process_time() - started:.0f} s"
            print(i, spent, json.dumps(rounded), flush=True)


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
