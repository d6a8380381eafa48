"""Ways for a context to enter the dynamics, trained on densities that are known.

    python -m benchmarks.context --steps=600

prints, for each problem, way and seed, how far the trained density is from the true
one (nats, held-out examples). Ways: ``film`` (what `DenseDynamics` does: in every
layer a linear map of the context is added, and another is a factor), ``shift`` (without
the factor), ``zero`` (without it, and the maps start at zero).
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from scipy.stats import norm

import tfcnf

FLAGS = flags.FlagValues()  # its own: several of these modules may be imported
STEPS = flags.DEFINE_integer("steps", 600, "optimizer steps", flag_values=FLAGS)
SEEDS = flags.DEFINE_integer("seeds", 2, "seeds", flag_values=FLAGS)
WAYS = flags.DEFINE_list(
    "ways", ["film", "shift", "zero"], "see above", flag_values=FLAGS
)
PROBLEMS = flags.DEFINE_list(
    "problems", ["gaussian", "bent"], "densities", flag_values=FLAGS
)
DIMS, CONTEXT, BATCH, HELD_OUT = 2, 3, 256, 4000


def draw(problem: str, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Examples, contexts and the true log-densities of a problem."""
    rng = np.random.default_rng(seed)
    c, noise = rng.normal(size=(count, CONTEXT)), rng.normal(size=(count, DIMS))
    if problem == "gaussian":
        maps = np.array([[1.0, -0.5], [0.3, 0.8], [0.0, 1.2]])
        mean, deviation = c @ maps, np.array([0.5, 0.8])
        x = mean + deviation * noise
        log_p = norm.logpdf(x, mean, deviation).sum(1)
    else:  # a place, a width and a slope that follow the context
        mean, width = np.sin(2 * c[:, 0]), np.exp(c[:, 1] / 2)
        first = mean + width * noise[:, 0]
        second = c[:, 2] * first + 0.3 * noise[:, 1]
        x = np.stack([first, second], 1)
        log_p = norm.logpdf(first, mean, width)
        log_p += norm.logpdf(second, c[:, 2] * first, 0.3)
    return x.astype(np.float32), c.astype(np.float32), log_p


def make(way: str, seed: int) -> tfcnf.CNF:
    """A model whose context enters in this way."""
    made = tfcnf.DenseDynamics((32, 32), "tanh", context_dims=CONTEXT, seed=seed)
    layer = tfcnf.CNFLayer(made, tfcnf.FixedTolerance(1e-3), trace="exact")
    flow = tfcnf.Chain([layer])
    model = tfcnf.CNF((DIMS,), context=CONTEXT, flow=flow, seed=seed)
    for part in made.stack:
        if way == "zero":
            part["context_kernel"].assign(tf.zeros_like(part["context_kernel"]))
        if way != "film":
            part["context_gate"].trainable = False
    return model


def main() -> None:
    """Trains each way on each problem and prints the gaps."""
    for problem in PROBLEMS.value:
        test_x, test_c, truth = draw(problem, HELD_OUT, 1000)
        for way in WAYS.value:
            gaps = []
            for seed in range(SEEDS.value):
                x, c, _ = draw(problem, STEPS.value * BATCH, seed)
                model = make(way, seed)
                rate = keras.optimizers.schedules.CosineDecay(1e-2, STEPS.value)
                model.compile(keras.optimizers.Adam(rate))
                inputs: Any = {"x": x, "context": c}
                model.fit(inputs, batch_size=BATCH, verbose=0)
                log_p = model.log_prob(test_x, context=test_c, tol=1e-5).numpy()
                gaps.append(f"{np.mean(truth - log_p):.4f}")
            print(problem, way, *gaps, flush=True)


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
