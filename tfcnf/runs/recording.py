"""Records of a training in its folder: measures, steps, failures, results."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfcnf.diagnostics.figures import draw_curves
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.files import write_json
from tfcnf.labels.categorical import HIDDEN
from tfcnf.models.failures import FAILURES, named_failures, tell_once
from tfcnf.run_state import note_failed, note_finished
from tfcnf.runs.results import origin, write_results, write_tolerances
from tfcnf.tasks import Task
from tfcnf.training import callbacks as calls
from tfcnf.training.averaging import averaged, use_weights
from tfcnf.training.board import TensorBoardLog
from tfcnf.training.checkpoints import Checkpoints
from tfcnf.training.honesty import Honesty
from tfcnf.training.validation import Validation, best_epoch


def write_labels(folder: Path, seen: Any) -> None:
    """Writes the error with the labels that are left and no other example."""
    judge = PixelClassifier(seen.train, seen.num_levels)
    known = int(np.sum(seen.train.y[:, 0] != HIDDEN))
    error = judge.error(seen.test)
    write_json(
        folder / "labels.json",
        {"labelled": known, "logistic_regression_error": error},
    )


def recorders(
    config: Mapping[str, Any],
    folder: Path,
    *,
    evaluator: Any,
    log_every: int,
    done: int,
    judge: Validation | None = None,
    tracers: Sequence[keras.callbacks.Callback] = (),
) -> list[keras.callbacks.Callback]:
    """Callbacks that measure and record a training, in this order.

    Args:
        config: of the run.
        folder: of the run.
        evaluator: measures the model.
        log_every: steps between the lines of ``steps.jsonl``.
        done: epochs that were done before.
        judge: of the epochs, where there is a validation split.
        tracers: callbacks that come last.
    """
    evaluation, model, source = config["evaluation"], evaluator.model, evaluator.source
    task = Task.of(source)
    tolerances, solves = task.tolerances(model, source), None
    if tolerances:
        solves = functools.partial(tolerances.solves, "train", evaluation["batch_size"])

    def measure() -> Iterator[tuple[str, float]]:
        with averaged(model):
            yield from evaluator.run(evaluation["tol"])

    board = TensorBoardLog(
        folder / "tensorboard",
        task.epoch_images(model, source),
        solves=solves,
        config=config,
    )
    return [
        calls.Evaluate(
            measure, evaluation["every"], task.measure, evaluator.split_name
        ),
        *([judge] if judge else []),
        calls.MetricsLog(folder / "metrics.jsonl", done),
        board,
        calls.StepsLog(folder / "steps.jsonl", log_every, board.writer),
        calls.Progress(),
        *tracers,
    ]


def honesty_of(config: Mapping[str, Any], seen: Any) -> list[keras.callbacks.Callback]:
    """The measure of honesty of a training, where it is asked for.

    Args:
        config: of the run.
        seen: the data as the training sees them.
    """
    training = config["training"]
    if not training["honesty"]:
        return []
    size, every = training["batch_size"], training["honesty"]
    return [Honesty(seen.train, size, every, config["seed"])]


def judge_of(
    config: Mapping[str, Any], folder: Path, source: Any, done: int
) -> Validation | None:
    """The judge of a training's epochs, as its records leave it; None without a split.

    Args:
        config: of the run.
        folder: of the run.
        source: its data.
        done: epochs that were done before.
    """
    if source.validation is None:
        return None
    task, lines = Task.of(source), calls.read_metrics(folder / "metrics.jsonl", "epoch")
    return Validation(
        f"validation/{task.measure}",
        largest=task.largest,
        patience=config["training"]["patience"],
        lines=[line for line in lines if line["epoch"] <= done],
    )


def leave_results(
    config: Mapping[str, Any],
    folder: Path,
    evaluator: Any,
    checkpoints: Checkpoints,
) -> dict[str, Any]:
    """Evaluates a finished training on the test split and leaves its pictures.

    Where there is a validation split, the model gets the weights of the best epoch.

    Returns:
        The measures of ``eval.json``.
    """
    evaluation, model, source = config["evaluation"], evaluator.model, evaluator.source
    tol, best = evaluation["tol"], best_epoch(folder)
    if best is not None:
        checkpoints.restore(best)
    use_weights(model, None)
    if evaluator.split_name != "test":
        evaluator = Task.of(source).evaluator(model, source, evaluation["batch_size"])
    tell = tell_once("what is drawn of the finished training is not complete")
    tell(lambda: _draw(model, source, folder, tol), None)
    failed = "the training is finished and saved, its evaluation failed: "
    with noting(folder, failed):
        if model.samples_tolerances:
            size = config["training"]["batch_size"]
            write_tolerances(folder, model, source=source, batch_size=size)
        results = write_results(
            folder,
            [evaluator],
            tols=[tol],
            draws=evaluation["draws"],
            weights=origin(checkpoints.saved.epoch, best is not None),
        )
    note_finished(folder)
    if Task.of(source).has_page:
        tell(lambda: _write_page(folder), None)
    return results[0]


def _write_page(folder: Path) -> None:
    from tfcnf.reporting.runs import report

    print(f"wrote {report([str(folder)])[-1]}")


def _draw(model: Any, source: Any, folder: Path, tol: float) -> None:
    metrics, task = calls.read_metrics(folder / "metrics.jsonl"), Task.of(source)
    draw_curves({"": metrics}, folder / "curves.png", curves=task.curves)
    task.draw(model, source, folder, tol)


@contextlib.contextmanager
def noting(folder: Path, where: str = "") -> Iterator[None]:
    """Notes in a run's folder why it failed."""
    try:
        with named_failures():
            yield
    except FAILURES as failure:
        told = type(failure)(f"{where}{failure}")
        note_failed(folder, str(told))
        raise told from None
