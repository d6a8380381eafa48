"""What is done with a run that was trained: evaluate it, draw from it, export it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.assembly import build_model, read_source
from tfcnf.data import catalog
from tfcnf.models.precision import copy_in
from tfcnf.reporting.figures import draw_grid
from tfcnf.results import write_results, write_tolerances
from tfcnf.run_folder import read_config
from tfcnf.serving.export import DRAWS, export_run
from tfcnf.studies import Source, make_evaluator
from tfcnf.training.averaging import use_weights
from tfcnf.training.callbacks import best_epoch, read_metrics
from tfcnf.training.checkpoints import START, Checkpoints


def evaluate(
    workdir: str,
    tols: Sequence[float],
    split: str = "test",
    data_dir: str | None = None,
    dtypes: Sequence[str] = (),
    weights: str | None = None,
    best: bool = False,
) -> list[dict[str, Any]]:
    """Evaluates a run at each tolerance, writes the results and prints a table.

    The test split's go to ``eval.json`` (the first tolerance's measures, and all
    under ``"evaluations"``), another split's to ``eval_SPLIT.json``, those of the best
    checkpoint to ``eval_best.json`` or ``eval_SPLIT_best.json``.

    Args:
        workdir: run folder.
        tols: solver tolerances.
        split: ``"test"`` or ``"train"``.
        data_dir: of tensorflow-datasets.
        dtypes: float types to evaluate copies of the model in; its own if empty.
        weights: see `load_model`.
        best: evaluate the checkpoint of the best test measure, not the newest.
    """
    config = read_config(workdir)
    source = read_source(config, data_dir)
    model = load_model(workdir, source, weights, best)
    models = [copy_in(model, dtype) for dtype in dtypes] or [model]
    size, draws = (config["evaluation"][key] for key in ("batch_size", "draws"))
    evaluators = [make_evaluator(m, source, size, split) for m in models]
    return write_results(workdir, evaluators, tols, draws, "_best" * best)


def evaluate_tolerances(
    workdir: str, data_dir: str | None = None, weights: str | None = None
) -> None:
    """Evaluates a run at the tolerances of its own policies.

    ``tolerances.json`` gets ``"evaluations"``, what `ToleranceEvaluator.run` yields,
    and ``"distribution"``, the tolerances of the batches of both splits.

    Args:
        workdir: run folder.
        data_dir: of tensorflow-datasets.
        weights: see `load_model`.

    Raises:
        ValueError: where the tolerances are constants.
    """
    config = read_config(workdir)
    source = read_source(config, data_dir)
    model = load_model(workdir, source, weights)
    if not model.samples_tolerances:
        raise ValueError(
            "the run has neither random nor learned tolerances. "
            f"Received: workdir={workdir!r}"
        )
    write_tolerances(workdir, model, source, config["training"]["batch_size"])


def load_source(workdir: str, data_dir: str | None = None) -> Source:
    """The data of a run, with all labels.

    Raises:
        ValueError: for a folder without a run.
    """
    return read_source(read_config(workdir), data_dir)


def load_model(
    workdir: str, source: Source, weights: str | None = None, best: bool = False
) -> Any:
    """The model of a run with its newest readable weights, or the best kept.

    Args:
        workdir: run folder.
        source: its data.
        weights: ``"average"`` or ``"last"``; if None, the average where the run keeps
            one.
        best: the kept checkpoint of the best test measure, not the newest.

    Raises:
        ValueError: for a folder without a run or without a checkpoint, or an average
            that the run does not keep.
    """
    model = build_model(read_config(workdir), source)
    epoch = best_epoch(read_metrics(Path(workdir, "metrics.jsonl"))) if best else None
    if Checkpoints(Path(workdir) / "checkpoints", model).restore(epoch) == START:
        raise ValueError(
            f"the run has no checkpoint yet. Received: workdir={workdir!r}"
        )
    use_weights(model, weights)
    return model


def sample(
    workdir: str,
    label: int,
    num: int,
    out: str,
    seed: int = 0,
    temperature: float = 1.0,
    data_dir: str | None = None,
    weights: str | None = None,
) -> None:
    """Draws images of one class from a run into a PNG.

    Args:
        workdir: run folder.
        label: class of the first label factor.
        num: images.
        out: path of the PNG.
        seed: the same seed gives the same images.
        temperature: see `InfoCNF.sample`.
        data_dir: of tensorflow-datasets.
        weights: see `load_model`.
    """
    if num < 1:
        raise ValueError(f"num must be positive. Received: num={num}")
    if not Path(out).absolute().parent.is_dir():
        raise ValueError(f"out must be in an existing folder. Received: out={out!r}")
    source = catalog.get(read_config(workdir)["data"], data_dir)
    if len(source.event_shape) != 3:
        raise ValueError(f"only images are drawn. Received: data={source.name!r}")
    model = load_model(workdir, source, weights)
    labels: np.ndarray = np.zeros([num, len(model.num_classes)], np.int32)
    labels[:, 0] = label
    images = model.sample(labels, seed, temperature).numpy()
    columns = min(num, 10)
    padding = -num % columns
    images = np.concatenate([images, np.ones([padding, *model.event_shape])])
    rows = images.reshape(-1, columns, *model.event_shape)
    draw_grid(rows, Path(out), [""] * len(rows), f"class {label}")


def export(
    workdir: str,
    export_dir: str,
    tol: float = 1e-5,
    trace: str = "auto",
    draws: int = DRAWS,
    overwrite: bool = False,
    data_dir: str | None = None,
    weights: str | None = None,
) -> Path:
    """Exports a run as a SavedModel, see `export_run` and `load_model`."""
    config = read_config(workdir)
    source: Any = read_source(config, data_dir)
    model = load_model(workdir, source, weights)
    return export_run(
        workdir, config, model, source, export_dir, tol, trace, draws, overwrite
    )
