"""Figures of what a trained flow is used for, from the arrays it left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_probability as tfp
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve

from tfcnf.evaluation.calibration import BINS, calibration_error
from tfcnf.evaluation.outliers import outlier_measures
from tfcnf.losses import bits_per_dim
from tfcnf.models.inference import POSTERIORS
from tfcnf.reporting.figures import draw_grid, save_figure

Arrays = Mapping[str, np.ndarray]
SHOWN_CONTENTS = 10


def draw_reliability(arrays: Arrays, path: Path) -> None:
    """Accuracy against confidence of both posteriors, and how many have which.

    Args:
        arrays: see `tfcnf.evaluation.calibration.calibration_arrays`.
        path: the PNG.
    """
    figure = Figure(figsize=(8.4, 5), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
    for (upper, lower), name in zip(panels.T, POSTERIORS, strict=True):
        _draw_reliability(upper, lower, arrays[name], arrays["labels"])
        upper.set(title=f"{name} posterior")
    panels[0, 0].set(ylabel="accuracy")
    panels[0, 0].legend(loc="upper left")
    panels[1, 0].set(ylabel="images")
    save_figure(figure, path)


def _draw_reliability(
    upper: Any, lower: Any, log_probs: np.ndarray, labels: np.ndarray
) -> None:
    right, confidence = log_probs.argmax(1) == labels, np.exp(log_probs.max(1))
    confidence = np.minimum(confidence, 1.0)
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    edges = np.linspace(0, 1, BINS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=BINS)
    low, high = _interval(accuracy, counts[counts > 0])
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    upper.vlines(mean, low, high, color="C0", alpha=0.4, label="95 % interval")
    upper.plot(mean, accuracy, "o", color="C0", label="model")
    error = calibration_error(log_probs, labels)
    upper.text(0.95, 0.06, f"ECE {error:.3f}", ha="right", transform=upper.transAxes)
    upper.set(xlim=(0, 1.02), ylim=(0, 1.05))
    upper.grid(alpha=0.3)
    bars = lower.bar(edges[:-1], counts, width=1 / BINS, align="edge", edgecolor="w")
    lower.bar_label(bars, fontsize="x-small")
    lower.set(yscale="symlog", ylim=(0, 6 * counts.max()), yticks=[])
    lower.set(xlabel="probability of the predicted class")


def _interval(part: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the true part lies with 95 % probability, by Jeffreys' prior."""
    beta = tfp.distributions.Beta(part * count + 0.5, (1 - part) * count + 0.5)
    return tuple(beta.quantile(level).numpy() for level in (0.025, 0.975))


def draw_outliers(arrays: Arrays, path: Path) -> None:
    """Bits/dim of test images and outliers, and how well two scores tell them apart.

    Args:
        arrays: see `tfcnf.evaluation.outliers.outlier_arrays`.
        path: the PNG.
    """
    dims, levels = int(arrays["dims"]), int(arrays["levels"])
    measures = dict(outlier_measures(arrays))
    names = [n for n in arrays if f"{n}/auroc_likelihood" in measures]
    shown = ["train", "test", *names]
    bits = [np.asarray(bits_per_dim(arrays[name], dims, levels)) for name in shown]
    figure = Figure(figsize=(9, 0.42 * len(shown) + 1.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    place = -np.arange(len(shown))
    parts = left.violinplot(bits, place, orientation="horizontal", widths=0.9)
    for i, body in enumerate(parts["bodies"]):
        body.set(facecolor="C0" if i < 2 else "C1", alpha=0.6)
    left.axvline(bits[0].mean(), color="grey", linestyle=":")
    left.set(yticks=place, yticklabels=shown, xlabel="bits/dim (dotted: train mean)")
    for shift, score in [(0.2, "likelihood"), (-0.2, "typicality")]:
        areas = [measures[f"{name}/auroc_{score}"] for name in names]
        bars = right.barh(place[2:] + shift, areas, height=0.38, label=score)
        right.bar_label(bars, fmt="%.2f", fontsize="x-small", padding=2)
    right.axvline(0.5, color="grey", linestyle=":")
    right.set(xlim=(0, 1.12), xlabel="AUROC against test (dotted: guessing)")
    right.legend(loc="upper left", fontsize="small")
    save_figure(figure, path)


def gallery(
    arrays: Arrays, names: Sequence[str] = ()
) -> list[tuple[str, Callable[[Path], None]]]:
    """(file name, function of the path that draws it) for `gallery_arrays`.

    Args:
        arrays: the arrays.
        names: of the classes; their numbers if empty.
    """
    if "class_means" in arrays and not names:
        names = [str(k) for k in range(_classes(arrays))]
    drawn: list[tuple[str, Callable[[Path], None]]] = [
        ("temperatures.png", lambda path: _draw_temperatures(arrays, names, path)),
        ("interpolations.png", lambda path: _draw_interpolations(arrays, path)),
    ]
    if "swaps" in arrays:
        drawn.append(("swaps.png", lambda path: _draw_swaps(arrays, names, path)))
    if "class_means" in arrays:
        drawn.append(("class_means.png", lambda path: _draw_means(arrays, names, path)))
    return drawn


def _draw_temperatures(arrays: Arrays, names: Sequence[str], path: Path) -> None:
    labels = [f"{t:g}" for t in arrays["temperatures"]]
    images = arrays["tempered"][:, : _classes(arrays)]
    heads = names if len(names) == images.shape[1] else ()
    draw_grid(images, path, labels, "one draw of each class by temperature", heads)


def _draw_interpolations(arrays: Arrays, path: Path) -> None:
    images, ends = arrays["interpolations"], arrays["ends"]
    rows = np.concatenate([ends[:, :1], images, ends[:, 1:]], 1)
    names = [""] * images.shape[1]
    draw_grid(
        rows,
        path,
        [""] * len(rows),
        "straight lines between the codes of two test images",
        ["image", *names, "image"],
    )


def _draw_swaps(arrays: Arrays, names: Sequence[str], path: Path) -> None:
    swapped = arrays["swaps"][:SHOWN_CONTENTS]
    contents = arrays["contents"][:SHOWN_CONTENTS, None]
    rows = np.concatenate([contents, swapped], 1)
    draw_grid(
        rows,
        path,
        [""] * len(rows),
        "content of the left image, class of the column",
        ["content", *names],
    )


def _draw_means(arrays: Arrays, names: Sequence[str], path: Path) -> None:
    labels = ["mean code, decoded", "mean of the images"]
    draw_grid(arrays["class_means"], path, labels, "each class' mean", names)


def _classes(arrays: Arrays) -> int:
    """Images of a row: one of each class, or ten without classes."""
    return arrays["class_means"].shape[1] if "class_means" in arrays else 10
