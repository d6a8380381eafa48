"""Evaluation of a flow on rows of a table."""

from __future__ import annotations

import math

from tfcnf.evaluation.image import Evaluator
from tfcnf.types import Control, FlowOutput, Tensor, Weighted


class TableEvaluator(Evaluator):
    """The measures of `Evaluator`, with likelihoods in nats and the table's units.

    ``nll`` is -log p(x | y, context), a mean over the rows: of integers -log P or a
    bound on it from above, of real numbers that of a density, which changes with their
    units. ``marginal_nll`` is that of p(x | context), where labels have a distribution.
    """

    def measures(
        self, x: Tensor, y: Tensor, control: Control
    ) -> tuple[dict[str, Tensor | Weighted], FlowOutput]:
        """Measures of each row ``[B]`` by name, and the flow's output."""
        measures, out = super().measures(x, y, control)
        if not self.model.is_supervised:
            measures.pop("marginal_bits_per_dim")
        nats = math.log(2.0) * self.model.num_dims
        names = {"bits_per_dim": "nll", "marginal_bits_per_dim": "marginal_nll"}
        return {
            names.get(name, name): value * nats if name in names else value
            for name, value in measures.items()
        }, out
