"""Spirals as ContiFormer has them, by our latent ODE and by that of its code in torch.

    pip install torch torchdiffeq
    python -m benchmarks.contiformer_spirals --steps=1000 --seed=27 --peer

The protocol of Chen et al. (NeurIPS 2023) as their code has it: 300 spirals,
r = a + b t on [0, 6 pi] with a ~ N(0, 0.02) and b ~ N(0.3, 0.02), of 150 points with
noise 0.05, then scaled to the unit square. 200 are trained on. An encoder reads 50
random points of the first 75, others in every step; the test has its own. Scores are
root mean squares of the distance to the noise-free curves of the other 100 spirals, in
the first half of the points (interpolation) and the second (extrapolation).

Theirs are trained on the noise-free curves of both halves (``--targets=both``). With
``--targets=observed`` a model is told the 50 noisy points of a step and nothing else.
Scores are printed ten times on the way; theirs count the best step of the test.
Their 10,000 steps need not be made at a time: with ``--state=FILE`` a run is kept there
every 100 steps, and goes on from there as if it had not been stopped.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tfcnf.data.series import Series, make_series
from tfcnf.data.spirals import END
from tfcnf.files import replace_file
from tfcnf.models.latent_ode import LatentODE
from tfcnf.models.latent_starts import both_ways, draw_starts, from_start
from tfcnf.seeds import next_seed, normal
from tfcnf.training.checkpoints import training_state
from tfcnf.training.schedules import learning_rate
from tfcnf.types import Control, Tensor

FLAGS = flags.FlagValues()  # its own: several of these modules may be imported
STEPS = flags.DEFINE_integer("steps", 1000, "training steps", flag_values=FLAGS)
SEED = flags.DEFINE_integer(
    "seed", 27, "of data, weights and noise; theirs 27 42 1024", flag_values=FLAGS
)
PEER = flags.DEFINE_bool(
    "peer", False, "the latent ODE of their code, in torch", flag_values=FLAGS
)
TARGETS = flags.DEFINE_enum(
    "targets", "both", ["both", "observed"], "see above", flag_values=FLAGS
)
STATE = flags.DEFINE_string(
    "state", None, "file of a run that is made in parts", flag_values=FLAGS
)
KEPT_EVERY = 100  # steps
TRAIN, TEST, POINTS, OBSERVED, NOISE = 200, 100, 150, 50, 0.05
A, B, SPREAD = 0.0, 0.3, 0.02
HALF = POINTS // 2
LATENT, UNITS, TOL = 8, 16, 1e-5  # of the peer; theirs, but for the tolerance
EARLY = 0.1  # of the points that are read: where codes stand in training
OPTIONS: dict[str, Any] = {
    "latent_dims": LATENT,
    "encoder": "regression:units=64",
    "dynamics": "mlp:units=()",
    "decoder_units": 0,
    "tol": TOL,
}


class Spirals(NamedTuple):
    """Curves in the unit square.

    Attributes:
        truth: without noise, ``[300, 150, 2]``.
        noisy: with noise, ``[300, 150, 2]``.
        times: of the points, ``[150]``.
        sigma: standard deviation of the noise, the mean of both axes.
    """

    truth: np.ndarray
    noisy: np.ndarray
    times: np.ndarray
    sigma: float


class Contender(NamedTuple):
    """A model.

    Attributes:
        train: takes the indices of the points that are read, and makes a step.
        predict: the curves ``[100, 150, 2]`` of the test from such points.
        state: all that training changes, to be pickled.
        restore: takes such a state.
    """

    train: Callable[[np.ndarray], None]
    predict: Callable[[np.ndarray], np.ndarray]
    state: Callable[[], Any]
    restore: Callable[[Any], None]


def draw(rng: np.random.Generator) -> Spirals:
    """The spirals of a protocol's run."""
    times = np.linspace(0, END, POINTS)
    a, b = (m + SPREAD * rng.normal(size=(TRAIN + TEST, 1)) for m in (A, B))
    radius = a + b * times
    truth = np.stack([radius * np.cos(times), radius * np.sin(times)], -1)
    noisy = truth + NOISE * rng.normal(size=truth.shape)
    low, size = truth.min((0, 1)), np.ptp(truth, (0, 1))
    clean, seen = (((x - low) / size).astype(np.float32) for x in (truth, noisy))
    sigma = float((NOISE / size).mean())
    return Spirals(clean, seen, times.astype(np.float32), sigma)


