"""From a configuration to its data and its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfcnf.data import catalog
from tfcnf.data.labels import hide_labels
from tfcnf.data.pipeline import steps_per_epoch
from tfcnf.data.record import DataRecord
from tfcnf.data.series import SeriesSource
from tfcnf.data.spirals import with_passes
from tfcnf.runs.config import MODELS
from tfcnf.studies import Source
from tfcnf.training.schedules import learning_rate
from tfcnf.training.strategy import start_faster


def read_source(config: Mapping[str, Any], data_dir: str | None) -> Source:
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


def hide_labels_of(config: Mapping[str, Any], source: Source) -> Source:
    """What the training sees of the data; evaluations see all labels."""
    if isinstance(source, SeriesSource):
        return source
    labels, part = (config["training"][key] for key in ("labels", "labelled_part"))
    return hide_labels(source, labels, part, config["seed"])


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
        )
    )
    return model
