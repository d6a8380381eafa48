"""Seconds a training step of the latent ODE takes, here and with torch + torchdiffeq.

The peer has the same layers and sizes, written as the authors' code is: an encoder
that loops over the points, `torchdiffeq.odeint` with dopri5, and gradients by direct
back-propagation (their default). Both train on the same batch of spirals at the same
tolerance, in turns, so that what else the machine does falls on both. torch is timed
with its own choice of threads and with one, which suits operations as small as these;
the ratio is to the faster.

    pip install torch torchdiffeq
    python -m benchmarks.latent_ode_peer

With ``--steps`` the peer is trained instead, under the authors' conditions: how its
ELBO rises, from torch's own initial weights, is what ours is to be compared with.

    python -m benchmarks.latent_ode_peer --steps=1000 --seed=0 --batch_size=500
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.data.spirals import DESIGNS, draw
from tfcnf.models.latent_ode import LatentODE

LATENT, ENCODER, HIDDEN, SIGMA = 5, 25, 20, 0.3
Step = Callable[[], None]


def seconds_per_step(
    batch_size: int = 250,
    points: int = 100,
    *,
    tol: float = 1e-5,
    repeats: int = 20,
    rounds: int = 5,
) -> dict[str, float]:
    """Medians of the seconds a training step takes.

    Args:
        batch_size: series of a batch.
        points: observations of a series.
        tol: absolute and relative tolerance of both solvers.
        repeats: steps timed together.
        rounds: timings of each, in turns.

    Returns:
        ``"tfcnf"``, ``"torch"``, ``"torch_1_thread"``, and ``"ratio"``, the first over
        the faster of the others.

    Raises:
        ImportError: without torch or torchdiffeq.
    """
    design = DESIGNS["spirals"]._replace(spirals=batch_size, window=points)
    split = draw(design, 0)
    values, times = split.x.values, split.x.times[0]
    steps = {
        "tfcnf": tfcnf_step(split.x, split.y, tol),
        "torch": torch_step(values, times, tol),
        "torch_1_thread": torch_step(values, times, tol, threads=1),
    }
    timings: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # traces, warms up
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(repeats):
                step()
            timings[name].append((time.perf_counter() - started) / repeats)
    medians = {name: statistics.median(values) for name, values in timings.items()}
    peer = min(medians["torch"], medians["torch_1_thread"])
    return medians | {"ratio": medians["tfcnf"] / peer}


def tfcnf_step(x: Series, y: np.ndarray, tol: float) -> Step:
    """A training step of `LatentODE` without labels."""
    model = LatentODE(
        x.values.shape[-1],
        partition="none",
        latent_dims=LATENT,
        encoder=f"rnn:units={ENCODER}",
        dynamics=f"mlp:units=({HIDDEN},)",
        decoder_units=HIDDEN,
        sigma=SIGMA,
        regular=True,
        tol=tol,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(1e-3))
    batch = (tf.nest.map_structure(tf.constant, x), tf.constant(y))
    step = tf.function(model.train_step, autograph=False)

    def run() -> None:
        float(step(batch)["loss"])

    return run


def torch_step(
    values: np.ndarray, times: np.ndarray, tol: float, threads: int | None = None
) -> Step:
    """The same step with torch and torchdiffeq; torch's own threads if None."""
    import torch

    threads = threads or torch.get_num_threads()
    x = torch.from_numpy(values.copy())
    descend = torch_descent(torch_parts(x.shape[-1]), times, tol)

    def run() -> None:
        torch.set_num_threads(threads)
        descend(x)

    return run


def torch_descent(parts: Any, times: np.ndarray, tol: float) -> Callable[[Any], float]:
    """A function of a batch that takes a step of Adam and returns the mean ELBO."""
    import torch

    t = torch.from_numpy(times.copy())
    optimizer = torch.optim.Adam(parts.parameters(), lr=1e-3)

    def descend(x: Any) -> float:
        optimizer.zero_grad()
        elbo = torch_elbo(
            parts, x, t=t, noise=torch.randn(len(x), LATENT), tol=tol
        ).mean()
        (-elbo).backward()
        optimizer.step()
        return elbo.item()

    return descend


