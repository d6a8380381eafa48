"""Tables of results in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# key of eval.json -> (title, unit, format)
MEASURES = {
    "test_error": ("test error, classifier", "%", ".2f"),
    "generative_error": ("test error, generative posterior", "%", ".2f"),
    "bits_per_dim": ("negative log-likelihood, conditional", "bits/dim", ".3f"),
    "marginal_bits_per_dim": ("negative log-likelihood, marginal", "bits/dim", ".3f"),
    "kl_from_truth": ("divergence from the truth", "nats", ".4f"),
    "area_error": ("distance of the area from 1, trapezoid", "", ".1e"),
    "riemann_error": ("distance of the area from 1, Riemann sum", "", ".1e"),
    "quadrature_error": ("error of the area's grid", "", ".1e"),
    "own_area_error": ("distance of the area from 1, own tolerances", "", ".1e"),
    "rmse_window": ("distance to the curve, window", "plane", ".3f"),
    "rmse_forward": ("distance to the curve, forward", "plane", ".3f"),
    "rmse_backward": ("distance to the curve, backward", "plane", ".3f"),
    "elbo": ("ELBO", "nats", ".1f"),
    "kl": ("KL divergence", "nats", ".2f"),
    "a_rmse": ("error of a", "", ".3f"),
    "b_rmse": ("error of b", "", ".4f"),
    "clockwise_error": ("error of the direction", "%", ".2f"),
    "nfe_forward": ("forward evaluations a pass, all layers", "", ".0f"),
    "nfe_backward": ("backward evaluations a step, all layers", "", ".0f"),
    "num_examples": ("examples evaluated", "", "d"),
    "draws": ("draws of noise averaged", "", "d"),
    "num_parameters": ("parameters", "", ",d"),
}


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """One column for each solver tolerance (and dtype), one row for each measure."""
    head, *rows = results_rows(results)
    return markdown([head, ["---"] * len(head), *rows])


def results_rows(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The cells of `results_table`, its head first."""
    several = len({r.get("dtype") for r in results}) > 1
    columns = [
        f"at {r['tolerance']:.0e}" + f", {r.get('dtype')}" * several for r in results
    ]
    rows = [["measure", "unit", *columns]]
    for key, (title, unit, form) in MEASURES.items():
        if key in results[0]:
            rows.append([title, unit, *(format(r[key], form) for r in results)])
    return rows


def markdown(rows: list[list[str]]) -> str:
    """The first row is the head, the second is replaced by the rule below it."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
