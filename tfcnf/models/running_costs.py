"""Running costs of a flow's solves as a part of a model's loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfcnf.types import FlowOutput


def priced(
    terms: dict[str, Any], out: FlowOutput, weights: Mapping[str, float], dims: int
) -> dict[str, Any]:
    """Terms of a loss with running costs, each over the dimensions, ``[B]``.

    Args:
        terms: ``"loss"`` and measures, ``[B]``.
        out: of the flow.
        weights: of the costs, by name.
        dims: dimensions D of an example.

    Raises:
        ValueError: for a cost that the flow does not take along.
    """
    if not weights:
        return terms
    absent = set(weights) - set(out.costs)
    if absent:
        raise ValueError(
            "a flow of your own needs CNF layers that take the costs of the model "
            f"along, CNFLayer(costs={sorted(weights)}). "
            f"Received: a flow without {', '.join(sorted(absent))}"
        )
    each = {name: out.costs[name] / dims for name in weights}
    paid = tf.add_n([weight * each[name] for name, weight in weights.items()])
    return terms | {"loss": terms["loss"] + paid} | each
