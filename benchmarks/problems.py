"""Initial value problems on which solvers are compared, in float64.

The non-stiff ones are of the DETEST collection: Hull, Enright, Fellen and Sedgwick,
Comparing numerical methods for ordinary differential equations, SIAM J. Numer. Anal.
9 (1972), 603-637. A are scalar, B small systems, C moderate systems, D orbits, E of
second order. Left out are those that only vary a size or an eccentricity (C3, C5, D2,
D4) and the larger C2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm

State = tuple[np.ndarray, ...]
DETEST_END = 20.0


class Problem(NamedTuple):
    """dy/dt = f(t, y) from t = 0 to ``end``.

    Attributes:
        name: unique.
        rhs: ``(t, *y) -> dy``, arrays of float64.
        initial: y(0), a tuple of arrays.
        end: end time.
        exact: y(end) where there is a closed form.
    """

    name: str
    rhs: Callable[..., State]
    initial: State
    end: float
    exact: State | None = None

    def truth(self) -> State:
        """y(end), by the closed form or DOP853 at rtol = atol = 1e-13.

        Raises:
            RuntimeError: where DOP853 fails.
        """
        if self.exact is not None:
            return self.exact
        shapes = [y.shape for y in self.initial]

        def flat(t: float, y: np.ndarray) -> np.ndarray:
            return pack(self.rhs(t, *unpack(y, shapes)))

        start = pack(self.initial)
        done = solve_ivp(flat, (0.0, self.end), start, "DOP853", rtol=1e-13, atol=1e-13)
        if not done.success:
            raise RuntimeError(f"no reference solution of {self.name}: {done.message}")
        return unpack(done.y[:, -1], shapes)


def pack(y: Sequence[Any]) -> np.ndarray:
    """One vector of several arrays."""
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in y])


def unpack(y: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> State:
    """The arrays of these shapes in one vector."""
    parts = np.split(y, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
    return tuple(part.reshape(s) for part, s in zip(parts, shapes, strict=True))


def classical_problems() -> list[Problem]:
    """Linear, oscillator, DETEST and van der Pol."""
    detest = [
        _vector(f"DETEST {name}", rhs, initial=initial, end=DETEST_END)
        for name, (rhs, initial) in (_DETEST | _orbits()).items()
    ]
    stiffness = 3.0
    van_der_pol = _vector(
        "van der Pol (mu = 3)",
        lambda t, y: (y[1], stiffness * (1 - y[0] ** 2) * y[1] - y[0]),
        initial=[2.0, 0.0],
        end=10.0,
    )
    return [_linear(), _oscillator(), *detest, van_der_pol]


def _vector(
    name: str,
    rhs: Callable[[float, np.ndarray], Any],
    *,
    initial: Sequence[float],
    end: float,
    exact: np.ndarray | None = None,
) -> Problem:
    """A problem whose state is one vector."""
    return Problem(
        name,
        lambda t, y: (np.array(rhs(t, y), np.float64),),
        (np.array(initial, np.float64),),
        end,
        None if exact is None else (exact,),
    )


def _linear() -> Problem:
    matrix = np.array(
        [[-0.5, 2.0, 0.0, 0.0], [-2.0, -0.5, 1.0, 0.0], [0, 0, -1, 3], [0, 0, -3, -1]]
    )
    initial, end = np.array([1.0, 0.0, -1.0, 2.0]), 5.0
    return _vector(
        "linear",
        lambda t, y: matrix @ y,
        initial=initial,
        end=end,
        exact=expm(end * matrix) @ initial,
    )


def _oscillator() -> Problem:
    """y'' = -4 y + sin(t) from y = 1, y' = 0.5."""
    end = 10.0
    amplitude = (0.5 - 1 / 3) / 2
    exact = np.array(
        [
            np.cos(2 * end) + amplitude * np.sin(2 * end) + np.sin(end) / 3,
            -2 * np.sin(2 * end) + 2 * amplitude * np.cos(2 * end) + np.cos(end) / 3,
        ]
    )
    return _vector(
        "oscillator",
        lambda t, y: (y[1], -4.0 * y[0] + np.sin(t)),
        initial=[1.0, 0.5],
        end=end,
        exact=exact,
    )


