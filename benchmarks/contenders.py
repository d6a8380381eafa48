"""The solvers that are compared, behind one signature.

All call the same NumPy right-hand side, which counts: no contender's own statistics
are believed. Each keeps its own defaults, with rtol = atol = tol.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.integrate import solve_ivp

from benchmarks.problems import Problem, State, pack, unpack
from tfcnf.ode.solver import Solver
from tfcnf.ode.solvers.dopri5 import Dopri5

MAX_STEPS = 100_000
OURS, PI = "tfcnf", "tfcnf (PI control)"
# every Runge-Kutta pair of the package
PACKAGE = {OURS: Dopri5(MAX_STEPS), PI: Dopri5(MAX_STEPS, pi_control=True)} | {
    f"tfcnf {key}": made(MAX_STEPS)
    for key, made in Solver.known.items()
    if made.keeps_steps and made is not Dopri5
}


class Counter:
    """The right-hand side of a problem, counting its calls."""

    def __init__(self, rhs: Callable[..., State]):
        self.rhs, self.calls = rhs, 0

    def __call__(self, t: Any, *y: Any) -> State:
        """dy at time t; the state comes as any kind of array."""
        self.calls += 1
        return self.rhs(float(t), *(np.asarray(part) for part in y))


Solve = Callable[[Counter, State, float, float], State]


def make_contenders() -> tuple[dict[str, Solve], list[str]]:
    """Solvers ``(rhs, initial, end, tol) -> y(end)``, and the names not installed."""
    solvers: dict[str, Solve] = {
        **{
            name: _tensorflow(functools.partial(_ours, solver))
            for name, solver in PACKAGE.items()
        },
        "tfp": _tensorflow(_tfp),
        "scipy RK45": _scipy,
    }
    skipped = []
    for name, make in [
        ("torchdiffeq dopri5", _torchdiffeq),
        ("diffrax Dopri5", _diffrax),
    ]:
        try:
            solvers[name] = make()
        except ImportError:
            skipped.append(name)
    return solvers, skipped


def run_contender(
    solve: Solve, problem: Problem, tol: float
) -> tuple[int, State | None]:
    """Calls of the right-hand side, and y(end) or None where the solve failed."""
    counter = Counter(problem.rhs)
    try:
        y = solve(counter, problem.initial, problem.end, tol)
    except (AssertionError, RuntimeError, tf.errors.InvalidArgumentError):
        return counter.calls, None
    values = tuple(np.asarray(part, np.float64) for part in y)
    return counter.calls, values if np.isfinite(pack(values)).all() else None


def _tensorflow(integrate: Callable[..., Any]) -> Solve:
    """A solver of TensorFlow; traced once for all problems of the same shapes."""
    current: dict[str, Counter] = {}

    def ode_fn(t: Any, y: Any) -> Any:
        dtypes = [part.dtype for part in y]
        dy = tf.numpy_function(lambda *a: current["rhs"](*a), [t, *y], dtypes)
        return tuple(tf.ensure_shape(d, x.shape) for d, x in zip(dy, y, strict=True))

    @tf.function(autograph=False)
    def graph(end: float, tol: Any, *y: Any) -> Any:
        return integrate(ode_fn, end, tol, y)

    def solve(rhs: Counter, initial: State, end: float, tol: float) -> State:
        current["rhs"] = rhs
        values = (tf.constant(x, tf.float64) for x in (tol, *initial))
        return tuple(part.numpy() for part in graph(end, *values))

    return solve


def _ours(solver: Solver, ode_fn: Any, end: float, tol: Any, y: Any) -> Any:
    return solver.integrator(tol).integrate(ode_fn, 0.0, end, y).y


def _tfp(ode_fn: Any, end: float, tol: Any, y: Any) -> Any:
    solver = tfp.math.ode.DormandPrince(rtol=tol, atol=tol)
    results = solver.solve(ode_fn, tf.zeros([], tol.dtype), y, [end])
    return tuple(part[0] for part in results.states)


def _scipy(rhs: Counter, initial: State, end: float, tol: float) -> State:
    shapes = [part.shape for part in initial]

    def flat(t: float, y: np.ndarray) -> np.ndarray:
        return pack(rhs(t, *unpack(y, shapes)))

    done = solve_ivp(flat, (0.0, end), pack(initial), "RK45", rtol=tol, atol=tol)
    return unpack(done.y[:, -1], shapes)


def _torchdiffeq() -> Solve:
    import torch
    import torchdiffeq

    def solve(rhs: Counter, initial: State, end: float, tol: float) -> State:
        def ode_fn(t: Any, y: Any) -> Any:
            return tuple(torch.from_numpy(d) for d in rhs(t, *y))

        times = torch.tensor([0.0, end], dtype=torch.float64)
        y0 = tuple(torch.from_numpy(part) for part in initial)
        y = torchdiffeq.odeint(ode_fn, y0, times, rtol=tol, atol=tol, method="dopri5")
        return tuple(part[-1].numpy() for part in y)

    return solve


def _diffrax() -> Solve:
    import diffrax
    import jax

    jax.config.update("jax_enable_x64", True)
    current: dict[str, Counter] = {}

    def vector_field(t: Any, y: Any, args: Any) -> Any:
        shapes = tuple(jax.ShapeDtypeStruct(part.shape, part.dtype) for part in y)
        return jax.experimental.io_callback(
            lambda *a: current["rhs"](*a), shapes, t, *y
        )

    @jax.jit
    def graph(end: Any, tol: Any, y: Any) -> Any:
        return diffrax.diffeqsolve(
            diffrax.ODETerm(vector_field),
            diffrax.Dopri5(),
            0.0,
            end,
            None,
            y,
            stepsize_controller=diffrax.PIDController(rtol=tol, atol=tol),
            max_steps=MAX_STEPS,
        ).ys

    def solve(rhs: Counter, initial: State, end: float, tol: float) -> State:
        current["rhs"] = rhs
        return tuple(np.asarray(part[-1]) for part in graph(end, tol, initial))

    return solve
