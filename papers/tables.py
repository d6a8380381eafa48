"""Tables of arms in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from papers.arms import Arm, Run
from tfcnf.reporting.tables import markdown

# (title, measure of a run, format)
COLUMNS: list[tuple[str, Callable[[Run], Any], str]] = [
    ("test error (%)", lambda run: run.results.get("test_error"), ".2f"),
    ("bits/dim", lambda run: run.results["bits_per_dim"], ".3f"),
    ("marginal", lambda run: run.results["marginal_bits_per_dim"], ".3f"),
    ("forward", lambda run: run.mean("nfe_forward"), ".1f"),
    ("backward", lambda run: run.mean("nfe_backward"), ".1f"),
    (
        "s/epoch",
        lambda run: float(np.median([line["seconds"] for line in run.metrics])),
        ".1f",
    ),
]
OWN = {  # key of tolerances.json -> (title, format)
    "test_error": ("test error (%)", ".2f"),
    "bits_per_dim": ("bits/dim", ".3f"),
    "marginal_bits_per_dim": ("marginal", ".3f"),
    "nfe_forward": ("forward evaluations", ".1f"),
    "log10_tol/cnf_00": ("log10 tolerance of the first CNF", ".2f"),
    "num_examples": ("examples", ".0f"),
}


def arms_table(arms: Sequence[Arm]) -> str:
    """One row for each arm: mean and standard deviation over its seeds.

    Error and bits/dim are of the closing evaluation; evaluations (all layers) and
    seconds are means over the epochs of the training. "saved" is the part of the
    evaluations of the same training at the smallest constant tolerance that was saved.
    """
    head = ["tolerances", "seeds", *(title for title, _, _ in COLUMNS), "saved (%)"]
    rows = [head, ["---"] * len(head)]
    for arm in arms:
        cells = [
            spread(arm.each(measure), form)
            if all(measure(run) is not None for run in arm.runs)
            else ""
            for _, measure, form in COLUMNS
        ]
        rows.append([arm.label, str(len(arm.runs)), *cells, _saved(arm, arms)])
    return markdown(rows)


def learned_table(arm: Arm) -> str:
    """Measures at an arm's own tolerances against the size of the test batch."""
    names = list(arm.runs[0].tolerances["evaluations"])
    settings = dict.fromkeys(tuple(name.split("/")[:2]) for name in names)
    shown = [name for name in OWN if any(n.endswith(f"/{name}") for n in names)]
    head = ["tolerance", "test batch", *(OWN[name][0] for name in shown)]
    rows = [head, ["---"] * len(head)]
    for mode, batch in settings:
        cells = []
        for name in shown:
            key = f"{mode}/{batch}/{name}"
            values = [
                run.tolerances["evaluations"].get(key, np.nan) for run in arm.runs
            ]
            cells.append(spread(np.array(values), OWN[name][1]))
        rows.append([mode, batch.removeprefix("batch_"), *cells])
    return markdown(rows)


def spread(values: np.ndarray, form: str) -> str:
    """Mean and, of several values, their standard deviation; none of equal counts."""
    text = format(float(np.mean(values)), form)
    if len(values) == 1 or (form == ".0f" and np.ptp(values) == 0):
        return text
    return f"{text} ± {format(float(np.std(values, ddof=1)), form)}"


def _saved(arm: Arm, arms: Sequence[Arm]) -> str:
    def kind(arm: Arm) -> Any:
        return arm.model, arm.rate, arm.flows, arm.num_labels, arm.is_alone

    same = [a for a in arms if kind(a) == kind(arm) and a.policy == "fixed"]
    if not same:
        return ""
    most = min(same, key=lambda a: a.tol)
    saved = 1 - evaluations(arm).mean() / evaluations(most).mean()
    return "" if arm is most else f"{100 * saved:.0f}"


def evaluations(arm: Arm) -> np.ndarray:
    """Forward and backward evaluations a training step, of each run."""
    return arm.each(lambda run: run.mean("nfe_forward") + run.mean("nfe_backward"))
