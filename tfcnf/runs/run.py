"""A run that was trained: evaluate it, draw from it, export it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.data.record import DataRecord, record_of
from tfcnf.data.source import Split
from tfcnf.models.failures import named_failures
from tfcnf.models.precision import copy_in
from tfcnf.ode.status import SolverError
from tfcnf.runs.build import build_model, read_source
from tfcnf.runs.data import check_data, read_record
from tfcnf.runs.folder import read_config
from tfcnf.runs.results import origin, write_results, write_tolerances
from tfcnf.serving.bounds import Bounds
from tfcnf.serving.export import DRAWS, export_run
from tfcnf.tasks import Task
from tfcnf.training.averaging import use_weights
from tfcnf.training.checkpoints import START, Checkpoints, Position
from tfcnf.training.validation import best_epoch

if TYPE_CHECKING:
    from tfcnf.tasks.base import Source


class Run:
    """A trained run in its folder; each part is read or made when first asked for.

    Args:
        workdir: folder of the run.
        data_dir: of tensorflow-datasets.
        moved_to: name or path of the data now; None where they have not moved.
        changed_data: the data may be others than those of the run.
        weights: ``"average"`` or ``"last"``; if None, the average where the run keeps
            one.
        best: take the checkpoint of the best validation measure, or, if False, the
            newest; if None, the best of a run with a validation split.
    """

    def __init__(
        self,
        workdir: str,
        *,
        data_dir: str | None = None,
        moved_to: str | None = None,
        changed_data: bool = False,
        weights: str | None = None,
        best: bool | None = None,
    ):
        self.workdir, self.folder = str(workdir), Path(workdir)
        self.data_dir, self.moved_to = data_dir, moved_to
        self.changed_data = changed_data
        self.weights, self.best = weights, best

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration.

        Raises:
            ValueError: for a folder without a run, or a damaged configuration.
        """
        return read_config(self.workdir)

    @cached_property
    def data(self) -> DataRecord:
        """The record of the data, which are read if the run has none."""
        kept = read_record(self.workdir)
        return kept or record_of(self.source)

    @property
    def source(self) -> Source:
        """The data, with all labels.

        Raises:
            ValueError: for data that are not those of the run.
        """
        return self._read[0]

    @property
    def suffix(self) -> str:
        """End of the names of files about other weights or data, else empty."""
        passed_over = self.chosen_epoch is None and best_epoch(self.folder) is not None
        return "_last" * passed_over + self._read[1]

    @cached_property
    def _read(self) -> tuple[Source, str]:
        name = self.moved_to or self.config["data"]
        source = read_source({**self.config, "data": name}, self.data_dir)
        found, kept = record_of(source), read_record(self.workdir)
        if not self.changed_data:
            hint = ", with --data where they have moved, or take these with "
            check_data(self.workdir, found, f"{hint}--changed_data")
        return source, "_changed_data" if kept and kept.changes(found) else ""

    @cached_property
    def model(self) -> Any:
        """The model with the weights of the best checkpoint, or the newest readable.

        Raises:
            ValueError: for a folder without a run or without a checkpoint, a best one
                of a run that chooses none, or an average that the run does not keep.
        """
        return self._restored[0]

    @cached_property
    def chosen_epoch(self) -> int | None:
        """The epoch that the validation split chose; None for the newest checkpoint.

        Raises:
            ValueError: where the best is asked for and there is none.
        """
        best = None if self.best is False else best_epoch(self.folder)
        if self.best and best is None:
            raise ValueError(
                "a run without a validation split (config.training.validation) has no "
                f"best checkpoint. Received: workdir={self.workdir!r}"
            )
        return best

    @cached_property
    def _restored(self) -> tuple[Any, Position]:
        model = build_model(self.config, self.data)
        checkpoints = Checkpoints(self.folder / "checkpoints", model)
        position = checkpoints.restore(self.chosen_epoch)
        if position == START:
            raise ValueError(
                f"the run has no checkpoint yet. Received: workdir={self.workdir!r}"
            )
        use_weights(model, self.weights)
        return model, position

    @named_failures()
    def evaluate(
        self, tols: Sequence[float], *, split: str = "test", dtypes: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Evaluates at each tolerance, writes the results and prints a table.

        The test split's go to ``eval.json`` (the first tolerance's measures, and all
        under ``"evaluations"``), another split's to ``eval_SPLIT.json``; each says of
        which epoch the weights are and whether validation chose it. Those of the newest
        checkpoint, where that is not the one to take, go to ``eval_last.json`` or
        ``eval_SPLIT_last.json``. What is measured on other data than the run's has
        ``_changed_data`` behind these names.

        Args:
            tols: solver tolerances.
            split: ``"test"``, ``"validation"`` or ``"train"``.
            dtypes: float types to evaluate copies of the model in; its own if empty.

        Raises:
            ValueError: for other data, or a model that cannot take them.
        """
        epoch, chosen = self._restored[1].epoch, self.chosen_epoch is not None
        models = [copy_in(self.model, dtype) for dtype in dtypes] or [self.model]
        size, draws = (
            self.config["evaluation"][key] for key in ("batch_size", "draws")
        )
        task = Task.of(self.source)
        evaluators = [task.evaluator(m, self.source, size, split) for m in models]
        return write_results(
            self.folder,
            evaluators,
            tols=tols,
            draws=draws,
            weights=origin(epoch, chosen),
            suffix=self.suffix,
        )

    @named_failures()
    def evaluate_tolerances(self) -> None:
        """Evaluates at the tolerances of the run's own policies.

        ``tolerances.json`` gets ``"evaluations"``, what `ToleranceEvaluator.run`
        yields, and ``"distribution"``, the tolerances of the batches of both splits; of
        other weights or data, a file whose name ends as those of `evaluate` do.

        Raises:
            ValueError: where the tolerances are constants.
        """
        suffix = self.suffix
        if not self.model.samples_tolerances:
            raise ValueError(
                "the run has neither random nor learned tolerances. "
                f"Received: workdir={self.workdir!r}"
            )
        write_tolerances(
            self.folder,
            self.model,
            source=self.source,
            batch_size=self.config["training"]["batch_size"],
            suffix=suffix,
        )

    @named_failures()
    def sample(
        self,
        label: int | str | None = None,
        num: int = 10,
        *,
        out: str | None = None,
        seed: int = 0,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Draws images, of one class if the model has labels; needs no data.

        Args:
            label: class of the first label factor, by number or, if text, by name; see
                `DataRecord.find_class`. None of a model without labels.
            num: images.
            out: path of a PNG to write as well.
            seed: the same seed gives the same images.
            temperature: see `InfoCNF.sample`.

        Returns:
            Images ``[num, H, W, C]`` in [0, 1].

        Raises:
            ValueError: for a run that is not on images, or a keyword out of range.
            SolverError: for a temperature at which images are not finite.
        """
        if num < 1:
            raise ValueError(f"num must be positive. Received: num={num}")
        if out and not Path(out).absolute().parent.is_dir():
            raise ValueError(
                f"out must be in an existing folder. Received: out={out!r}"
            )
        data = self.data
        if len(data.model_keywords().get("event_shape", ())) != 3:
            raise ValueError(
                "only images are drawn; launch/predict.py --questions=sample draws "
                f"rows of a table. Received: data={data.name!r}"
            )
        if data.model_keywords().get("context"):
            raise ValueError(
                "images of a model with a context are drawn by "
                f"Run.model.sample(y, context=c). Received: data={data.name!r}"
            )
        if (label is None) == bool(self.model.labels):
            raise ValueError(
                "label must be a class of a model that has labels, and is for no other "
                "model. "
                f"Received: label={label!r}, {len(self.model.labels)} labels"
            )
        labels: Any = num
        title = data.name
        if label is not None:
            chosen = data.find_class(str(label))
            labels = np.zeros([num, len(self.model.labels)], np.int32)
            labels[:, 0] = chosen
            title = f"class {data.class_names[0][chosen]}"
        images = self.model.sample(labels, seed, temperature).numpy()
        if not np.isfinite(images).all():
            raise SolverError(
                "the images are not finite; try a lower temperature. "
                f"Received: temperature={temperature}"
            )
        if out:
            from tfcnf.diagnostics.figures import draw_grid

            columns = min(num, 10)
            blank = np.ones([-num % columns, *self.model.event_shape])
            rows = np.concatenate([images, blank])
            rows = rows.reshape(-1, columns, *self.model.event_shape)
            draw_grid(rows, Path(out), row_labels=[""] * len(rows), title=title)
        return images

    @named_failures()
    def export(
        self,
        export_dir: str,
        *,
        tol: float = 1e-5,
        trace: str = "auto",
        draws: int = DRAWS,
        bounds: Bounds = Bounds(),  # noqa: B008
        steps: Sequence[str] | None = None,
        worst: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Exports the run as a SavedModel, see `export_run`.

        Data are read where the entropy of the training data is not kept yet; without
        them the export has no ``ood_score``.
        """

        def read() -> Split | None:
            try:
                return self.source.train
            except ValueError as failure:
                print(f"the export has no ood_score: {failure}", file=sys.stderr)
                return None

        return export_run(
            self.workdir,
            export_dir,
            config=self.config,
            model=self.model,
            data=self.data,
            read=read,
            tol=tol,
            trace=trace,
            draws=draws,
            bounds=bounds,
            steps=steps,
            worst=worst,
            overwrite=overwrite,
        )
