"""Work against precision: evaluations of the right-hand side against true error.

Everything is in float64. The error of a solve is the root mean square, over all
components of the state at the end, of the difference from the reference solution; that
of a gradient is the norm of its difference from the true one divided by the latter's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.contenders import OURS, Solve, make_contenders, run_contender
from benchmarks.problems import Problem, classical_problems, pack
from benchmarks.trained import GRADIENTS, TrainedCNF, load_cnfs

STAGES = 6  # evaluations of a step
BATCH = 8
OURS_EVERY, OTHERS_EVERY = 0.25, 0.5  # decades between tolerances
FORWARD, BACKWARD = (2, 8), (2, 7)  # decades of tolerance
# how much tighter ours goes, so that others' errors are reached
MARGIN = 1
# contenders that a solve is not to exceed by more than a step
PEERS = ("scipy RK45", "torchdiffeq dopri5")
# a solve with a larger error has not a digit right: there is nothing to compare
LARGEST_ERROR = 0.1
STATISTICS = (
    "median",
    "worst",
    "worst_at",
    "excess_steps",
    "excess_at",
    "median_excess_steps",
    "within_a_step",
)
Points = list[dict[str, Any]]


def run(checkpoint: str | None, log: Callable[[str], None]) -> dict[str, Any]:
    """Measures every contender on every problem.

    Args:
        checkpoint: run folder whose CNFs are taken; without one they are left out.
        log: called with a line for each problem.

    Returns:
        ``forward`` and ``backward``: for each problem and contender a list of points
        ``{"tol", "evaluations", "error"}``, the error None where the solve failed;
        ``skipped``: what could not be measured;
        ``error_norm``.

    Raises:
        ValueError: for a folder without a run or without a checkpoint.
    """
    contenders, skipped = make_contenders()
    cnfs = load_cnfs(checkpoint, BATCH) if checkpoint else []
    if not cnfs:
        skipped.append("trained CNFs (no checkpoint was given)")
    problems = [*classical_problems(), *(cnf.problem() for cnf in cnfs)]
    forward, backward = {}, {}
    for problem in problems:
        log(f"{problem.name}: evaluations against error")
        forward[problem.name] = measure_solves(problem, contenders, FORWARD)
    for cnf in cnfs:
        log(f"{cnf.name}: backward evaluations against gradient error")
        backward[cnf.name] = measure_gradients(cnf, BACKWARD)
    return {
        "error_norm": {
            "forward": "root mean square of the difference at the end",
            "backward": "norm of the difference divided by the true gradient's norm",
        },
        "batch_size": BATCH,
        "skipped": skipped,
        "forward": forward,
        "backward": backward,
    }


def measure_solves(
    problem: Problem, contenders: dict[str, Solve], decades: tuple[int, int]
) -> dict[str, Points]:
    """For each contender, a point for each tolerance."""
    truth = pack(problem.truth())
    points: dict[str, Points] = {}
    for name, solve in contenders.items():
        points[name] = []
        for tol in tolerances(name, decades):
            calls, y = run_contender(solve, problem, tol)
            error = None if y is None else rms(pack(y) - truth)
            points[name].append({"tol": tol, "evaluations": calls, "error": error})
    return points


def measure_gradients(cnf: TrainedCNF, decades: tuple[int, int]) -> dict[str, Points]:
    """The same of the adjoint solves, ours and TFP's own."""
    truth = cnf.true_gradient()
    points: dict[str, Points] = {}
    for name in GRADIENTS:
        points[name], tols = [], tolerances(name, decades)
        for tol, (calls, gradient) in zip(tols, cnf.gradients(name, tols), strict=True):
            error = rms(gradient - truth) / rms(truth)
            points[name].append({"tol": tol, "evaluations": calls, "error": error})
    return points


def tolerances(contender: str, decades: tuple[int, int]) -> list[float]:
    """Tolerances from 10^-first to 10^-last; finer and further for ours."""
    first, last = decades
    every = OTHERS_EVERY
    if contender == OURS:
        every, last = OURS_EVERY, last + MARGIN
    return [10.0 ** -float(e) for e in np.arange(first, last + every / 2, every)]


def rms(x: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(x**2)))


