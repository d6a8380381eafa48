"""Tables of results in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfcnf.tasks.base import Measure

Rows = Sequence[Mapping[str, Any]]


def results_table(results: Rows, measures: Mapping[str, Measure]) -> str:
    """One column for each solver tolerance (and dtype), one row for each measure.

    Args:
        results: the evaluations of an ``eval.json``.
        measures: see `tfcnf.tasks.Task.measures`.
    """
    head, *rows = results_rows(results, measures)
    return markdown([head, ["---"] * len(head), *rows])


def results_rows(results: Rows, measures: Mapping[str, Measure]) -> list[list[str]]:
    """The cells of `results_table`, its head first."""
    several = len({r.get("dtype") for r in results}) > 1
    columns = [
        f"at {r['tolerance']:.0e}" + f", {r.get('dtype')}" * several for r in results
    ]
    rows = [["measure", "unit", *columns]]
    for key, measure in measures.items():
        own = [key] if key in results[0] else []
        labels = _of_labels(results[0], key) if measure.each else {}
        for name, of in (dict.fromkeys(own, "") | labels).items():
            values = [format(row[name], measure.format) for row in results]
            rows.append([measure.title + of, measure.unit, *values])
    return rows


def _of_labels(result: Mapping[str, Any], key: str) -> dict[str, str]:
    """The measures of labels and what follows their title, see `Measure.each`."""
    if key.startswith("_"):
        names = [name for name in result if name.endswith(key) and "/" not in name]
        return {name: f" ({name.removesuffix(key)})" for name in names}
    names = [name for name in result if name.startswith(f"{key}/")]
    return {name: f" ({name.removeprefix(f'{key}/')})" for name in names}


def markdown(rows: list[list[str]]) -> str:
    """The first row is the head, the second is replaced by the rule below it."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
