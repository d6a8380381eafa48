"""The sections of a report that compare latent ODEs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from papers.arms import Arm
from papers.authors import draw_beside, read_log, table_beside
from papers.comparison import draw_arm_curves
from papers.trajectories import draw_trajectories_of_arms
from tfcnf.diagnostics.figures import save_figure
from tfcnf.files import file_name
from tfcnf.reporting.spread import spread_table

PARTS = ("window", "forward", "backward")
SCORES = (
    *(f"rmse_{part}" for part in PARTS),
    *(f"median_rmse_{part}" for part in PARTS),
    *("a_rmse", "b_rmse", "clockwise_error", "elbo", "log_likelihood", "kl"),
)
HOME = ""  # the domain of training


def compare_series(regime: str, arms: Sequence[Arm], folder: Path) -> Iterator[str]:
    """The sections about the latent ODEs of one regime, and their figures."""
    name = file_name(regime)
    steps = sorted({run.metrics[-1]["step"] for arm in arms for run in arm.runs})
    minutes = [sum(line["seconds"] for line in r.metrics) / 60 for r in _runs(arms)]
    yield f"## {regime}"
    yield (
        f"Mean ± standard deviation over the seeds; {', '.join(map(str, steps))} "
        f"steps in {min(minutes):.1f} to {max(minutes):.1f} minutes a run."
    )
    groups = {arm.label: [run.results for run in arm.runs] for arm in arms}
    for domain in _domains(arms):
        yield f"### {domain or 'Domain of training'}"
        prefix = f"{domain}/" if domain else ""
        yield spread_table(groups, [f"{prefix}{score}" for score in SCORES])

    path = folder / f"curves_{name}.png"
    draw_arm_curves(arms, path, regime)
    yield f"![Measures by epoch]({path.name})"
    path = folder / f"domains_{name}.png"
    draw_domains(arms, path)
    yield f"![Distance to the noise-free curve by domain]({path.name})"
    path = folder / f"trajectories_{name}.png"
    sources = {a.label: a.runs[0].folder / "trajectories.npz" for a in arms}
    draw_trajectories_of_arms(sources, path)
    yield f"![Trajectories of the first seed]({path.name})"
    log = read_log(arms[0].config["data"])
    if log:
        lines = {arm.label: arm.runs[0].metrics for arm in arms}
        path = folder / f"elbo_{name}.png"
        draw_beside(lines, log, path)
        yield table_beside(lines, log)
        yield f"![Running ELBO beside the authors']({path.name})"


def draw_domains(arms: Sequence[Arm], path: Path) -> None:
    """Each seed's distance to the curve, by domain; a panel for each part."""
    domains = _domains(arms)
    figure = Figure(figsize=(4 * len(PARTS), 3.6), layout="constrained")
    panels: Any = figure.subplots(1, len(PARTS), squeeze=False)[0]
    for panel, part in zip(panels, PARTS, strict=True):
        for i, arm in enumerate(arms):
            shift = 0.2 * (i - (len(arms) - 1) / 2)
            names = [f"{d}/rmse_{part}" if d else f"rmse_{part}" for d in domains]
            values = np.array(
                [[r.results.get(n, np.nan) for n in names] for r in arm.runs]
            )
            places = np.tile(np.arange(len(domains)) + shift, len(values))
            panel.plot(places, values.ravel(), "o", ms=4, color=f"C{i}", alpha=0.6)
            panel.plot(
                places[: len(domains)],
                values.mean(0),
                "_",
                color=f"C{i}",
                markersize=16,
                label=arm.label,
            )
        panel.set_xticks(range(len(domains)), [d or "training" for d in domains])
        panel.set(title=part, ylim=(0, None))
        panel.grid(alpha=0.3, axis="y")
    panels[0].set_ylabel("distance to the curve (rms)")
    panels[-1].legend(fontsize=8)
    save_figure(figure, path)


def _runs(arms: Sequence[Arm]) -> list[Any]:
    return [run for arm in arms for run in arm.runs]


def _domains(arms: Sequence[Arm]) -> list[str]:
    """The domain of training first, then the others in the order of the results."""
    names = arms[0].runs[0].results
    return [HOME, *dict.fromkeys(n.rpartition("/")[0] for n in names if "/" in n)]
