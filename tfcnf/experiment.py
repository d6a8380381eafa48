"""A run from its configuration to its results in a folder.

A run folder holds ``config.json``, ``metadata.json``, ``metrics.jsonl``,
``checkpoints/``, ``tensorboard/`` and, when done, ``eval.json``, ``samples.png``,
``reconstructions.png`` and ``curves.png``; where tolerances are random or learned, also
``tolerances.json``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfcnf.configuration import MODELS, check_config
from tfcnf.data import catalog
from tfcnf.data.pipeline import steps_per_epoch
from tfcnf.data.source import DataSource
from tfcnf.evaluation.image import SPLITS, Evaluator
from tfcnf.evaluation.pictures import class_samples, reconstructions
from tfcnf.evaluation.tolerances import MODES, ToleranceEvaluator
from tfcnf.files import write_json
from tfcnf.models.infocnf import InfoCNF
from tfcnf.reporting.figures import draw_curves, draw_grid
from tfcnf.reporting.tables import results_table
from tfcnf.run_folder import open_folder, read_config
from tfcnf.training import callbacks as calls
from tfcnf.training.checkpoints import Checkpoints, SaveCheckpoints
from tfcnf.training.loop import run_epochs
from tfcnf.training.schedules import learning_rate
from tfcnf.training.strategy import get_strategy

TOLERANCE_DRAWS = 10  # samples of each batch's tolerances that are recorded


def train(
    config: Mapping[str, Any],
    workdir: str,
    data_dir: str | None = None,
    strategy: str = "auto",
) -> dict[str, Any]:
    """Trains, or resumes, a run and evaluates it.

    Args:
        config: as `tfcnf.configuration.default_config` describes.
        workdir: run folder; a folder with the same configuration is resumed.
        data_dir: of tensorflow-datasets.
        strategy: see `tfcnf.training.strategy.get_strategy`.

    Returns:
        What was written to ``eval.json``.

    Raises:
        ValueError: for a bad configuration, or a folder that holds something else.
        tfcnf.ode.solver.SolverError: where an ODE solve fails.
    """
    check_config(config)
    source = catalog.get(config["data"], data_dir)
    scope = get_strategy(strategy)
    with scope.scope():
        model = _build(config, source)
        folder = open_folder(config, workdir)
        checkpoints = Checkpoints(folder / "checkpoints", model)
        done = checkpoints.restore()
    evaluator = Evaluator(model, source, config["evaluation"]["batch_size"])
    training = config["training"]
    if done:
        print(f"resuming {folder} after epoch {done} of {training['epochs']}")
    if done < training["epochs"]:
        run_epochs(
            model,
            source,
            scope,
            training["batch_size"],
            training["epochs"],
            done,
            config["seed"],
            [
                *_writers(config, folder, evaluator, source, done),
                SaveCheckpoints(checkpoints),
            ],
        )
    tol = config["evaluation"]["tol"]
    _draw(model, source, folder, tol)
    if model.samples_tolerances:
        _write_tolerances(workdir, model, source, training["batch_size"])
    draws = config["evaluation"]["draws"]
    return _write_results(workdir, evaluator, [tol], draws)[0]


def evaluate(
    workdir: str,
    tols: Sequence[float],
    split: str = "test",
    data_dir: str | None = None,
) -> list[dict[str, Any]]:
    """Evaluates a run at each tolerance, writes the results and prints a table.

    The test split's go to ``eval.json`` (the first tolerance's measures, and all
    under ``"evaluations"``), another split's to ``eval_SPLIT.json``.

    Args:
        workdir: run folder.
        tols: solver tolerances.
        split: ``"test"`` or ``"train"``.
        data_dir: of tensorflow-datasets.
    """
    config = read_config(workdir)
    source = catalog.get(config["data"], data_dir)
    model = load_model(workdir, source)
    evaluation = config["evaluation"]
    evaluator = Evaluator(model, source, evaluation["batch_size"], split)
    return _write_results(workdir, evaluator, tols, evaluation["draws"])


def evaluate_tolerances(workdir: str, data_dir: str | None = None) -> None:
    """Evaluates a run at the tolerances of its own policies.

    ``tolerances.json`` gets ``"evaluations"``, what `ToleranceEvaluator.run` yields,
    and ``"distribution"``, the tolerances of the batches of both splits.

    Args:
        workdir: run folder.
        data_dir: of tensorflow-datasets.

    Raises:
        ValueError: where the tolerances are constants.
    """
    config = read_config(workdir)
    source = catalog.get(config["data"], data_dir)
    model = load_model(workdir, source)
    if not model.samples_tolerances:
        raise ValueError(
            "the run has neither random nor learned tolerances. "
            f"Received: workdir={workdir!r}"
        )
    _write_tolerances(workdir, model, source, config["training"]["batch_size"])


def load_model(workdir: str, source: DataSource) -> InfoCNF:
    """The model of a run with its newest readable weights.

    Raises:
        ValueError: for a folder without a run or without a checkpoint.
    """
    model = _build(read_config(workdir), source)
    if not Checkpoints(Path(workdir) / "checkpoints", model).restore():
        raise ValueError(
            f"the run has no checkpoint yet. Received: workdir={workdir!r}"
        )
    return model


def sample(
    workdir: str,
    label: int,
    num: int,
    out: str,
    seed: int = 0,
    temperature: float = 1.0,
    data_dir: str | None = None,
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
    """
    if num < 1:
        raise ValueError(f"num must be positive. Received: num={num}")
    if not Path(out).absolute().parent.is_dir():
        raise ValueError(f"out must be in an existing folder. Received: out={out!r}")
    config = read_config(workdir)
    model = load_model(workdir, catalog.get(config["data"], data_dir))
    labels: np.ndarray = np.zeros([num, len(model.num_classes)], np.int32)
    labels[:, 0] = label
    images = model.sample(labels, seed, temperature).numpy()
    columns = min(num, 10)
    padding = -num % columns
    images = np.concatenate([images, np.ones([padding, *model.event_shape])])
    rows = images.reshape(-1, columns, *model.event_shape)
    draw_grid(rows, Path(out), [""] * len(rows), f"class {label}")


