"""Scores of several runs side by side, with their spread over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def spread_table(groups: Runs, measures: Sequence[str]) -> str:
    """One row for each measure, one column for each group, as Markdown.

    A cell is ``mean ± standard deviation`` over the runs of a group. The last columns
    are the gains of the first group over each other one, in standard errors of their
    difference: positive where the first is smaller.

    Args:
        groups: by label, the measures of its runs.
        measures: names of what to show; those that a group lacks are left blank.
    """
    first, *others = labels = list(groups)
    head = ["measure", *(f"{name} ({len(groups[name])})" for name in labels)]
    head += [f"{other} - {first} (standard errors)" for other in others]
    rows = [head, ["---"] * len(head)]
    for measure in measures:
        values = [[r[measure] for r in groups[n] if measure in r] for n in labels]
        if any(values):
            gains = [_gain(other, values[0]) for other in values[1:]]
            rows.append([measure, *map(_cell, values), *gains])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def gain(larger: Sequence[float], smaller: Sequence[float]) -> float | None:
    """Difference of two means in standard errors; None with less than two runs each."""
    if min(len(larger), len(smaller)) < 2:
        return None
    difference = statistics.fmean(larger) - statistics.fmean(smaller)
    square = sum(statistics.variance(v) / len(v) for v in (larger, smaller))
    return difference / math.sqrt(square) if square else None


def _gain(larger: Sequence[float], smaller: Sequence[float]) -> str:
    value = gain(larger, smaller)
    return "" if value is None else f"{value:+.1f}"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.4g}"
    return f"{mean:.4g} ± {statistics.stdev(values):.2g}"