def torch_parts(dims: int, dynamics_units: Sequence[int] = (HIDDEN,)) -> Any:
    """Encoder, dynamics and decoder as torch starts them, a ``nn.ModuleList``."""
    from torch import nn

    field: list[nn.Module] = []
    for one, other in itertools.pairwise((LATENT, *dynamics_units)):
        field += [nn.Linear(one, other), nn.ELU()]
    decoder = (nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dims))
    return nn.ModuleList(
        [
            nn.Linear(dims + ENCODER, ENCODER),
            nn.Linear(ENCODER, 2 * LATENT),
            nn.Sequential(*field, nn.Linear(dynamics_units[-1], LATENT)),
            nn.Sequential(*decoder),
        ]
    )


def torch_elbo(parts: Any, x: Any, *, t: Any, noise: Any, tol: float) -> Any:
    """Its ELBO ``[B]`` in nats, at noise ``[B, D]``."""
    import torch
    from torchdiffeq import odeint

    to_hidden, to_latent, field, decoder = parts
    h = torch.zeros(len(x), ENCODER, dtype=x.dtype)
    for i in reversed(range(x.shape[1])):
        h = torch.tanh(to_hidden(torch.cat([x[:, i], h], 1)))
    mean, log_variance = to_latent(h).chunk(2, 1)
    z = mean + torch.exp(0.5 * log_variance) * noise
    path = odeint(lambda _, y: field(y), z, t, rtol=tol, atol=tol, method="dopri5")
    error = decoder(path).transpose(0, 1) - x
    constant = 0.5 * np.log(2 * np.pi * SIGMA**2) * error[0].numel()
    log_likelihood = -0.5 * (error / SIGMA).square().sum((1, 2)) - constant
    kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
    return log_likelihood - kl


def running_elbo(
    seed: int, steps: int, batch_size: int, tol: float = 1e-5
) -> Iterator[float]:
    """Trains the peer on ``spirals_reference`` with Adam at 1e-3 and two hidden layers.

    Args:
        seed: of torch's initial weights, the noise and the order of the data.
        steps: how many.
        batch_size: series of a batch, which divides 5,000.
        tol: absolute and relative tolerance of the solver.

    Yields:
        After each step the running mean of the ELBO with momentum 0.99, nats a series,
        as `RunningMean` of our models is and the authors' logs are.

    Raises:
        ImportError: without torch or torchdiffeq.
        ValueError: for another batch size.
    """
    import torch

    torch.manual_seed(seed)
    data = draw(DESIGNS["spirals_reference"], 0).x
    if batch_size < 1 or len(data.values) % batch_size:
        raise ValueError(
            f"batch_size must divide {len(data.values)}. "
            f"Received: batch_size={batch_size}"
        )
    x = torch.from_numpy(data.values.copy())
    parts = torch_parts(x.shape[-1], (HIDDEN, HIDDEN))
    descend = torch_descent(parts, data.times[0], tol)
    orders = (torch.randperm(len(x)) for _ in itertools.count())
    batches = itertools.chain.from_iterable(o.split(batch_size) for o in orders)
    mean = None
    for chosen in itertools.islice(batches, steps):
        elbo = descend(x[chosen])
        mean = elbo if mean is None else 0.99 * mean + 0.01 * elbo
        yield mean


def main() -> None:
    """Prints seconds at the paper's sizes, or a training's running ELBO."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=0, help="0 to time both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch_size", type=int, default=5_000)
    given = parser.parse_args()
    if given.steps:
        means = running_elbo(given.seed, given.steps, given.batch_size)
        for step, mean in enumerate(means, 1):
            if step % 100 == 0:
                print(f"step {step}, running ELBO: {mean:.1f}", flush=True)
        return
    for points in (100, 200):
        for name, value in seconds_per_step(points=points).items():
            print(f"{points} points, {name}: {value:.4g}", flush=True)


if __name__ == "__main__":
    main()
