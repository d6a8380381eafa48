"""What is done with a run that was trained: evaluate it, draw from it, export it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.runs.build import build_model, read_source
from tfcnf.data.record import DataRecord, record_of
from tfcnf.data.source import Split
from tfcnf.models.failures import named_failures
from tfcnf.models.precision import copy_in
from tfcnf.reporting.figures import draw_grid
from tfcnf.runs.results import write_results, write_tolerances
from tfcnf.runs.data import check_data, read_record
from tfcnf.runs.folder import read_config
from tfcnf.serving.export import DRAWS, export_run
from tfcnf.studies import Source, make_evaluator
from tfcnf.training.averaging import use_weights
from tfcnf.training.callbacks import best_epoch, read_metrics
from tfcnf.training.checkpoints import START, Checkpoints


@named_failures()
def evaluate(
    workdir: str,
    tols: Sequence[float],
    split: str = "test",
    data_dir: str | None = None,
    dtypes: Sequence[str] = (),
    weights: str | None = None,
    best: bool = False,
    data: str | None = None,
    changed_data: bool = False,
) -> list[dict[str, Any]]:
    """Evaluates a run at each tolerance, writes the results and prints a table.

    The test split's go to ``eval.json`` (the first tolerance's measures, and all
    under ``"evaluations"``), another split's to ``eval_SPLIT.json``, those of the best
    checkpoint to ``eval_best.json`` or ``eval_SPLIT_best.json``. What is measured on
    other data than the run's has ``_changed_data`` behind these names.

    Args:
        workdir: run folder.
        tols: solver tolerances.
        split: ``"test"`` or ``"train"``.
        data_dir: of tensorflow-datasets.
        dtypes: float types to evaluate copies of the model in; its own if empty.
        weights: see `load_model`.
        best: evaluate the checkpoint of the best test measure, not the newest.
        data: see `read_data`.
        changed_data: see `read_data`.

    Raises:
        ValueError: for other data, or a model that cannot take them.
    """
    config = read_config(workdir)
    source, suffix = read_data(workdir, data_dir, data, changed_data)
    model = load_model(workdir, source, weights, best)
    models = [copy_in(model, dtype) for dtype in dtypes] or [model]
    size, draws = (config["evaluation"][key] for key in ("batch_size", "draws"))
    evaluators = [make_evaluator(m, source, size, split) for m in models]
    return write_results(workdir, evaluators, tols, draws, "_best" * best + suffix)


@named_failures()
def evaluate_tolerances(
    workdir: str,
    data_dir: str | None = None,
    weights: str | None = None,
    data: str | None = None,
    changed_data: bool = False,
) -> None:
    """Evaluates a run at the tolerances of its own policies.

    ``tolerances.json`` gets ``"evaluations"``, what `ToleranceEvaluator.run` yields,
    and ``"distribution"``, the tolerances of the batches of both splits; of other data
    than the run's, ``tolerances_changed_data.json``.

    Args:
        workdir: run folder.
        data_dir: of tensorflow-datasets.
        weights: see `load_model`.
        data: see `read_data`.
        changed_data: see `read_data`.

    Raises:
        ValueError: where the tolerances are constants.
    """
    config = read_config(workdir)
    source, suffix = read_data(workdir, data_dir, data, changed_data)
    model = load_model(workdir, source, weights)
    if not model.samples_tolerances:
        raise ValueError(
            "the run has neither random nor learned tolerances. "
            f"Received: workdir={workdir!r}"
        )
    write_tolerances(workdir, model, source, config["training"]["batch_size"], suffix)


def read_data(
    workdir: str,
    data_dir: str | None = None,
    data: str | None = None,
    changed_data: bool = False,
) -> tuple[Source, str]:
    """The data of a run, with all labels, and an ending for files about other data.

    Args:
        workdir: run folder.
        data_dir: of tensorflow-datasets.
        data: where the run's data are now; None where they were.
        changed_data: the data may be others than those of the run.

    Returns:
        The data, and ``"_changed_data"`` where they are not those of the run, else an
        empty text.

    Raises:
        ValueError: for a folder without a run, or for other data.
    """
    config = read_config(workdir)
    source = read_source({**config, "data": data or config["data"]}, data_dir)
    found, kept = record_of(source), read_record(workdir)
    if not changed_data:
        hint = ", with --data where they have moved, or take these with --changed_data"
        check_data(workdir, found, hint)
    return source, "_changed_data" if kept and kept.changes(found) else ""


def load_record(workdir: str, data_dir: str | None = None) -> DataRecord:
    """The record of a run's data, which are read if it has none."""
    kept = read_record(workdir)
    return kept or record_of(read_source(read_config(workdir), data_dir))


