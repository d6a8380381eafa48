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
    "nfe_forward": ("forward evaluations a pass, all layers", "", ".0f"),
    "nfe_backward": ("backward evaluations a step, all layers", "", ".0f"),
    "num_examples": ("examples evaluated", "", "d"),
    "draws": ("draws of noise averaged", "", "d"),
    "num_parameters": ("parameters", "", ",d"),
}


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """One column for each solver tolerance, one row for each measure."""
    head = ["measure", "unit", *(f"at {r['tolerance']:.0e}" for r in results)]
    rows = [head, ["---"] * len(head)]
    for key, (title, unit, form) in MEASURES.items():
        if key in results[0]:
            rows.append([title, unit, *(format(r[key], form) for r in results)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    rows[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