def _build(config: Mapping[str, Any], source: DataSource) -> InfoCNF:
    """The compiled model of a configuration."""
    model = MODELS[config["model_name"]](
        source.event_shape,
        source.num_classes,
        num_levels=source.num_levels,
        seed=config["seed"],
        **config["model"],
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
        )
    )
    return model


def _writers(
    config: Mapping[str, Any],
    folder: Path,
    evaluator: Evaluator,
    source: DataSource,
    done: int,
) -> list[keras.callbacks.Callback]:
    """What measures and records a training, in this order."""
    evaluation, model = config["evaluation"], evaluator.model
    tolerances = None
    if model.samples_tolerances:
        tolerances = functools.partial(
            ToleranceEvaluator(model, source).distribution,
            "train",
            config["training"]["batch_size"],
        )

    def draw() -> np.ndarray:
        return np.concatenate(class_samples(model, columns=4, tol=1e-3))

    return [
        calls.Evaluate(lambda: evaluator.run(evaluation["tol"]), evaluation["every"]),
        calls.MetricsLog(folder / "metrics.jsonl", done),
        calls.TensorBoardLog(folder / "tensorboard", draw, tolerances=tolerances),
        calls.Progress(),
    ]


def _write_results(
    workdir: str, evaluator: Evaluator, tols: Sequence[float], draws: int
) -> list[dict[str, Any]]:
    """Evaluates at each tolerance, writes a JSON file and prints a table."""
    results = [dict(evaluator.run(tol, draws, backward=True)) for tol in tols]
    split = evaluator.split_name
    name = "eval.json" if split == "test" else f"eval_{split}.json"
    write_json(Path(workdir) / name, results[0] | {"evaluations": results})
    print(results_table(results))
    return results


def _write_tolerances(
    workdir: str, model: InfoCNF, source: DataSource, batch_size: int
) -> None:
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


def _draw(model: InfoCNF, source: DataSource, folder: Path, tol: float) -> None:
    """The pictures of a finished run."""
    draw_curves(calls.read_metrics(folder / "metrics.jsonl"), folder / "curves.png")
    classes = [str(k) * model.is_supervised for k in range(model.num_classes[0])]
    draw_grid(class_samples(model, tol=tol), folder / "samples.png", classes)
    rows = reconstructions(model, source.test.x[:10], tol)
    worst = rows[2].max()
    draw_grid(
        rows,
        folder / "reconstructions.png",
        ["x", "decode(encode(x))", "difference"],
        f"largest difference {worst:.1e}",
    )
