"""Trains a run, from its configuration to its results in a folder.

A run folder holds ``config.json``, ``data.json`` (a record of its data),
``metadata.json``, ``metrics.jsonl``, ``steps.jsonl``, ``checkpoints/``,
``tensorboard/`` and, when done, ``eval.json``, ``curves.png`` and the pictures of its
kind of data (`tfcnf.studies`); where tolerances are random or learned, also
``tolerances.json``, and where labels were hidden ``labels.json``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.runs.build import build_model, hide_labels_of, read_source
from tfcnf.runs.config import check_config
from tfcnf.data.record import DataRecord, record_of
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import HIDDEN
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.diagnostics.tolerances import ToleranceEvaluator
from tfcnf.files import write_json
from tfcnf.models.failures import FAILURES, named_failures, tell_once
from tfcnf.models.infocnf import InfoCNF
from tfcnf.runs.results import write_results, write_tolerances
from tfcnf.runs.data import check_data, renew_folder
from tfcnf.runs.folder import check_folder, hold_folder, open_folder
from tfcnf.run_state import note_failed, note_finished, note_training
from tfcnf.studies import Source, epoch_images, leave_pictures, make_evaluator
from tfcnf.training import callbacks as calls
from tfcnf.training.accumulation import check_parts
from tfcnf.training.agreement import (
    check_agreement,
    check_same_data,
    facts_of_code,
    stay_together,
)
from tfcnf.training.averaging import averaged, use_weights
from tfcnf.training.board import TensorBoardLog
from tfcnf.training.checkpoints import (
    EVERY,
    KEPT,
    START,
    Checkpoints,
    Position,
    SaveCheckpoints,
)
from tfcnf.training.divergence import Recovery
from tfcnf.training.loop import run_epochs
from tfcnf.training.preemption import Preemption
from tfcnf.training.strategy import WAIT, cluster_of, get_strategy
from tfcnf.training.tracing import Profile
from tfcnf.runs.warm_start import find_run, take_weights


@named_failures()
def train(
    config: Mapping[str, Any],
    workdir: str,
    data_dir: str | None = None,
    strategy: str = "auto",
    checkpoint_every: int = EVERY,
    keep: int = KEPT,
    wait: float = WAIT,
    profile: tuple[int, int] | None = None,
    log_every: int = calls.STEPS,
    init_from: str | None = None,
    changed_data: bool = False,
) -> dict[str, Any] | None:
    """Trains, or resumes, a run and evaluates it.

    Args:
        config: as `tfcnf.runs.config.default_config` describes.
        workdir: run folder; a folder with the same configuration, but for more epochs,
            is resumed. All workers must see it; the first alone writes it.
        data_dir: of tensorflow-datasets.
        strategy: see `tfcnf.training.strategy.get_strategy`.
        checkpoint_every: steps between checkpoints, besides those of each epoch.
        keep: how many checkpoints are kept; see `Checkpoints`.
        wait: seconds to wait for absent workers.
        profile: first and last step to trace, see `tfcnf.training.tracing`.
        log_every: steps between the lines of ``steps.jsonl``; 0 for none.
        init_from: run whose weights a new run begins with, see `take_weights`; a run
            that is resumed has its own.
        changed_data: resume with data that are not those of before.

    Returns:
        What was written to ``eval.json``; None in all workers but the first.

    Raises:
        ValueError: for a bad configuration, or a folder that holds something else.
        tfcnf.ode.status.SolverError: where an ODE solve fails.
        tfcnf.models.base.DivergenceError: where the loss or its gradient is not finite.
        tfcnf.training.preemption.Preempted: where SIGTERM ended the training.
        tfcnf.training.preemption.WorkerLost: where another worker is gone.
    """
    check_config(config)
    if init_from is not None:
        find_run(init_from)
    preemption = Preemption()
    with preemption.watch():
        scope = get_strategy(strategy, wait)
        with stay_together(scope, preemption):
            _check_start(scope, config, workdir, init_from, changed_data)
            source = read_source(config, data_dir)
            data = record_of(source)
            check_same_data(scope, data)
            seen = hide_labels_of(config, source)
            _check_batches(config, scope)
            with scope.scope():
                model = build_model(config, source)
            leads = cluster_of(scope).rank == 0
            if leads:
                print(source.describe())
            with _open(config, workdir, leads, data, init_from, changed_data) as folder:
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
                    _writers, config, folder, evaluator, source, log_every, tracers
                )
                start = _find_start(scope, evaluator.model, saver, init_from)
                _run(
                    config,
                    scope,
                    start,
                    evaluator.model,
                    seen,
                    preemption,
                    writers,
                    saver,
                )
                if not leads:
                    return None
                return _leave_results(config, folder, evaluator, source)


def _check_start(
    scope: tf.distribute.Strategy,
    config: Mapping[str, Any],
    workdir: str,
    init_from: str | None,
    changed_data: bool,
) -> None:
    """Checks that all workers were started for the same run, before any other thing."""
    check_agreement(
        scope,
        config=json.loads(json.dumps(config)),
        workdir=os.path.abspath(workdir),
        init_from=init_from and os.path.abspath(init_from),
        changed_data=changed_data,
        code=facts_of_code(),
    )


def _write_labels(folder: Path, seen: Any) -> None:
    """How far one gets with the labels that are left and no other image."""
    judge = PixelClassifier(seen.train, seen.num_levels)
    known = int(np.sum(seen.train.y[:, 0] != HIDDEN))
    error = judge.error(seen.test)
    write_json(
        folder / "labels.json",
        {"labelled": known, "logistic_regression_error": error},
    )


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
def _open(
    config: Mapping[str, Any],
    workdir: str,
    leads: bool,
    data: DataRecord,
    init_from: str | None,
    changed_data: bool,
) -> Iterator[Path]:
    """The folder of a run; the first worker makes it and keeps others out of it."""
    if not leads:
        if check_folder(config, workdir) and not changed_data:
            check_data(workdir, data)
        yield Path(workdir)
        return
    folder = open_folder(config, workdir, init_from)
    with hold_folder(folder):
        renew_folder(config, workdir, data, changed_data)
        yield folder


def _find_start(
    scope: tf.distribute.Strategy,
    model: Any,
    saver: SaveCheckpoints,
    init_from: str | None,
) -> Position:
    """Restores the newest checkpoint; a new run takes the weights it begins with."""
    with scope.scope():
        start = saver.checkpoints.restore()
    check_agreement(scope, checkpoint=start._asdict())
    if start == START and init_from is not None:
        with scope.scope():
            take_weights(model, init_from)
    return start


def _run(
    config: Mapping[str, Any],
    scope: tf.distribute.Strategy,
    start: Position,
    model: Any,
    source: Source,
    preemption: Preemption,
    writers: Callable[[int], list[keras.callbacks.Callback]],
    saver: SaveCheckpoints,
) -> None:
    """The epochs that are still to be done; the first worker alone writes."""
    training, folder = config["training"], saver.checkpoints.directory.parent
    if start.epoch == training["epochs"]:
        return
    written = folder if cluster_of(scope).rank == 0 else None
    recovery = Recovery(**training["divergence"], folder=written)
    callbacks: list[keras.callbacks.Callback] = []
    if written:
        note_training(folder)
        callbacks = [*writers(start.epoch), saver]
        if start != START:
            after = f"epoch {start.epoch} of {training['epochs']}"
            within = f", step {start.step}" if start.step else ""
            print(f"resuming {folder} after {after}{within}")
    with _noting(written):
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
    log_every: int,
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

    main = "elbo" if isinstance(source, SeriesSource) else "bits_per_dim"
    board = TensorBoardLog(
        folder / "tensorboard",
        epoch_images(model, source),
        solves=solves,
        config=config,
    )
    return [
        calls.Evaluate(measure, evaluation["every"], main),
        calls.MetricsLog(folder / "metrics.jsonl", done),
        board,
        calls.StepsLog(folder / "steps.jsonl", log_every, board.writer),
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
    tell = tell_once("what is drawn of the finished training is not complete")
    tell(lambda: leave_pictures(model, source, folder, tol), None)
    failed = "the training is finished and saved, its evaluation failed: "
    with _noting(folder, failed):
        if model.samples_tolerances:
            size = config["training"]["batch_size"]
            write_tolerances(str(folder), model, source, size)
        draws = evaluation["draws"]
        results = write_results(str(folder), [evaluator], [tol], draws)[0]
    note_finished(folder)
    return results


@contextlib.contextmanager
def _noting(folder: Path | None, where: str = "") -> Iterator[None]:
    """Notes in a run's folder, if this process writes it, why it failed."""
    try:
        with named_failures():
            yield
    except FAILURES as failure:
        told = type(failure)(f"{where}{failure}")
        if folder:
            note_failed(folder, str(told))
        raise told from None
