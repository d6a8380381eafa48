"""Trains a run, from its configuration to its results in a folder.

A run folder holds ``config.json``, ``data.json`` (a record of its data),
``metadata.json``, ``metrics.jsonl``, ``steps.jsonl``, ``checkpoints/``,
``tensorboard/`` and, when done, ``eval.json``, ``curves.png`` and the pictures of its
kind of data (`tfcnf.tasks`); where tolerances are random or learned, also
``tolerances.json``, and where labels were hidden ``labels.json``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tfcnf.data.record import record_of
from tfcnf.models.failures import named_failures
from tfcnf.run_state import note_training
from tfcnf.runs.build import build_model, read_source
from tfcnf.runs.config import check_config
from tfcnf.runs.recording import (
    honesty_of,
    judge_of,
    leave_results,
    noting,
    recorders,
    write_labels,
)
from tfcnf.runs.start import check_batches, check_start, find_start, run_folder
from tfcnf.runs.warm_start import find_run, read_weights
from tfcnf.tasks import Task
from tfcnf.training.agreement import check_same_data, make_vote, stay_together
from tfcnf.training.callbacks import STEPS
from tfcnf.training.checkpoints import (
    EVERY,
    KEPT,
    START,
    Checkpoints,
    Position,
    SaveCheckpoints,
)
from tfcnf.training.loop import run_epochs
from tfcnf.training.preemption import Preemption
from tfcnf.training.recovery import Recovery
from tfcnf.training.strategy import WAIT, cluster_of, get_strategy
from tfcnf.training.tracing import Profile
from tfcnf.training.validation import Validation

if TYPE_CHECKING:
    from tfcnf.tasks.base import Source


@named_failures()
def train(
    config: Mapping[str, Any],
    workdir: str,
    *,
    data_dir: str | None = None,
    strategy: str = "auto",
    checkpoint_every: int = EVERY,
    keep: int = KEPT,
    wait: float = WAIT,
    profile: tuple[int, int] | None = None,
    log_every: int = STEPS,
    init_from: str | None = None,
    changed_data: bool = False,
) -> dict[str, Any] | None:
    """Trains, or resumes, a run and evaluates it.

    Args:
        config: as `tfcnf.runs.config.default_config` describes.
        workdir: run folder; a folder with the same configuration, but for more epochs,
            is resumed. All workers must see it; the first writes it, the
            others note there why they failed.
        data_dir: of tensorflow-datasets.
        strategy: see `tfcnf.training.strategy.get_strategy`.
        checkpoint_every: steps between checkpoints, besides those of each epoch.
        keep: how many checkpoints are kept; see `Checkpoints`.
        wait: seconds to wait for absent workers.
        profile: first and last step to trace, see `tfcnf.training.tracing`.
        log_every: steps between the lines of ``steps.jsonl``; 0 for none.
        init_from: run whose weights a new run begins with, see `read_weights`; a run
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
    beginning: dict[str, Any] = {"init_from": init_from, "changed_data": changed_data}
    with preemption.watch():
        scope = get_strategy(strategy, wait)
        with stay_together(scope, preemption):
            check_start(scope, config, workdir=workdir, **beginning)
            source = read_source(config, data_dir)
            data = record_of(source)
            check_same_data(scope, data)
            task = Task.of(source)
            seen = task.hide_labels(source, config["training"], config["seed"])
            check_batches(scope, config)
            with scope.scope():
                model = build_model(config, source)
                first = read_weights(model, init_from) if init_from else None
            leads = cluster_of(scope).rank == 0
            if leads:
                print(source.describe())
            with run_folder(
                config, workdir, leads=leads, data=data, **beginning
            ) as folder:
                if leads and seen is not source:
                    write_labels(folder, seen)
                with scope.scope():
                    checkpoints = Checkpoints(folder / "checkpoints", model, keep)
                start = find_start(scope, model, checkpoints=checkpoints, first=first)
                size = config["evaluation"]["batch_size"]
                split = "validation" if source.validation else "test"
                evaluator = task.evaluator(model, source, size, split)
                judge = judge_of(config, folder, source, start.epoch)
                is_over = start.epoch == config["training"]["epochs"] or make_vote(
                    scope
                )(leads and judge is not None and judge.is_over)
                # first, and in all workers: it may change the tolerances
                callbacks = honesty_of(config, seen)
                if leads and not is_over:
                    _tell_start(config, folder, start)
                    callbacks += recorders(
                        config,
                        folder,
                        evaluator=evaluator,
                        log_every=log_every,
                        done=start.epoch,
                        judge=judge,
                        tracers=_tracers(folder, profile),
                    )
                    best = functools.partial(_best_of, judge)
                    saver = SaveCheckpoints(checkpoints, checkpoint_every, best)
                    callbacks.append(saver)
                if not is_over:
                    _run(
                        config,
                        model,
                        source=seen,
                        scope=scope,
                        start=start,
                        callbacks=callbacks,
                        folder=folder,
                        preemption=preemption,
                    )
                if not leads:
                    return None
                return leave_results(config, folder, evaluator, checkpoints)


def _best_of(judge: Validation | None) -> int | None:
    return judge.best_epoch if judge else None


def _tracers(
    folder: Path, profile: tuple[int, int] | None
) -> list[keras.callbacks.Callback]:
    return [Profile(folder / "tensorboard", profile)] if profile else []


def _tell_start(config: Mapping[str, Any], folder: Path, start: Position) -> None:
    """Notes that a run is trained, and prints where it is resumed."""
    note_training(folder)
    if start != START:
        after = f"epoch {start.epoch} of {config['training']['epochs']}"
        within = f", step {start.step}" if start.step else ""
        print(f"resuming {folder} after {after}{within}")


def _run(
    config: Mapping[str, Any],
    model: Any,
    *,
    source: Source,
    scope: tf.distribute.Strategy,
    start: Position,
    callbacks: list[keras.callbacks.Callback],
    folder: Path,
    preemption: Preemption,
) -> None:
    """Trains the epochs that are still to be done; failures are noted in ``folder``."""
    training, rank = config["training"], cluster_of(scope).rank
    with noting(folder):
        run_epochs(
            model,
            source,
            scope,
            training["batch_size"],
            training["epochs"],
            start=start,
            seed=config["seed"],
            callbacks=callbacks,
            accumulation_steps=training["accumulation_steps"],
            recovery=Recovery(**training["recovery"], folder=folder, rank=rank),
            preemption=preemption,
        )
