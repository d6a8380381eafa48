"""Distances forward that are left to a model that knows spirals where training has.

    python -m benchmarks.spiral_continuations

The last window ends at t = 0.8 * 6 pi. A model that knows every spiral up to there, and
beyond that how fast it turns, must guess how its radius goes on: as a constant, a line,
a parabola, or an exponential with the same slope and curvature, as a linear field has
it. The counter-clockwise radius is a line, the clockwise one a + 50 b / s with s down
to 1. The second line is for windows that end at 0.6 * 6 pi and curves up to 0.8 * 6 pi,
as `benchmarks.continuation` has them with ``--design=edge``.
"""

from __future__ import annotations

import numpy as np

from tfcnf.data.spirals import Design, curve, draw, starts, times

DESIGNS = {
    "whole": Design(spirals=20_000),
    "edge": Design(spirals=20_000, room_after=400),
}
STEP = 1e-3


def remaining(design: Design, seed: int = 0) -> dict[str, float]:
    """Root mean squares of the distance forward for each way to go on."""
    n, grid = design.window, times(design)
    edge = grid[starts(design)[-1] + n - 1]
    y: np.ndarray = draw(design, seed).y.astype(np.float64)
    a, b, clockwise = np.split(y, 3, 1)
    chosen = np.random.default_rng(seed).choice(starts(design), design.spirals)
    t = grid[chosen[:, None] + np.arange(n, 2 * n)]

    def radius(t: np.ndarray) -> np.ndarray:
        centre = np.where(clockwise > 0.5, -5.0, 5.0)[..., None] * [1.0, 0.0]
        return np.linalg.norm(curve(a, b, clockwise, t) - centre, axis=-1)

    near = [radius(np.full_like(a, edge + k * STEP)) for k in (-1, 0, 1)]
    value = near[1]
    slope = (near[2] - near[0]) / (2 * STEP)
    bend = (near[2] - 2 * near[1] + near[0]) / STEP**2
    beyond = np.maximum(t - edge, 0.0)
    rate = np.maximum(bend / slope, 1e-6)
    guesses = {
        "constant": value + 0 * beyond,
        "line": value + slope * beyond,
        "parabola": value + slope * beyond + bend * beyond**2 / 2,
        "exponential": value + slope * np.expm1(rate * beyond) / rate,
    }
    truth = radius(np.maximum(t, edge))
    return {
        name: float(np.sqrt(np.square(guess - truth).mean()))
        for name, guess in guesses.items()
    }


def main() -> None:
    """Prints them."""
    for name, design in DESIGNS.items():
        found = remaining(design).items()
        print(name, ", ".join(f"{way}: {value:.3f}" for way, value in found))


if __name__ == "__main__":
    main()