def _torus(t: float, y: np.ndarray) -> Any:
    r = np.hypot(y[0], y[1])
    return -y[1] - y[0] * y[2] / r, y[0] - y[1] * y[2] / r, y[0] / r


def _chain(t: float, y: np.ndarray) -> np.ndarray:
    """A radioactive decay chain."""
    flow: np.ndarray = np.append(y[:-1], 0.0)
    return np.append(0.0, flow[:-1]) - flow


def _heat(t: float, y: np.ndarray) -> np.ndarray:
    """y[i-1] - 2 y[i] + y[i+1], zero beyond both ends."""
    return np.convolve(y, [1.0, -2.0, 1.0], "same")


def _bessel(t: float, y: np.ndarray) -> Any:
    return y[1], -(y[1] / (t + 1) + (1 - 0.25 / (t + 1) ** 2) * y[0])


def _orbit(t: float, y: np.ndarray) -> Any:
    cubed = np.hypot(y[0], y[1]) ** 3
    return y[2], y[3], -y[0] / cubed, -y[1] / cubed


def _orbits() -> dict[str, tuple[Callable[..., Any], Sequence[float]]]:
    """Kepler's problem from the perihelion, of three eccentricities."""
    return {
        name: (_orbit, [1 - e, 0.0, 0.0, np.sqrt((1 + e) / (1 - e))])
        for name, e in [("D1", 0.1), ("D3", 0.5), ("D5", 0.9)]
    }


_UNIT = [1.0] + [0.0] * 9
_DETEST: dict[str, tuple[Callable[[float, Any], Any], Sequence[float]]] = {
    "A1": (lambda t, y: -y, [1.0]),
    "A2": (lambda t, y: -(y**3) / 2, [1.0]),
    "A3": (lambda t, y: y * np.cos(t), [1.0]),
    "A4": (lambda t, y: y / 4 * (1 - y / 20), [1.0]),
    "A5": (lambda t, y: (y - t) / (y + t), [4.0]),
    "B1": (
        lambda t, y: (2 * (y[0] - y[0] * y[1]), -(y[1] - y[0] * y[1])),
        [1.0, 3.0],
    ),
    "B2": (
        lambda t, y: (-y[0] + y[1], y[0] - 2 * y[1] + y[2], y[1] - y[2]),
        [2.0, 0.0, 1.0],
    ),
    "B3": (lambda t, y: (-y[0], y[0] - y[1] ** 2, y[1] ** 2), [1.0, 0.0, 0.0]),
    "B4": (_torus, [3.0, 0.0, 0.0]),
    "B5": (
        lambda t, y: (y[1] * y[2], -y[0] * y[2], -0.51 * y[0] * y[1]),
        [0.0, 1.0, 1.0],
    ),
    "C1": (_chain, _UNIT),
    "C4": (_heat, [1.0] + [0.0] * 50),
    # J and its derivative of order 1/2 at 1
    "E1": (_bessel, [0.6713967071418030, 0.09540051444747446]),
    "E2": (lambda t, y: (y[1], (1 - y[0] ** 2) * y[1] - y[0]), [2.0, 0.0]),
    "E3": (
        lambda t, y: (y[1], y[0] ** 3 / 6 - y[0] + 2 * np.sin(2.78535 * t)),
        [0.0, 0.0],
    ),
    "E4": (lambda t, y: (y[1], 0.032 - 0.4 * y[1] ** 2), [30.0, 0.0]),
    "E5": (lambda t, y: (y[1], np.sqrt(1 + y[1] ** 2) / (25 - t)), [0.0, 0.0]),
}
