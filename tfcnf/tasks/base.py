"""Kinds of data: how models of them are prepared, evaluated and drawn.

A new kind is one file with a subclass of `Task`, and a source whose attribute ``task``
is the name of that class in lower case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfcnf.data.labels import hide_labels
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource
from tfcnf.diagnostics.base import Diagnostic
from tfcnf.diagnostics.tolerances import ToleranceEvaluator
from tfcnf.evaluation.base import SplitEvaluator
from tfcnf.files import save_arrays
from tfcnf.registry import Registered

Source = DataSource | SeriesSource


class Task(Registered, kind="task"):
    """A kind of data.

    A subclass defines `evaluator` and `draw`, and overrides what else differs. What
    stands here is of flows.

    Attributes:
        models: names of the models that are made for it.
        measure: measure that validation chooses by; it is NaN where the evaluation
            after an epoch fails.
        largest: whether its largest value is the best, or the smallest.
    """

    models: ClassVar[tuple[str, ...]] = ("infocnf", "ccnf", "cnf")
    measure: ClassVar[str] = "bits_per_dim"
    largest: ClassVar[bool] = False

    @staticmethod
    def of(source: Any) -> Task:
        """The task of a data source."""
        return Task.find(source.task)()

    def check_model(self, model_name: str, source: Any) -> None:
        """Checks that a model is made for this kind of data.

        Raises:
            ValueError: for any other.
        """
        if model_name not in self.models:
            raise ValueError(
                "latent ODEs are for series, flows for images and points. "
                f"Received: model_name={model_name!r}, data={source.name!r}"
            )

    def prepare(self, source: Any, training: Mapping[str, Any]) -> Any:
        """The data as a configuration's ``training`` has them, with all labels."""
        return source

    def hide_labels(self, source: Any, training: Mapping[str, Any], seed: int) -> Any:
        """The data that a training sees, some labels hidden; the same if none are."""
        return hide_labels(source, training["labels"], training["labelled_part"], seed)

    def evaluator(
        self, model: Any, source: Any, batch_size: int, split: str = "test"
    ) -> SplitEvaluator:
        """The evaluator of a model on a split.

        Args:
            model: the model.
            source: data to evaluate on.
            batch_size: examples solved at a time.
            split: ``"test"``, ``"validation"`` or ``"train"``.
        """
        raise NotImplementedError

    def tolerances(self, model: Any, source: Any) -> ToleranceEvaluator | None:
        """The evaluator at the tolerances of the model's own policies, or None."""
        return ToleranceEvaluator(model, source)

    def epoch_images(
        self, model: Any, source: Any
    ) -> Callable[[], dict[str, np.ndarray]] | None:
        """A function that draws the images of an epoch for TensorBoard, or None."""
        return None

    def draw(self, model: Any, source: Any, folder: Path, tol: float) -> None:
        """Leaves arrays and pictures of a finished run in its folder.

        Args:
            model: the trained model.
            source: data, with all labels.
            folder: of the run.
            tol: solver tolerance.
        """
        raise NotImplementedError


def leave(
    diagnostic: Diagnostic, model: Any, source: Any, folder: Path, tol: float
) -> None:
    """Leaves the arrays and the main picture of a diagnostic in a run's folder."""
    from tfcnf.reporting.figures import save_figure

    key, arrays = diagnostic.key, diagnostic.compute(model, source, tol=tol)
    save_arrays(folder / f"{key}.npz", arrays)
    save_figure(diagnostic.figures(arrays)[key](), folder / f"{key}.png")
