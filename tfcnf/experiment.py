"""A run from its configuration to its results in a folder.

A run folder holds ``config.json``, ``metadata.json``, ``metrics.jsonl``,
``checkpoints/``, ``tensorboard/`` and, when done, ``eval.json``, ``samples.png``,
``reconstructions.png`` and ``curves.png``.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfcnf
from tfcnf.configuration import MODELS, check_config
from tfcnf.data import catalog
from tfcnf.data.pipeline import steps_per_epoch
from tfcnf.data.source import DataSource
from tfcnf.evaluation.image import Evaluator
from tfcnf.evaluation.pictures import class_samples, reconstructions
from tfcnf.files import write_json
from tfcnf.models.infocnf import InfoCNF
from tfcnf.reporting.figures import draw_curves, draw_grid
from tfcnf.reporting.tables import results_table
from tfcnf.training import callbacks as calls
from tfcnf.training.checkpoints import Checkpoints, SaveCheckpoints
from tfcnf.training.loop import run_epochs
from tfcnf.training.schedules import learning_rate
from tfcnf.training.strategy import get_strategy


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
    folder = _open_folder(config, Path(workdir))
    source = catalog.get(config["data"], data_dir)
    scope = get_strategy(strategy)
    with scope.scope():
        model = _build(config, source)
        checkpoints = Checkpoints(folder / "checkpoints", model)
        done = checkpoints.restore()
    evaluation = config["evaluation"]
    evaluator = Evaluator(model, source, evaluation["batch_size"])
    metrics = folder / "metrics.jsonl"
    epochs = config["training"]["epochs"]
    if done:
        print(f"resuming {folder} after epoch {done} of {epochs}")
    if done < epochs:
        run_epochs(
            model,
            source,
            scope,
            config["training"]["batch_size"],
            epochs,
            done,
            config["seed"],
            [
                calls.Evaluate(
                    lambda: evaluator.run(evaluation["tol"]), evaluation["every"]
                ),
                calls.MetricsLog(metrics, done),
                calls.TensorBoardLog(
                    folder / "tensorboard",
                    lambda: np.concatenate(class_samples(model, columns=4, tol=1e-3)),
                ),
                calls.Progress(),
                SaveCheckpoints(checkpoints),
            ],
        )
    results = evaluate(workdir, [evaluation["tol"]], data_dir=data_dir, model=model)
    _draw(model, source, folder, evaluation["tol"])
    return results[0]


def evaluate(
    workdir: str,
    tols: Sequence[float],
    split: str = "test",
    data_dir: str | None = None,
    model: InfoCNF | None = None,
) -> list[dict[str, Any]]:
    """Evaluates a run at each tolerance, writes the results and prints a table.

    The test split's go to ``eval.json`` (the first tolerance's measures, and all
    under ``"evaluations"``), another split's to ``eval_SPLIT.json``.

    Args:
        workdir: run folder.
        tols: solver tolerances.
        split: ``"test"`` or ``"train"``.
        data_dir: of tensorflow-datasets.
        model: the run's model, if it is at hand.
    """
    folder = Path(workdir)
    config = read_config(folder)
    source = catalog.get(config["data"], data_dir)
    model = model or load_model(workdir, source)
    evaluator = Evaluator(model, source, config["evaluation"]["batch_size"], split)
    results = [dict(evaluator.run(tol, backward=True)) for tol in tols]
    name = "eval.json" if split == "test" else f"eval_{split}.json"
    write_json(folder / name, results[0] | {"evaluations": results})
    print(results_table(results))
    return results


def load_model(workdir: str, source: DataSource) -> InfoCNF:
    """The model of a run with its newest readable weights.

    Raises:
        ValueError: for a folder without a run or without a checkpoint.
    """
    folder = Path(workdir)
    model = _build(read_config(folder), source)
    if not Checkpoints(folder / "checkpoints", model).restore():
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
    config = read_config(Path(workdir))
    model = load_model(workdir, catalog.get(config["data"], data_dir))
    labels: np.ndarray = np.zeros([num, len(model.num_classes)], np.int32)
    labels[:, 0] = label
    images = model.sample(labels, seed, temperature).numpy()
    columns = min(num, 10)
    padding = -num % columns
    images = np.concatenate([images, np.ones([padding, *model.event_shape])])
    rows = images.reshape(-1, columns, *model.event_shape)
    draw_grid(rows, Path(out), [""] * len(rows), f"class {label}")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises:
        ValueError: where the folder holds no run.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"no run in this folder. Received: workdir={str(folder)!r}")
    config = json.loads(path.read_text())
    check_config(config)
    return config


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
    steps = steps_per_epoch(source.train, training["batch_size"])
    schedule = learning_rate(
        optimizer["learning_rate"],
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


def _open_folder(config: Mapping[str, Any], folder: Path) -> Path:
    """Makes the run folder, or checks that it holds the same run."""
    plain = json.loads(json.dumps(config))
    path = folder / "config.json"
    if path.is_file():
        _check_same_config(plain, json.loads(path.read_text()), folder)
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            "the folder holds files that are not of a run; give an empty or a new "
            f"one. Received: workdir={str(folder)!r}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "metadata.json", _metadata(config))
        write_json(path, plain)
    except OSError as failure:
        raise ValueError(
            f"the folder cannot be written ({failure.strerror}). "
            f"Received: workdir={str(folder)!r}"
        ) from failure
    return folder


def _check_same_config(new: Any, old: Any, folder: Path, key: str = "config") -> None:
    if isinstance(new, dict) and isinstance(old, dict):
        for name in sorted(new.keys() | old.keys()):
            _check_same_config(new.get(name), old.get(name), folder, f"{key}.{name}")
    elif new != old:
        raise ValueError(
            f"{folder} holds a run with {key}={old!r}; give another folder, or the "
            f"same configuration to resume it. Received: {key}={new!r}"
        )


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    """Where, when and with what a run was made."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "command": sys.argv,
        "commit": commit.stdout.strip() or None,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seed": config["seed"],
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "machine": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "tfcnf": tfcnf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "tensorflow_probability": tfp.__version__,
        },
    }


def _draw(model: InfoCNF, source: DataSource, folder: Path, tol: float) -> None:
    """The pictures of a finished run."""
    draw_curves(calls.read_metrics(folder / "metrics.jsonl"), folder / "curves.png")
    classes = [str(k) for k in range(model.num_classes[0])]
    draw_grid(class_samples(model, tol=tol), folder / "samples.png", classes)
    rows = reconstructions(model, source.test.x[:10], tol)
    worst = rows[2].max()
    draw_grid(
        rows,
        folder / "reconstructions.png",
        ["x", "decode(encode(x))", "difference"],
        f"largest difference {worst:.1e}",
    )
