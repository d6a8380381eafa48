"""Rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcnf.diagnostics.pairs import Pairs
from tfcnf.diagnostics.predictions import Predictions
from tfcnf.tasks.base import COSTS, EVALUATIONS, SCORES, Measure, Task, leave

if TYPE_CHECKING:
    from tfcnf.data.table_source import TableSource
    from tfcnf.evaluation.table import TableEvaluator


class Tables(Task):
    """Rows of a table, of which a run leaves samples beside the data."""

    measure = "nll"
    measures = {
        "nll": Measure("negative log-likelihood, conditional", "nats", tile=True),
        "marginal_nll": Measure("negative log-likelihood, marginal", "nats", tile=True),
        "test_error": SCORES["test_error"],
        "generative_error": SCORES["generative_error"],
        "test_rmse": SCORES["test_rmse"]._replace(tile=True),
        **COSTS,
    }
    curves = {
        "error (%)": Task.curves["error (%)"],
        "negative log-likelihood (nats)": {
            "validation": "validation/nll",
            "test": "test/nll",
        },
        **EVALUATIONS,
    }
    has_page = True

    def check_model(self, model_name: str, source: TableSource) -> None:
        """Checks that a model is made for the table.

        Raises:
            ValueError: for a latent ODE, and for labels that are not there.
        """
        super().check_model(model_name, source)
        if model_name != "cnf" and not source.labels:
            raise ValueError(
                "a table without labels is for cnf; config.table.labels names columns "
                f"of labels. Received: model_name={model_name!r}, data={source.name!r}"
            )

    def evaluator(
        self, model: Any, source: TableSource, batch_size: int, split: str = "test"
    ) -> TableEvaluator:
        """See `Task.evaluator`."""
        from tfcnf.evaluation.table import TableEvaluator

        return TableEvaluator(model, source, batch_size, split)

    def draw(self, model: Any, source: TableSource, folder: Path, tol: float) -> None:
        """Leaves ``pairs.png``, and ``predictions.png`` of a model with labels."""
        leave(Pairs(), model, source, folder, tol)
        if model.is_supervised:
            leave(Predictions(), model, source, folder, tol)
