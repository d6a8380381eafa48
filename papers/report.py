"""A report of a comparison, from the run folders alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from papers.arms import Arm, load_arms, regimes
from papers.comparison import (
    draw_arm_curves,
    draw_pareto,
    draw_tolerances,
    figure_choices,
    usual_arms,
)
from papers.labels import draw_labels, labels_table
from papers.series import compare_series
from papers.tables import arms_table, learned_table
from tfcnf.files import file_name, replace_file


def write(runs: str, out: str) -> None:
    """Writes ``report.md`` and the figures it shows, and prints the tables' place.

    Args:
        runs: folder with run folders, at any depth.
        out: folder to write to; it is made.

    Raises:
        ValueError: see `papers.arms.load_arms`.
    """
    arms, unfinished = load_arms(runs)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    sections = ["# Report"]
    if unfinished:
        sections.append(f"Left out, not finished: {', '.join(unfinished)}.")
    for regime, members in regimes(arms).items():
        is_series = members[0].model == "latent_ode"
        compare = compare_series if is_series else _comparison
        sections += compare(regime, members, folder)
    sections += _batch_sizes(arms, folder)
    with replace_file(folder / "report.md") as temporary:
        temporary.write_text("\n\n".join(sections) + "\n")
    print(folder / "report.md")


def _comparison(regime: str, arms: Sequence[Arm], folder: Path) -> Iterator[str]:
    """The sections about the arms of one regime."""
    name = file_name(regime)
    measured = [run.results for arm in arms for run in arm.runs]
    tols = sorted({r["tolerance"] for r in measured if "tolerance" in r})
    epochs = sorted({arm.config["training"]["epochs"] for arm in arms})
    validated = any(r.get("chosen_by") == "validation" for r in measured)
    yield f"## {regime}"
    yield (
        "Mean ± standard deviation over the seeds; "
        f"{', '.join(map(str, epochs))} epochs, evaluated at tolerance "
        f"{', '.join(f'{tol:.0e}' for tol in tols)}."
        + " A validation split chose the weights."
        * validated
    )
    yield arms_table(arms)
    if any(arm.num_labels for arm in arms):
        path = folder / f"labels_{name}.png"
        draw_labels(arms, path, regime)
        yield labels_table(arms)
        yield f"![Test error against the number of labels]({path.name})"
    arms = [arm for arm in arms if not arm.num_labels]
    if not arms:
        return
    for key, (title, chosen) in figure_choices(arms).items():
        members = [arm for arm in arms if chosen(arm)]
        if len(members) > 1:
            path = folder / f"{key}_{name}.png"
            draw_arm_curves(members, path, title)
            yield f"![{title}]({path.name})"
    for model in ("infocnf", "cnf"):
        members = [arm for arm in usual_arms(arms) if arm.model == model]
        if len(members) > 1:
            path = folder / f"pareto_{model}_{name}.png"
            draw_pareto(members, path, f"{model} on {regime}")
            yield f"![Evaluations against bits/dim]({path.name})"
    for arm in arms:
        if all(run.tolerances for run in arm.runs):
            kind = file_name(arm.label.lower())
            path = folder / f"tolerances_{kind}_{name}.png"
            draw_tolerances(arm, path)
            yield f"### {arm.label}: at its own tolerances"
            yield learned_table(arm)
            yield f"![Tolerances of each CNF]({path.name})"


def _batch_sizes(arms: Sequence[Arm], folder: Path) -> Iterator[str]:
    """A section on each data set that was trained on with several batch sizes."""
    groups: dict[str, list[Arm]] = {}
    for members in regimes(arms).values():
        of_images = [a for a in members if a.model != "latent_ode" and not a.num_labels]
        if not of_images:
            continue
        _, chosen = figure_choices(of_images)["figure_3"]
        groups.setdefault(of_images[0].config["data"], []).extend(
            replace(arm, note=f"batch {arm.batch}") for arm in of_images if chosen(arm)
        )
    for data, members in groups.items():
        if len({arm.batch for arm in members}) < 2:
            continue
        yield f"## {data}, small and large batches"
        for unit in ("evaluations", "minutes"):
            path = folder / f"batches_{unit}_{file_name(data)}.png"
            title = "as InfoCNF Fig. 13, MC-FFJORD Fig. 5 and 6"
            draw_arm_curves(members, path, title, unit)
            yield f"![{title}: against {unit}]({path.name})"