def some(rng: np.random.Generator) -> np.ndarray:
    """Indices of the points that are read, ``[50]``, increasing."""
    return np.sort(rng.choice(HALF, OBSERVED, replace=False))


def scores(curves: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Root mean squares of the distance in both halves, in the unit square."""
    square = np.square(curves - truth).sum(-1)
    halves = {"interpolation": square[:, :HALF], "extrapolation": square[:, HALF:]}
    return {name: float(np.sqrt(half.mean())) for name, half in halves.items()}


def ours(data: Spirals, steps: int, seed: int, targets: str) -> Contender:
    """Our latent ODE, with a linear decoder and dynamics that are linear.

    Its codes stand at the first point that is read, the peer's at time 0. A third of
    the steps, and the test of seed 27, do not begin with the curve's first point: codes
    are trained at some of the first points of each series. Where it is told the first
    half alone, what turns there has to go on: `Oscillators`.
    """
    options = OPTIONS | {"sigma": data.sigma, "seed": seed}
    if targets == "observed":
        options |= {"random_start": 0.5, "consistency": 0.3}
        options |= {"latent_dims": 4, "dynamics": "oscillators:limit=1.0"}
    model = LatentODE(2, partition="none", **options)
    rate = learning_rate(
        1e-2, total_steps=steps, warmup_steps=steps // 20, decay="cosine", drops=[]
    )
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=500.0))

    @tf.function(autograph=False, reduce_retracing=True)
    def observed(x: Series) -> None:
        model.train_step((x, None))

    @tf.function(autograph=False)
    def both(x: Series, stamps: Tensor) -> None:
        start = draw_starts(x, EARLY, next_seed(model.noise))
        stamps -= tf.gather(x.times, start[:, None], batch_dims=1)
        x = from_start(x, start)
        with tf.GradientTape() as tape:
            posterior = model.posterior(x)
            mean = posterior.mean()
            noise = normal(tf.shape(mean), next_seed(model.noise), mean.dtype)
            z = mean + posterior.stddev() * noise
            square = tf.square(curves(z, stamps) - data.truth[:TRAIN])
            fit = 0.5 * tf.reduce_sum(square, [1, 2]) / data.sigma**2
            kl = posterior.kl_divergence(model.prior.distribution(tf.zeros([TRAIN, 0])))
            loss = tf.reduce_mean(fit + kl)
        weights = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, weights), weights)

    def curves(z: Tensor, stamps: Tensor) -> Tensor:
        def solve(times: Tensor, direction: int) -> Tensor:
            return model.flow(z, times, control=Control(), direction=direction)[0]

        return model.decoder(both_ways(stamps, solve))

    def read(rows: slice, index: np.ndarray) -> Series:
        x = make_series(data.noisy[rows, index], data.times[index])
        return Series(*map(tf.constant, x))

    def since(index: np.ndarray) -> np.ndarray:
        return data.times - data.times[index[0]]

    def train(index: np.ndarray) -> None:
        x = read(slice(TRAIN), index)
        if targets == "both":
            both(x, tf.constant(np.tile(since(index), [TRAIN, 1])))
        else:
            observed(x)

    def predict(index: np.ndarray) -> np.ndarray:
        z = model.posterior(read(slice(TRAIN, None), index)).mean()
        return model.decode(z, since(index).tolist()).numpy()

    model.optimizer.build(model.trainable_variables)
    variables = training_state(model)["variables"]

    def restore(arrays: Any) -> None:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    return Contender(train, predict, lambda: [v.numpy() for v in variables], restore)


def peer(data: Spirals, steps: int, seed: int, targets: str) -> Contender:
    """Their latent ODE: an RNN that reads values and times, from the first time on.

    Raises:
        ImportError: without torch or torchdiffeq.
    """
    import torch
    from torch import nn
    from torchdiffeq import odeint

    torch.manual_seed(seed)
    field = nn.Sequential(
        *(nn.Linear(LATENT, UNITS), nn.ELU(), nn.Linear(UNITS, UNITS), nn.ELU()),
        nn.Linear(UNITS, LATENT),
    )
    to_hidden, to_latent = nn.Linear(3 + UNITS, UNITS), nn.Linear(UNITS, 2 * LATENT)
    decoder = nn.Sequential(nn.Linear(LATENT, UNITS), nn.ReLU(), nn.Linear(UNITS, 2))
    parts = nn.ModuleList([field, to_hidden, to_latent, decoder])
    optimizer = torch.optim.Adam(parts.parameters(), lr=1e-2)
    times = torch.from_numpy(data.times)

    def forward(rows: slice, index: np.ndarray, noise: float) -> tuple[Any, Any]:
        stamps = np.broadcast_to(data.times[index, None], (OBSERVED, 1))
        x = [np.concatenate([row[index], stamps], 1) for row in data.noisy[rows]]
        points = torch.from_numpy(np.stack(x))
        h = torch.zeros(len(points), UNITS)
        for i in reversed(range(OBSERVED)):
            h = torch.tanh(to_hidden(torch.cat([points[:, i], h], 1)))
        mean, log_variance = to_latent(h).chunk(2, 1)
        z = mean + noise * torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        path = odeint(lambda _, y: field(y), z, times, rtol=TOL, atol=TOL)
        kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
        return decoder(path).transpose(0, 1), kl

    def train(index: np.ndarray) -> None:
        optimizer.zero_grad()
        curve, kl = forward(slice(TRAIN), index, 1.0)
        told = slice(None) if targets == "both" else index
        wanted = data.truth if targets == "both" else data.noisy
        error = curve[:, told] - torch.from_numpy(wanted[:TRAIN, told])
        fit = 0.5 * error.square().sum((1, 2)) / data.sigma**2
        (fit + kl).mean().backward()
        optimizer.step()

    def predict(index: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return forward(slice(TRAIN, None), index, 0.0)[0].numpy()

    def state() -> Any:
        return parts.state_dict(), optimizer.state_dict(), torch.get_rng_state()

    def restore(state: Any) -> None:
        parts.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
        torch.set_rng_state(state[2])

    return Contender(train, predict, state, restore)


def run(
    make: Any, steps: int, seed: int, targets: str, path: Path | None = None
) -> list[dict[str, float]]:
    """Trains a contender; its scores on the way, ten times, the last ones last.

    Args:
        make: makes the contender.
        steps: of the whole training.
        seed: of data, weights and noise.
        targets: ``"both"`` or ``"observed"``.
        path: file where the run is kept, and from where it goes on.

    Raises:
        ValueError: for a file of another run.
    """
    rng = np.random.default_rng(seed)
    data = draw(rng)
    shown = some(rng)
    contender = make(data, steps, seed, targets)
    asked = {"of": make.__name__, "steps": steps, "seed": seed, "targets": targets}
    done, spent, found = 0, 0.0, []
    if path is not None and path.exists():
        known, done, spent, found, drawn, state = pickle.loads(path.read_bytes())
        if known != asked:
            raise ValueError(f"state is of another run, {known}. Received: {asked}")
        rng.bit_generator.state = drawn
        contender.restore(state)
    started = time.process_time() - spent
    for step in range(done + 1, steps + 1):
        contender.train(some(rng))
        spent = time.process_time() - started
        if step % max(steps // 10, 1) == 0 or step == steps:
            part = scores(contender.predict(shown), data.truth[TRAIN:])
            found.append({"step": step, **part, "cpu_seconds": round(spent, 1)})
            print(json.dumps(found[-1]), flush=True)
        if path is not None and (step % KEPT_EVERY == 0 or step == steps):
            drawn = rng.bit_generator.state
            kept = asked, step, spent, found, drawn, contender.state()
            with replace_file(path) as temporary:
                temporary.write_bytes(pickle.dumps(kept))
    return found


def main() -> None:
    """Runs one contender."""
    contender = peer if PEER.value else ours
    path = Path(STATE.value) if STATE.value else None
    run(contender, STEPS.value, SEED.value, TARGETS.value, path)


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
