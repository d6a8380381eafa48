"""From a configuration to its data and its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from tfcnf.data import catalog, series_frames, table_catalog
from tfcnf.data.held_out import hold_out
from tfcnf.data.pipeline import steps_per_epoch
from tfcnf.data.record import DataRecord
from tfcnf.runs.config import COLUMNS, MODELS
from tfcnf.tasks import Task
from tfcnf.training.schedules import learning_rate
from tfcnf.training.strategy import start_faster

if TYPE_CHECKING:
    from tfcnf.tasks.base import Source


def read_source(config: Mapping[str, Any], data_dir: str | None) -> Source:
    """The data of a configuration.

    Raises:
        ValueError: for data that the model is not made for, or patience without
            validation.
    """
    training = config["training"]
    if "table" in config:
        source: Any = table_catalog.load(config["data"], **config["table"])
    elif _is_in_columns(config):
        source = series_frames.load(config["data"], **config["series"])
    else:
        source = catalog.get(config["data"], data_dir)
    task = Task.of(source)
    task.check_model(config["model_name"], source)
    source = task.prepare(source, training)
    source = hold_out(source, training["validation"], config["seed"])
    if training["patience"] and source.validation is None:
        raise ValueError(
            "patience needs a validation split; config.training.validation=0.1 holds "
            f"one out. Received: patience={training['patience']}"
        )
    return source


def _is_in_columns(config: Mapping[str, Any]) -> bool:
    """True for series in the columns of a file, False for those of the catalog.

    Raises:
        ValueError: for columns of the latter.
    """
    if "series" not in config or config["data"] not in catalog.LOADERS:
        return "series" in config
    changed = {k: v for k, v in config["series"].items() if v != COLUMNS["series"][k]}
    if changed:
        raise ValueError(
            "config.series is for the columns of a file, which config.data names. "
            f"Received: data={config['data']!r}, series={changed}"
        )
    return False


def build_model(config: Mapping[str, Any], data: Source | DataRecord) -> Any:
    """The compiled model of a configuration for data, or for a record of them.

    Schedules of the learning rate are over all epochs of the configuration.
    """
    start_faster()
    keywords = data.model_keywords()
    if config["model"].get("supervised_fraction") == 0:
        keywords.pop("labels")
    model = MODELS[config["model_name"]](
        **keywords, seed=config["seed"], **config["model"]
    )
    training, optimizer = config["training"], config["optimizer"]
    batch_size = training["batch_size"]
    steps = steps_per_epoch(data.train, batch_size)
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
        ),
        jit_compile=training.get("jit_compile", False),
    )
    if training["honesty"]:
        model.track_honesty()
    return model
