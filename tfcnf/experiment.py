"""A run from its configuration to its results in a folder.

A run folder holds ``config.json``, ``metadata.json``, ``metrics.jsonl``,
``checkpoints/``, ``tensorboard/`` and, when done, ``eval.json``, ``curves.png`` and the
pictures of its kind of data (`tfcnf.studies`); where tolerances are random or learned,
also ``tolerances.json``, and where labels were hidden ``labels.json``.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.configuration import MODELS, check_config
from tfcnf.data import catalog
from tfcnf.data.labels import hide_labels
from tfcnf.data.pipeline import steps_per_epoch
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import HIDDEN
from tfcnf.data.spirals import with_passes
from tfcnf.evaluation.image import SPLITS
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.evaluation.tolerances import MODES, ToleranceEvaluator
from tfcnf.files import write_json
from tfcnf.models.infocnf import InfoCNF
from tfcnf.models.precision import copy_in
from tfcnf.reporting.figures import draw_grid
from tfcnf.reporting.tables import results_table
from tfcnf.run_folder import check_folder, hold_folder, open_folder, read_config
from tfcnf.serving.export import DRAWS, export_run
from tfcnf.studies import Source, epoch_images, leave_pictures, make_evaluator
from tfcnf.training import callbacks as calls
from tfcnf.training.accumulation import check_parts
from tfcnf.training.averaging import averaged, use_weights
from tfcnf.training.board import TensorBoardLog
from tfcnf.training.checkpoints import (
    EVERY,
    KEPT,
    START,
    Checkpoints,
    SaveCheckpoints,
)
from tfcnf.training.divergence import Recovery
from tfcnf.training.loop import run_epochs
from tfcnf.training.preemption import Preemption
from tfcnf.training.schedules import learning_rate
from tfcnf.training.strategy import (
    WAIT,
    check_agreement,
    cluster_of,
    get_strategy,
    start_faster,
    stay_together,
)
from tfcnf.training.tracing import Profile

TOLERANCE_DRAWS = 10  # samples of each batch's tolerances that are recorded


def train(
    config: Mapping[str, Any],
    workdir: str,
    data_dir: str | None = None,
    strategy: str = "auto",
    checkpoint_every: int = EVERY,
    keep: int = KEPT,
    wait: float = WAIT,
    profile: tuple[int, int] | None = None,
) -> dict[str, Any] | None:
    """Trains, or resumes, a run and evaluates it.

    Args:
        config: as `tfcnf.configuration.default_config` describes.
        workdir: run folder; a folder with the same configuration is resumed. All
            workers must see it; the first alone writes it.
        data_dir: of tensorflow-datasets.
        strategy: see `tfcnf.training.strategy.get_strategy`.
        checkpoint_every: steps between checkpoints, besides those of each epoch.
        keep: how many checkpoints are kept; see `Checkpoints`.
        wait: seconds to wait for absent workers.
        profile: first and last step to trace, see `tfcnf.training.tracing`.

    Returns:
        What was written to ``eval.json``; None in all workers but the first.

    Raises:
        ValueError: for a bad configuration, or a folder that holds something else.
        tfcnf.ode.solver.SolverError: where an ODE solve fails.
        tfcnf.models.base.DivergenceError: where the loss or its gradient is not finite.
        tfcnf.training.preemption.Preempted: where SIGTERM ended the training.
        tfcnf.training.preemption.WorkerLost: where another worker is gone.
    """
    check_config(config)
    preemption = Preemption()
    with preemption.watch():
        scope = get_strategy(strategy, wait)
        with stay_together(scope, preemption):
            source = _source(config, data_dir)
            seen = _with_labels_hidden(config, source)
            _check_batches(config, scope)
            with scope.scope():
                model = _build(config, source)
            leads = cluster_of(scope).rank == 0
            with _open(config, workdir, leads) as folder:
                if leads and seen is not source:
                    _write_labels(folder, seen)
                with scope.scope():
                    checkpoints = Checkpoints(folder / "checkpoints", model, keep)
                saver = SaveCheckpoints(
                    checkpoints, checkpoint_every, functools.partial(_best, folder)
                )
                size = config["evaluation"]["batch_size"]
                evaluator = make_evaluator(model, source, size)
                tracers = [Profile(folder / "tensorboard", profile)] if profile else []
                writers = functools.partial(
                    _writers, config, folder, evaluator, source, tracers
                )
                _run(config, scope, evaluator.model, seen, preemption, writers, saver)
                if not leads:
                    return None
                return _leave_results(config, folder, evaluator, source)


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
    source = _source(config, data_dir)
    model = load_model(workdir, source, weights, best)
    models = [copy_in(model, dtype) for dtype in dtypes] or [model]
    size, draws = (config["evaluation"][key] for key in ("batch_size", "draws"))
    evaluators = [make_evaluator(m, source, size, split) for m in models]
    return _write_results(workdir, evaluators, tols, draws, "_best" * best)


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
    source = _source(config, data_dir)
    model = load_model(workdir, source, weights)
    if not model.samples_tolerances:
        raise ValueError(
            "the run has neither random nor learned tolerances. "
            f"Received: workdir={workdir!r}"
        )
    _write_tolerances(workdir, model, source, config["training"]["batch_size"])


def load_source(workdir: str, data_dir: str | None = None) -> Source:
    """The data of a run, with all labels.

    Raises:
        ValueError: for a folder without a run.
    """
    return _source(read_config(workdir), data_dir)


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
    model = _build(read_config(workdir), source)
    epoch = _best(Path(workdir)) if best else None
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
    source: Any = _source(config, data_dir)
    model = load_model(workdir, source, weights)
    return export_run(
        workdir, config, model, source, export_dir, tol, trace, draws, overwrite
    )


def _source(config: Mapping[str, Any], data_dir: str | None) -> Source:
    """The data of a configuration.

    Raises:
        ValueError: for data that the model is not made for.
    """
    source = catalog.get(config["data"], data_dir)
    if isinstance(source, SeriesSource) != (config["model_name"] == "latent_ode"):
        raise ValueError(
            "latent ODEs are for series, flows for images and points. "
            f"Received: model_name={config['model_name']!r}, data={source.name!r}"
        )
    if isinstance(source, SeriesSource):
        return with_passes(source, config["training"]["passes"])
    return source


def _with_labels_hidden(config: Mapping[str, Any], source: Source) -> Source:
    """What the training sees of the data; evaluations see all labels."""
    if isinstance(source, SeriesSource):
        return source
    labels, part = (config["training"][key] for key in ("labels", "labelled_part"))
    return hide_labels(source, labels, part, config["seed"])


def _write_labels(folder: Path, seen: Any) -> None:
    """How far one gets with the labels that are left and no other image."""
    judge = PixelClassifier(seen.train, seen.num_levels)
    known = int(np.sum(seen.train.y[:, 0] != HIDDEN))
    error = judge.error(seen.test)
    write_json(
        folder / "labels.json",
        {"labelled": known, "logistic_regression_error": error},
    )


def _build(config: Mapping[str, Any], source: Source) -> Any:
    """The compiled model of a configuration."""
    start_faster()
    model = MODELS[config["model_name"]](
        **source.model_keywords(), seed=config["seed"], **config["model"]
    )
    training, optimizer = config["training"], config["optimizer"]
    batch_size = training["batch_size"]
    steps = steps_per_epoch(source.train, batch_size)
    scale = batch_size / (optimizer["reference_batch"] or batch_size)
    schedule = learning_rate(
        scale * optimizer["learning_rate"],
        total_steps=steps * training["epochs"],
        warmup_steps=round(steps * optimizer["warmup_epochs"]),
        decay=optimizer["decay"],
        drops=[round(steps * epoch) for epoch in optimizer["drop_epochs"]],
    )
    model.compile(
        keras.optimizers.Adam(
            schedule,
            epsilon=optimizer["epsilon"],
            global_clipnorm=optimizer["clipnorm"] or None,
            use_ema=optimizer["ema_momentum"] > 0,
            ema_momentum=optimizer["ema_momentum"],
        )
    )
    return model


def _check_batches(config: Mapping[str, Any], scope: tf.distribute.Strategy) -> None:
    training = config["training"]
    check_parts(
        training["batch_size"],
        scope.num_replicas_in_sync,
        training["accumulation_steps"],
    )
    workers, action = len(cluster_of(scope).addresses), training["divergence"]["action"]
    if workers > 1 and action != "stop":
        raise ValueError(
            "a worker cannot recover from a failed step while the others wait for it. "
            f"Received: divergence.action={action!r} with {workers} workers"
        )


@contextlib.contextmanager
def _open(config: Mapping[str, Any], workdir: str, leads: bool) -> Iterator[Path]:
    """The folder of a run; the first worker makes it and keeps others out of it."""
    if not leads:
        check_folder(config, workdir)
        yield Path(workdir)
        return
    folder = open_folder(config, workdir)
    with hold_folder(folder):
        yield folder


def _run(
    config: Mapping[str, Any],
    scope: tf.distribute.Strategy,
    model: Any,
    source: Source,
    preemption: Preemption,
    writers: Callable[[int], list[keras.callbacks.Callback]],
    saver: SaveCheckpoints,
) -> None:
    """The epochs that are still to be done; the first worker alone writes."""
    training, folder = config["training"], saver.checkpoints.directory.parent
    with scope.scope():
        start = saver.checkpoints.restore()
    check_agreement(scope, start)
    if start.epoch == training["epochs"]:
        return
    leads = cluster_of(scope).rank == 0
    recovery = Recovery(**training["divergence"], folder=folder if leads else None)
    callbacks: list[keras.callbacks.Callback] = []
    if leads:
        callbacks = [*writers(start.epoch), saver]
        if start != START:
            after = f"epoch {start.epoch} of {training['epochs']}"
            within = f", step {start.step}" if start.step else ""
            print(f"resuming {folder} after {after}{within}")
    run_epochs(
        model,
        source,
        scope,
        training["batch_size"],
        training["epochs"],
        start,
        config["seed"],
        callbacks,
        training["accumulation_steps"],
        recovery,
        preemption,
    )


def _best(folder: Path) -> int | None:
    return calls.best_epoch(calls.read_metrics(folder / "metrics.jsonl"))


def _writers(
    config: Mapping[str, Any],
    folder: Path,
    evaluator: Any,
    source: Any,
    tracers: Sequence[keras.callbacks.Callback],
    done: int,
) -> list[keras.callbacks.Callback]:
    """What measures and records a training, in this order."""
    evaluation, model = config["evaluation"], evaluator.model
    solves = None
    if isinstance(model, InfoCNF):
        solves = functools.partial(
            ToleranceEvaluator(model, source).solves,
            "train",
            evaluation["batch_size"],
        )

    def measure() -> Iterator[tuple[str, float]]:
        with averaged(model):
            yield from evaluator.run(evaluation["tol"])

    return [
        calls.Evaluate(measure, evaluation["every"]),
        calls.MetricsLog(folder / "metrics.jsonl", done),
        TensorBoardLog(
            folder / "tensorboard",
            epoch_images(model, source),
            solves=solves,
            config=config,
        ),
        calls.Progress(),
        *tracers,
    ]


def _leave_results(
    config: Mapping[str, Any], folder: Path, evaluator: Any, source: Source
) -> dict[str, Any]:
    """Evaluates a finished training and leaves its pictures."""
    evaluation, model = config["evaluation"], evaluator.model
    tol = evaluation["tol"]
    use_weights(model, None)
    leave_pictures(model, source, folder, tol)
    if model.samples_tolerances:
        _write_tolerances(str(folder), model, source, config["training"]["batch_size"])
    return _write_results(str(folder), [evaluator], [tol], evaluation["draws"])[0]


def _write_results(
    workdir: str,
    evaluators: Sequence[Any],
    tols: Sequence[float],
    draws: int,
    suffix: str = "",
) -> list[dict[str, Any]]:
    """Evaluates at each tolerance, writes a JSON file and prints a table."""
    results = [
        dict(evaluator.run(tol, draws, backward=True))
        | {"dtype": evaluator.model.compute_dtype}
        for evaluator in evaluators
        for tol in tols
    ]
    split = evaluators[0].split_name
    name = "eval" if split == "test" else f"eval_{split}"
    write_json(
        Path(workdir) / f"{name}{suffix}.json", results[0] | {"evaluations": results}
    )
    print(results_table(results))
    return results


def _write_tolerances(workdir: str, model: Any, source: Any, batch_size: int) -> None:
    """Evaluates at the policies' own tolerances and writes a JSON file."""
    evaluator = ToleranceEvaluator(model, source)
    write_json(
        Path(workdir) / "tolerances.json",
        {
            "evaluations": dict(evaluator.run()),
            "distribution": {
                split: {
                    mode: evaluator.distribution(
                        split, batch_size, mode, TOLERANCE_DRAWS if sample else 1
                    ).tolist()
                    for mode, sample in MODES.items()
                }
                for split in SPLITS
            },
        },
    )
