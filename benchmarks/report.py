"""Tables and figures of the benchmarks, from their JSON files alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tfcnf.checks import check_choice
from tfcnf.diagnostics.figures import save_figure
from tfcnf.files import replace_file
from tfcnf.records import Record, blame, read_record
from tfcnf.reporting.tables import markdown

matplotlib.use("Agg")


def write(benchmark: str, out: str | None = None) -> Path:
    """Writes a Markdown file with the figures' table, and a PNG.

    Args:
        benchmark: JSON file that `launch/benchmark.py` left.
        out: folder to write to; that of the file if None.

    Raises:
        ValueError: if the file is not a benchmark's, or damaged.
        FileNotFoundError: where it is absent.
    """
    path = Path(benchmark)
    record = read_record(path, {"suite": str, "machine": dict})
    suite = record["suite"]
    with blame(path):
        check_choice("suite", suite, DRAW)
    folder = Path(out) if out else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    figure = folder / f"{path.stem}.png"
    with blame(path):
        text = _text(record, figure.name)
        save_figure(DRAW[suite](record), figure)
    report = folder / f"{path.stem}.md"
    with replace_file(report) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return report


def _text(record: Record, figure: str) -> str:
    suite, summary = record["suite"], record["summary"]
    rows = _solver_rows(summary) if suite == "solver" else [summary]
    sections = [
        f"# Benchmark: {suite}",
        _machine(record),
        *(_table(part) for part in rows),
        f"![{suite}]({figure})",
    ]
    return "\n\n".join(sections) + "\n"


def _machine(record: Record) -> str:
    machine = record["machine"]
    packages = ", ".join(
        f"{name} {version}" for name, version in machine["packages"].items() if version
    )
    return (
        f"`{record['command']}` took {record['seconds']:.0f} s on {machine['cores']} "
        f"cores of {machine['processor']}, {machine['memory_gib']} GiB, load "
        f"{machine['load']:.1f}; Python {machine['python']}, {packages}."
    )


def _solver_rows(summary: Record) -> list[list[Record]]:
    """Ours against each other solver, and which targets are met."""
    ratios = [
        {"direction": way, "ours / theirs": name}
        | {k: v for k, v in compared.items() if k != "problems"}
        for way in ("forward", "backward")
        for name, compared in summary[way].items()
    ]
    names = {True: "yes", False: "no", None: "not measured"}
    targets = [
        {"target": name, "met": names[met]} for name, met in summary["targets"].items()
    ]
    return [ratios, targets]


def _table(rows: Sequence[Record]) -> str:
    """One row each, the keys as heads; numbers to three places."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(key)) for key in keys] for row in rows]
    return markdown([keys, ["---"] * len(keys), *cells])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(_cell(v) for v in value.values())
    return format(value, ".3g") if isinstance(value, float) else str(value)