def load_model(
    workdir: str,
    data: Source | DataRecord | None = None,
    weights: str | None = None,
    best: bool = False,
) -> Any:
    """The model of a run with its newest readable weights, or the best kept.

    Args:
        workdir: run folder.
        data: its data, needed of a run that has no record of them.
        weights: ``"average"`` or ``"last"``; if None, the average where the run keeps
            one.
        best: the kept checkpoint of the best test measure, not the newest.

    Raises:
        ValueError: for a folder without a run or without a checkpoint, or an average
            that the run does not keep.
    """
    config = read_config(workdir)
    model = build_model(config, read_record(workdir) or data or load_record(workdir))
    epoch = best_epoch(read_metrics(Path(workdir, "metrics.jsonl"))) if best else None
    if Checkpoints(Path(workdir) / "checkpoints", model).restore(epoch) == START:
        raise ValueError(
            f"the run has no checkpoint yet. Received: workdir={workdir!r}"
        )
    use_weights(model, weights)
    return model


@named_failures()
def sample(
    workdir: str,
    label: int | str,
    num: int,
    out: str,
    seed: int = 0,
    temperature: float = 1.0,
    data_dir: str | None = None,
    weights: str | None = None,
) -> None:
    """Draws images of one class from a run into a PNG; needs no data.

    Args:
        workdir: run folder.
        label: class of the first label factor, by number or, if text, by name; see
            `DataRecord.find_class`.
        num: images.
        out: path of the PNG.
        seed: the same seed gives the same images.
        temperature: see `InfoCNF.sample`.
        data_dir: of tensorflow-datasets, for a run that has no record of its data.
        weights: see `load_model`.
    """
    if num < 1:
        raise ValueError(f"num must be positive. Received: num={num}")
    if not Path(out).absolute().parent.is_dir():
        raise ValueError(f"out must be in an existing folder. Received: out={out!r}")
    data = load_record(workdir, data_dir)
    if len(data.model_keywords().get("event_shape", ())) != 3:
        raise ValueError(f"only images are drawn. Received: data={data.name!r}")
    chosen = data.find_class(str(label))
    model = load_model(workdir, data, weights)
    labels: Any = num
    if model.labels:
        labels = np.zeros([num, len(model.labels)], np.int32)
        labels[:, 0] = chosen
    images = model.sample(labels, seed, temperature).numpy()
    columns = min(num, 10)
    padding = -num % columns
    images = np.concatenate([images, np.ones([padding, *model.event_shape])])
    rows = images.reshape(-1, columns, *model.event_shape)
    name = data.class_names[0][chosen]
    draw_grid(rows, Path(out), [""] * len(rows), f"class {name}")


@named_failures()
def export(
    workdir: str,
    export_dir: str,
    tol: float = 1e-5,
    trace: str = "auto",
    draws: int = DRAWS,
    overwrite: bool = False,
    data_dir: str | None = None,
    weights: str | None = None,
    data: str | None = None,
) -> Path:
    """Exports a run as a SavedModel, see `export_run` and `load_model`.

    Data are read where the entropy of the training data is not kept yet; without them
    the export has no ``ood_score``.
    """

    def read() -> Split | None:
        try:
            return read_data(workdir, data_dir, data)[0].train
        except ValueError as failure:
            print(f"the export has no ood_score: {failure}", file=sys.stderr)
            return None

    record = load_record(workdir, data_dir)
    model = load_model(workdir, record, weights)
    config = read_config(workdir)
    return export_run(
        workdir, config, model, record, read, export_dir, tol, trace, draws, overwrite
    )
