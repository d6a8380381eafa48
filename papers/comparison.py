"""Figures that compare arms: curves, the Pareto picture, learned tolerances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from papers.arms import Arm
from papers.tables import evaluations
from tfcnf.diagnostics.figures import save_figure
from tfcnf.diagnostics.tolerances import LearnedTolerances

PANELS = {
    "validation error (%)": ("validation/validation_error",),
    "validation bits/dim": ("validation/bits_per_dim",),
    "validation ELBO (nats)": ("validation/elbo",),
    "test error (%)": ("test/test_error",),
    "test bits/dim": ("test/bits_per_dim",),
    "test bits/dim, marginal": ("test/marginal_bits_per_dim",),
    "test ELBO (nats)": ("test/elbo",),
    "distance to the curve, window": ("test/rmse_window",),
    "distance to the curve, forward": ("test/rmse_forward",),
    "distance to the curve, backward": ("test/rmse_backward",),
    "evaluations a step": ("nfe_forward", "nfe_backward"),
}
MARKERS = {"fixed": "o", "learned": "*", "scheduled": "s", "random": "D"}
UNITS = {  # of what was spent on training -> how an axis says it
    "epoch": "epoch",
    "minutes": "training time (min)",
    "evaluations": "function evaluations, forward and backward",
}


def draw_arm_curves(
    arms: Sequence[Arm], path: Path, title: str = "", against: str = "epoch"
) -> None:
    """Test measures and evaluations: mean and deviation over seeds.

    Args:
        arms: a curve each.
        path: the PNG.
        title: above all panels.
        against: the horizontal axis, see `Arm.elapsed`.
    """
    panels = {
        name: parts
        for name, parts in PANELS.items()
        if any(len(arm.curve(parts[0])[0]) for arm in arms)
    }
    figure = Figure(figsize=(4.6 * len(panels), 3.8), layout="constrained")
    axes = list(figure.subplots(1, len(panels), squeeze=False)[0])
    for panel, (name, parts) in zip(axes, panels.items(), strict=True):
        for arm in arms:
            epochs, _ = arm.curve(parts[0])
            if not len(epochs):
                continue
            values = np.sum([arm.curve(part)[1] for part in parts], axis=0)
            mean, deviation = values.mean(0), values.std(0)
            spent = arm.elapsed(against, epochs)
            (line,) = panel.plot(spent, mean, label=arm.label, marker=".")
            panel.fill_between(
                spent,
                mean - deviation,
                mean + deviation,
                color=line.get_color(),
                alpha=0.2,
                linewidth=0,
            )
        panel.set(xlabel=UNITS[against], title=name)
        panel.grid(alpha=0.3)
    axes[-1].legend(fontsize=8)
    figure.suptitle(title)
    save_figure(figure, path)


def draw_pareto(arms: Sequence[Arm], path: Path, title: str = "") -> None:
    """Bits/dim against evaluations a training step.

    Arms of the same penalties have one colour, and a line joins their constants.
    """
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    panel = figure.subplots()
    groups = list(dict.fromkeys((arm.penalties, arm.policy) for arm in arms))
    colors = list(dict.fromkeys(penalties for penalties, _ in groups))
    for penalties, policy in groups:
        found = [a for a in arms if (a.penalties, a.policy) == (penalties, policy)]
        found.sort(key=lambda arm: evaluations(arm).mean())
        nfe = np.stack([evaluations(arm) for arm in found])
        bits = np.stack(
            [arm.each(lambda r: r.results["bits_per_dim"]) for arm in found]
        )
        panel.errorbar(
            nfe.mean(1),
            bits.mean(1),
            bits.std(1),
            nfe.std(1),
            fmt=MARKERS.get(policy, "^"),
            color=f"C{colors.index(penalties)}",
            linestyle="-" if policy == "fixed" else "none",
            linewidth=1,
            markersize=12 if policy == "learned" else 6,
            capsize=2,
            label=f"{policy}, {penalties}" if penalties else policy,
        )
    panel.set(xlabel="evaluations a training step", ylabel="test bits/dim", title=title)
    panel.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    save_figure(figure, path)


def draw_tolerances(arm: Arm, path: Path) -> None:
    """Sampled tolerances of each layer on both splits (InfoCNF Fig. 2b)."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    panel = figure.subplots()
    arrays = {
        f"{split}/sampled": np.concatenate(
            [run.tolerances["distribution"][split]["sampled"] for run in arm.runs]
        )
        for split in ("train", "test")
    }
    LearnedTolerances().plot(arrays, panel).set(title=arm.label)
    save_figure(figure, path)


Choice = Callable[[Arm], bool]


def usual_arms(arms: Sequence[Arm]) -> list[Arm]:
    """Arms of the largest learning rate and the smallest network of a regime."""
    rate, flows = max(arm.rate for arm in arms), min(arm.flows for arm in arms)
    return [arm for arm in arms if arm.rate == rate and arm.flows == flows]


def figure_choices(arms: Sequence[Arm]) -> dict[str, tuple[str, Choice]]:
    """Arms of a regime that the papers' figures compare: name -> (title, choice)."""
    usual = usual_arms(arms)
    rate, flows = usual[0].rate, usual[0].flows

    def baseline(arm: Arm) -> bool:
        """The smallest constant tolerance; where there is none, those set by hand."""
        same = [a for a in usual if a.model == arm.model and a.policy == "fixed"]
        if not same:
            return arm in usual and arm.policy == "scheduled"
        return arm is min(same, key=lambda a: a.tol)

    def learned(arm: Arm) -> bool:
        return arm in usual and arm.policy == "learned"

    def supervised(arm: Arm) -> bool:
        return arm.model != "cnf"

    choices = {
        "figure_3": (
            "as InfoCNF Fig. 3 and 11: fixed and learned tolerances",
            lambda a: supervised(a) and (baseline(a) or learned(a)),
        ),
        "figure_4": (
            "as InfoCNF Fig. 4: the unconditional CNF",
            lambda a: a.model == "cnf" and (baseline(a) or learned(a)),
        ),
        "figure_10": (
            "as InfoCNF Fig. 10: tolerances learned, scheduled by hand, random",
            lambda a: (
                supervised(a) and (baseline(a) or (a in usual and a.policy != "fixed"))
            ),
        ),
    }
    if len({arm.dropout for arm in usual if supervised(arm)}) > 1:
        choices["dropout"] = (
            "as MC-FFJORD Fig. 2 and 3: with and without dropout",
            lambda a: a in usual and supervised(a) and a.policy == "fixed",
        )
    if any(arm.rate < rate for arm in arms):
        choices["figure_5"] = (
            "as InfoCNF Fig. 5 and 12: a larger learning rate and tuned tolerances",
            lambda a: a.rate < rate or (a in usual and a.policy == "scheduled"),
        )
    if any(arm.flows > flows for arm in arms):
        choices["figure_14"] = (
            "as InfoCNF Fig. 14: a larger network with learned tolerances",
            lambda a: (
                a.flows > flows
                or (a.model == "infocnf" and learned(a))
                or (a.model == "ccnf" and baseline(a))
            ),
        )
    return choices
