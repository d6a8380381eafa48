"""Kinds of data: how models of them are prepared, evaluated, drawn and reported.

A new kind is one file with a subclass of `Task`, and a source whose attribute ``task``
is the name of that class in lower case. Tables and pages know no other place: what
`Task.measures` names has a row in each table of results and, as a tile, stands at the
top of the page; `Task.curves` are the panels of the learning curves; `Task.sections`
show the pictures that `Task.draw` leaves; `Task.figures` draws evaluations.

This file, and those of the kinds, import no TensorFlow where they are imported: reports
are drawn without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from tfcnf.diagnostics.against_tolerance import bits_differences
from tfcnf.diagnostics.base import Diagnostic
from tfcnf.diagnostics.figures import save_figure
from tfcnf.diagnostics.tolerances import ToleranceEvaluator
from tfcnf.files import save_arrays
from tfcnf.registry import Registered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tfcnf.data.series import SeriesSource
    from tfcnf.data.source import DataSource
    from tfcnf.evaluation.base import SplitEvaluator

    Source = DataSource | SeriesSource


class Measure(NamedTuple):
    """A measure of ``eval.json``, as tables and pages show it.

    Attributes:
        title: name in words.
        unit: unit, if any.
        format: format of its numbers.
        tile: whether it stands at the top of a run's page.
        largest: whether its largest value is the best, or the smallest.
        each: whether ``KEY/NAME``, the same measure of a further label NAME, has a row
            of its own; of a key that begins with "_" it is ``NAME_...``.
    """

    title: str
    unit: str = ""
    format: str = ".3f"
    tile: bool = False
    largest: bool = False
    each: bool = False


class Section(NamedTuple):
    """A section of a run's page: its text and its pictures.

    Attributes:
        title: heading.
        caption: what it shows, in a sentence or two.
        files: names of PNG and GIF files, without their ending; a section without any
            of them is left out.
    """

    title: str
    caption: str
    files: tuple[str, ...]


SCORES = {  # of flows
    "test_error": Measure("test error, classifier", "%", ".2f", tile=True, each=True),
    "test_rmse": Measure("test error of the label", "its units", ".4g", each=True),
    "generative_error": Measure(
        "test error, generative posterior", "%", ".2f", tile=True
    ),
    "bits_per_dim": Measure(
        "negative log-likelihood, conditional", "bits/dim", tile=True
    ),
    "marginal_bits_per_dim": Measure(
        "negative log-likelihood, marginal", "bits/dim", tile=True
    ),
}
COSTS = {  # of all models
    "nfe_forward": Measure(
        "forward evaluations a pass, all layers", format=".0f", tile=True
    ),
    "nfe_backward": Measure("backward evaluations a step, all layers", format=".0f"),
    "num_examples": Measure("examples evaluated", format="d"),
    "draws": Measure("draws of noise averaged", format="d"),
    "num_parameters": Measure("parameters", format=",d", tile=True),
}
EVALUATIONS = {
    "function evaluations a step": {
        "forward": "nfe_forward",
        "backward": "nfe_backward",
    }
}


class Task(Registered, kind="task"):
    """A kind of data.

    A subclass defines `evaluator` and `draw`, and overrides what else differs. What
    stands here is of flows.

    Attributes:
        models: names of the models that are made for it.
        measure: measure that validation chooses by; it is NaN where the evaluation
            after an epoch fails.
        measures: measures of ``eval.json`` that tables and pages show, in this order.
        curves: panels of the learning curves: of each title the names of lines, and
            what they are called in ``metrics.jsonl``.
        sections: sections of the page of a run, before those of diagnostics.
        has_page: whether a training leaves ``report.html`` too.
    """

    models: ClassVar[tuple[str, ...]] = ("infocnf", "ccnf", "cnf")
    measure: ClassVar[str] = "bits_per_dim"
    measures: ClassVar[Mapping[str, Measure]] = SCORES | COSTS
    curves: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "error (%)": {
            "train": "error",
            "validation": "validation/validation_error",
            "test": "test/test_error",
        },
        "bits/dim": {
            "train": "bits_per_dim",
            "validation": "validation/bits_per_dim",
            "test": "test/bits_per_dim",
            "test, marginal": "test/marginal_bits_per_dim",
        },
        **EVALUATIONS,
        "running costs a dimension": {
            "kinetic energy": "kinetic_energy",
            "Jacobian norm": "jacobian_norm",
        },
        "honesty (bits/dim)": {"|bits(tol) - bits(tighter)|": "honesty"},
    }
    sections: ClassVar[tuple[Section, ...]] = ()
    has_page: ClassVar[bool] = False

    @property
    def largest(self) -> bool:
        """True where the largest value of its measure is the best."""
        return self.measures[self.measure].largest

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
                "latent ODEs are for series, flows for images, points and tables. "
                f"Received: model_name={model_name!r}, data={source.name!r}"
            )

    def prepare(self, source: Any, training: Mapping[str, Any]) -> Any:
        """The data as a configuration's ``training`` has them, with all labels."""
        return source

    def hide_labels(self, source: Any, training: Mapping[str, Any], seed: int) -> Any:
        """The data that a training sees, some labels hidden; the same if none are."""
        from tfcnf.data.labels import hide_labels

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

    def figures(
        self, runs: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> dict[str, Callable[[], Figure]]:
        """Functions that draw evaluations of one run or more, by name of the PNG.

        Args:
            runs: by label, the evaluations of an ``eval.json``.
        """
        rows = next(iter(runs.values()))
        if len(rows) < 2 or "bits_per_dim" not in rows[0]:
            return {}
        return {"tolerances": partial(bits_differences, rows)}

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
    key, arrays = diagnostic.key, diagnostic.compute(model, source, tol=tol)
    save_arrays(folder / f"{key}.npz", arrays)
    save_figure(diagnostic.figures(arrays)[key](), folder / f"{key}.png")