def summarise(results: dict[str, Any]) -> dict[str, Any]:
    """Ours against each other contender, at equal or smaller true error.

    Left out are solves with an error above 0.1, and those points of a contender that
    another of its own betters in both error and evaluations, so that what a solver
    wastes below its rounding floor does not count for us. Against each point stands
    that of ours with the fewest evaluations among those of an equal or smaller error.

    Returns:
        ``forward`` and ``backward``: for each contender, over all points, the
        ``median`` ratio of evaluations (ours / theirs), the ``worst`` with its problem
        and tolerance, ``excess_steps``, the largest (ours - theirs) / 6, and where,
        ``median_excess_steps``, ``within_a_step``, the share of points with at most
        one step more, ``points``, and how many are ``not_reached`` by ours; the same
        for each of its ``problems``; ``median_of_problems`` and
        ``largest_median_excess_steps`` over these. ``targets``: name to whether it is
        met; None where it was not measured.
    """
    summary: dict[str, Any] = {
        way: {
            name: _compare(results[way], name)
            for name in _others(results[way].values())
        }
        for way in ("forward", "backward")
    }
    forward, backward = (summary[w] for w in ("forward", "backward"))
    targets: dict[str, bool | None] = {
        "forward median at most 0.6 of tfp": _at_most(forward, "tfp", "median", 0.6),
        "forward never above 0.9 of tfp": _at_most(forward, "tfp", "worst", 0.9),
    }
    for peer in PEERS:
        name = f"at most one step beyond {peer}"
        targets[name] = _at_most(forward, peer, "excess_steps", 1.0)
        targets[f"{name} in every problem's median"] = _at_most(
            forward, peer, "largest_median_excess_steps", 1.0
        )
    name = "backward median at most 0.6 of tfp's adjoint"
    targets[name] = _at_most(backward, "tfp", "median", 0.6)
    return summary | {"targets": targets, "skipped": results["skipped"]}


def _others(problems: Iterable[dict[str, Points]]) -> list[str]:
    return list(dict.fromkeys(n for points in problems for n in points if n != OURS))


def _at_most(way: dict[str, Any], name: str, key: str, limit: float) -> bool | None:
    if name not in way or not way[name]["points"]:
        return None
    return way[name][key] <= limit and not way[name]["not_reached"]


def _compare(problems: dict[str, dict[str, Points]], name: str) -> dict[str, Any]:
    """Ours against one contender, in all and problem by problem."""
    pairs = [
        pair | {"problem": problem}
        for problem, points in problems.items()
        for pair in _pairs(points[OURS], points[name])
    ]
    rows = {
        problem: _statistics([p for p in pairs if p["problem"] == problem])
        for problem in problems
    }
    medians = [row["median"] for row in rows.values() if row["median"] is not None]
    median = float(np.median(medians)) if medians else None
    excess = [
        r["median_excess_steps"] for r in rows.values() if r["median"] is not None
    ]
    return _statistics(pairs) | {
        "median_of_problems": median,
        "largest_median_excess_steps": max(excess, default=None),
        "problems": rows,
    }


def _pairs(ours: Points, theirs: Points) -> list[dict[str, Any]]:
    """Each efficient point of a contender with the cheapest of ours as good."""
    pairs = []
    ours, theirs = _compared(ours), _efficient(_compared(theirs))
    for point in theirs:
        enough = [p["evaluations"] for p in ours if p["error"] <= point["error"]]
        least = min(enough, default=None)
        pairs.append({"tol": point["tol"], "ours": least, "theirs": point})
    return pairs


def _compared(points: Points) -> Points:
    return [p for p in points if p["error"] is not None and p["error"] <= LARGEST_ERROR]


def _efficient(points: Points) -> Points:
    """The points that no other betters in error and evaluations."""

    def bettered(p: dict[str, Any]) -> bool:
        return any(
            q["error"] <= p["error"] and q["evaluations"] < p["evaluations"]
            for q in points
        )

    return [p for p in points if not bettered(p)]


def _statistics(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    reached = [p for p in pairs if p["ours"] is not None]
    counts = {"points": len(pairs), "not_reached": len(pairs) - len(reached)}
    if not reached:
        return dict.fromkeys(STATISTICS) | counts
    theirs = [p["theirs"]["evaluations"] for p in reached]
    ratios = [p["ours"] / n for p, n in zip(reached, theirs, strict=True)]
    excess = [(p["ours"] - n) / STAGES for p, n in zip(reached, theirs, strict=True)]
    worst, most = int(np.argmax(ratios)), int(np.argmax(excess))
    return {
        "median": float(np.median(ratios)),
        "worst": ratios[worst],
        "worst_at": _place(reached[worst]),
        "excess_steps": excess[most],
        "excess_at": _place(reached[most]),
        "median_excess_steps": float(np.median(excess)),
        "within_a_step": float(np.mean([steps <= 1.0 for steps in excess])),
    } | counts


def _place(pair: dict[str, Any]) -> dict[str, Any]:
    return {"problem": pair["problem"], "tol": pair["tol"]}
