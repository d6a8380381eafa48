"""Error against the number of labels: with the unlabelled examples and without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from papers.arms import Arm, Run
from papers.tables import spread
from tfcnf.diagnostics.figures import save_figure
from tfcnf.reporting.tables import markdown

Measure = Callable[[Run], float | None]
ERRORS: dict[str, Measure] = {
    "classifier": lambda run: run.results.get("test_error"),
    "mixture": lambda run: run.results.get("generative_error"),
}


def label_lines(arms: Sequence[Arm]) -> dict[str, dict[int, np.ndarray]]:
    """Test errors (percent) by line of the figure and labels of a class.

    Args:
        arms: of one regime; those with all labels are the end of every line.

    Returns:
        Errors of each run by label number, 0 for all, the fewest labels first.
    """
    kinds = {"all images": False, "labelled images alone": True}
    lines: dict[str, dict[int, np.ndarray]] = {
        f"{kind}, {name}": _errors(
            [arm for arm in arms if not arm.num_labels or arm.is_alone == alone], error
        )
        for kind, alone in kinds.items()
        for name, error in ERRORS.items()
    }
    few = [arm for arm in arms if arm.num_labels]
    lines["logistic regression on pixels"] = _errors(
        few, lambda run: run.labels.get("logistic_regression_error")
    )
    return {name: line for name, line in lines.items() if line}


def labels_table(arms: Sequence[Arm]) -> str:
    """One row for each number of labels of a class, one column for each line."""
    lines = label_lines(arms)
    rows = [["labels of a class", *(f"{name} (%)" for name in lines)]]
    rows.append(["---"] * len(rows[0]))
    for number in _numbers(lines):
        cells = [
            spread(line[number], ".2f") if number in line else ""
            for line in lines.values()
        ]
        rows.append([_name(number), *cells])
    return markdown(rows)


def draw_labels(arms: Sequence[Arm], path: Path, title: str = "") -> None:
    """Test error against the number of labels, mean and deviation over the seeds."""
    lines = label_lines(arms)
    numbers = _numbers(lines)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    panel = figure.subplots()
    for i, (name, line) in enumerate(lines.items()):
        shown = [number for number in numbers if number in line]
        panel.errorbar(
            [numbers.index(number) + 0.04 * (i - 2) for number in shown],
            [line[number].mean() for number in shown],
            [line[number].std() for number in shown],
            color=f"C{i // 2}",
            linestyle="--" if "mixture" in name else "-",
            marker="o",
            markersize=4,
            capsize=2,
            label=name,
        )
    panel.set_xticks(range(len(numbers)), [_name(number) for number in numbers])
    panel.set(xlabel="labels of a class", ylabel="test error (%)", title=title)
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    save_figure(figure, path)


def _errors(arms: Sequence[Arm], measure: Measure) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    for arm in sorted(arms, key=lambda arm: arm.num_labels or np.inf):
        values = [measure(run) for run in arm.runs]
        if None not in values:
            found[arm.num_labels] = np.array(values, float)
    return found


def _numbers(lines: dict[str, dict[int, np.ndarray]]) -> list[int]:
    """All numbers of labels, the fewest first and 0, which is all, last."""
    numbers = {number for line in lines.values() for number in line}
    return sorted(numbers, key=lambda number: number or np.inf)


def _name(number: int) -> str:
    return str(number or "all")