def _draw_step(record: Record) -> Figure:
    """Seconds of a training step, a group of bars for each size."""
    rows = record["summary"]
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    contenders = list(dict.fromkeys(row["contender"] for row in rows))
    figure = Figure(figsize=(3.2 * len(sizes) + 2, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(contenders)
    for i, contender in enumerate(contenders):
        mine = {r["size"]: r["step_s"] for r in rows if r["contender"] == contender}
        places = [j for j, size in enumerate(sizes) if size in mine]
        heights = [mine[sizes[j]] for j in places]
        axes.bar(np.array(places) + i * width, heights, width, label=contender)
    centre = width * (len(contenders) - 1) / 2
    axes.set_xticks(np.arange(len(sizes)) + centre, sizes)
    axes.set(ylabel="seconds a training step", yscale="log")
    axes.legend()
    return figure


def _draw_start(record: Record) -> Figure:
    """Seconds of each stage, stacked, a bar for each case."""
    rows = record["summary"]
    figure = Figure(figsize=(8, 1 + 0.8 * len(rows)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(rows))
    for stage in ("import", "build", "trace", "first_step"):
        seconds = np.array([row[f"{stage}_s"] for row in rows])
        axes.barh([row["case"] for row in rows], seconds, left=left, label=stage)
        left += seconds
    axes.set(xlabel="seconds from process start to the first training step")
    axes.legend()
    return figure


def _draw_memory(record: Record) -> Figure:
    """Peak memory against steps, a line for each gradient."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for gradient in dict.fromkeys(row["gradient"] for row in record["summary"]):
        rows = [row for row in record["summary"] if row["gradient"] == gradient]
        steps, peaks = [r["steps"] for r in rows], [r["peak_gib"] for r in rows]
        axes.plot(steps, peaks, "o-", label=gradient)
    axes.set(xlabel="accepted steps", ylabel="peak resident memory (GiB)", ylim=0)
    axes.legend()
    return figure


def _draw_solver(record: Record) -> Figure:
    """Evaluations against true error, a panel for each problem."""
    results = record["results"]
    panels = {
        (way, problem): points
        for way in ("forward", "backward")
        for problem, points in results[way].items()
    }
    columns = 4
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    for panel, ((way, problem), contenders) in zip(axes, panels.items(), strict=False):
        for contender, points in contenders.items():
            solved = [point for point in points if point["error"] is not None]
            errors = [point["error"] for point in solved]
            evaluations = [point["evaluations"] for point in solved]
            panel.loglog(errors, evaluations, ".-", label=contender)
        panel.set(title=problem, xlabel="true error", ylabel=f"{way} evaluations")
    axes[0].legend(fontsize="small")
    return figure


def _draw_serve(record: Record) -> Figure:
    """Images a second against the batch, a panel for each question."""
    rows = record["summary"]
    questions = list(dict.fromkeys(row["question"] for row in rows))
    figure = Figure(figsize=(4.5 * len(questions), 4), layout="constrained")
    axes: Any = figure.subplots(1, len(questions), squeeze=False)[0]
    for panel, question in zip(axes, questions, strict=True):
        chosen = [row for row in rows if row["question"] == question]
        batches = [row["batch"] for row in chosen]
        for key in chosen[0]:
            name = key.removesuffix(" (images/s)")
            if name != key:
                panel.loglog(batches, [r[key] for r in chosen], "o-", label=name)
        panel.set(title=question, xlabel="batch", ylabel="images a second")
    axes[0].legend()
    return figure


def _draw_tables(record: Record) -> Figure:
    """Test NLL against the CPU time of training, a panel for each table."""
    rows = record["summary"]
    names = list(dict.fromkeys(row["table"] for row in rows))
    figure = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    axes: Any = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(axes, names, strict=True):
        chosen = [row for row in rows if row["table"] == name]
        panel.errorbar(
            [row["cpu_s"] for row in chosen],
            [row["test_nll"] for row in chosen],
            [row["deviation"] or 0.0 for row in chosen],
            fmt="o",
        )
        for row in chosen:
            panel.annotate(row["contender"], (row["cpu_s"], row["test_nll"]))
        panel.set(title=name, xlabel="CPU seconds of training", xscale="log")
    axes[0].set(ylabel="test NLL (nats)")
    return figure


def _draw_train(record: Record) -> Figure:
    """Measures of the test images against the CPU time of training; targets."""
    fits = [fit for fit in record["results"]["fits"] if "skipped" not in fit]
    sizes = list(dict.fromkeys(fit["size"] for fit in fits))
    units = record["results"]["units"]
    figure = Figure(figsize=(9, 3.6 * len(sizes)), layout="constrained")
    panels: Any = figure.subplots(len(sizes), 2, squeeze=False)
    for row, size in zip(panels, sizes, strict=True):
        for panel, (key, unit) in zip(row, units.items(), strict=True):
            for fit in fits:
                if fit["size"] == size:
                    spent = [fit["start"]["cpu"], *(x["cpu"] for x in fit["curve"])]
                    values = [x[key] for x in fit["curve"]]
                    panel.plot(np.cumsum(spent)[1:], values, label=fit["contender"])
            for name, limit in record["results"]["targets"]:
                if name == key:
                    panel.axhline(limit, color="grey", linewidth=0.5)
            panel.set(xlabel="CPU seconds of training", ylabel=unit, xscale="log")
            panel.set(title=size)
    panels[0][0].legend()
    return figure


def _draw_hostile(record: Record) -> Figure:
    """Requests by the time of their answers, beside the dearest allowed."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes: Any = figure.subplots()
    seconds: dict[str, list[float]] = {"answered": [], "refused": []}
    for answer in record["results"]["answers"]:
        name = "answered" if answer["status"] == 200 else "refused"
        seconds[name].append(answer["cpu_seconds"])
    axes.hist(list(seconds.values()), 30, label=list(seconds), stacked=True, log=True)
    worst = record["summary"][0]["dearest_cpu_s"]
    axes.axvline(worst, color="black", label="dearest allowed")
    axes.set(xlabel="CPU seconds", ylabel="requests")
    axes.legend()
    return figure


DRAW: dict[str, Callable[[Record], Figure]] = {
    "solver": _draw_solver,
    "step": _draw_step,
    "start": _draw_start,
    "memory": _draw_memory,
    "serve": _draw_serve,
    "hostile": _draw_hostile,
    "gpu": _draw_step,
    "train": _draw_train,
    "tables": _draw_tables,
}
