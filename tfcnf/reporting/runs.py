"""Figures and tables of finished runs, from their files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from tfcnf.diagnostics import Diagnostic
from tfcnf.diagnostics.figures import draw_curves, save_animation, save_figure
from tfcnf.files import replace_file
from tfcnf.records import blame, read_record
from tfcnf.registry import comes_along
from tfcnf.reporting.page import write_page
from tfcnf.reporting.read import read_arrays, read_results, read_steps, read_task
from tfcnf.reporting.spread import spread_table

Guard = Callable[[], AbstractContextManager[Any]]


def report(workdirs: Sequence[str], out: str | None = None) -> list[Path]:
    """Draws what there is to draw of one run, or of several together.

    Of a run that is not finished these are its steps so far.

    Args:
        workdirs: run folders. Those that differ in their seed alone are one group.
        out: folder of the figures; the first run's if None.

    Returns:
        What was written.

    Raises:
        ValueError: for a folder without results, or an ``out`` that cannot be made.
    """
    runs = {Path(workdir): _read(workdir) for workdir in workdirs}
    folder = Path(out) if out else next(iter(runs))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise ValueError(
            f"the folder cannot be made ({failure.strerror}). Received: out={out!r}"
        ) from failure
    written = []
    for name, draw in _items(runs):
        draw(folder / name)
        written.append(folder / name)
    if len(runs) == 1 and "eval" in next(iter(runs.values())):
        written.append(folder / "report.html")
        write_page(next(iter(runs)), folder, written[-1])
    return written


def _read(workdir: str) -> dict[str, Any]:
    """The JSON files of a run, and the arrays for its pictures."""
    folder = Path(workdir)
    run: dict[str, Any] = {}
    path, run["steps"] = folder / "config.json", read_steps(folder)
    if path.is_file():
        run["config"] = read_record(path, {"data": str} if run["steps"] else None)
    if (folder / "eval.json").is_file():
        run["eval"] = read_results(folder)
    if "config" not in run or not ("eval" in run or run["steps"]):
        raise ValueError(
            f"no run with results in this folder. Received: workdir={workdir!r}"
        )
    for name in Diagnostic.known:
        path = folder / f"{name}.npz"
        if path.is_file():
            run[name] = read_arrays(path)
    return run


def _items(runs: Mapping[Path, Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """(file name, function of the path that writes it) of all that can be drawn."""
    items: list[tuple[str, Any]] = []
    labels, task = labels_of(runs), read_task(next(iter(runs)))
    logs = {
        labels[path] * (len(runs) > 1): run["steps"]
        for path, run in runs.items()
        if run["steps"]
    }
    if logs:
        draw_steps = partial(draw_curves, curves=task.curves, x="step")
        items.append(("steps.png", partial(draw_steps, logs)))
    named = {labels[path]: run for path, run in runs.items() if "eval" in run}
    if not named:
        return items
    first = next(iter(named.values()))
    evaluations = {name: run["eval"]["evaluations"] for name, run in named.items()}
    folder = next(path for path, run in runs.items() if run is first)
    source = folder / "eval.json"
    for name, draw in task.figures(evaluations).items():
        guard = partial(blame, source)
        items.append((f"{name}.png", partial(_draw, guard, save_figure, draw)))
    for key in Diagnostic.known:
        if key in first:
            items += _pictures(key, folder / f"{key}.npz", first[key])
    if len(named) > 1:
        groups = group_by_configuration(list(named.values()))
        measures = [k for k, v in first["eval"].items() if isinstance(v, (int, float))]
        scores = spread_table(groups, measures)
        items.append(("scores.md", lambda p: _write(p, scores)))
    return items


def _pictures(key: str, source: Path, arrays: Any) -> Iterator[tuple[str, Any]]:
    """Pictures of a diagnostic's arrays; the file is named where drawing fails.

    One of a user's own fails as it does: its file need not be what is wrong.
    """
    diagnostic = Diagnostic.known[key]()
    ours = comes_along(type(diagnostic))
    guard: Guard = partial(blame, source) if ours else nullcontext
    with guard():
        figures = diagnostic.figures(arrays)
        animations = diagnostic.animations(arrays)
    for name, draw in figures.items():
        yield f"{name}.png", partial(_draw, guard, save_figure, draw)
    for name, draw in animations.items():
        yield f"{name}.gif", partial(_draw, guard, save_animation, draw)


def _draw(
    guard: Guard, save: Callable[[Any, Path], None], draw: Callable[[], Any], path: Path
) -> None:
    with guard():
        save(draw(), path)


def labels_of(runs: Collection[Path]) -> dict[Path, str]:
    """The names of folders, or their paths where names are the same."""
    count = Counter(path.name for path in runs)
    return {p: p.name if count[p.name] == 1 else str(p) for p in runs}


def group_by_configuration(
    runs: Sequence[Mapping[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
    """The measures of runs, grouped by the values in which their configurations differ.

    Seeds are left out; a single group is called "all".
    """
    flat = [_flatten(run["config"]) for run in runs]
    keys = sorted({key for config in flat for key in config} - {"seed"})
    differing = [k for k in keys if len({str(config.get(k)) for config in flat}) > 1]
    groups: dict[str, list[dict[str, Any]]] = {}
    for config, run in zip(flat, runs, strict=True):
        label = ", ".join(
            f"{key.rpartition('.')[2]}={config.get(key)}" for key in differing
        )
        groups.setdefault(label or "all", []).append(run["eval"])
    return groups


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _write(path: Path, text: str) -> None:
    with replace_file(path) as temporary:
        temporary.write_text(text + "\n")
