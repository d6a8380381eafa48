"""Checks of the keywords of a latent ODE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tfcnf.checks import check_choice, check_count, check_positive_integer
from tfcnf.data.series_units import SeriesUnits
from tfcnf.labels.base import Label
from tfcnf.models.encoders.encoder import Encoder
from tfcnf.ode.solver import Solver, check_keeps_steps

PARTITIONS = ("code", "head", "none")
MAPS = ("linear", "identity")


def check_options(options: dict[str, Any], labels: Sequence[Label]) -> None:
    """Checks the keywords of `LatentODE`, which has these labels.

    Raises:
        ValueError: for one that is out of range, or does not fit the others.
    """
    check_choice("partition", options["partition"], PARTITIONS)
    Encoder.parse(options["encoder"])
    for name in ("obs_dims", "latent_dims", "code_dims"):
        check_positive_integer(name, options[name])
    for name in ("sigma", "beta", "consistency", "random_start"):
        if not isinstance(options[name], (int, float)):
            raise ValueError(
                f"{name} must be a number. Received: {name}={options[name]!r}"
            )
    if not options["sigma"] > 0:
        raise ValueError(
            f"sigma must be positive. Received: sigma={options['sigma']!r}"
        )
    for name in ("kl_warmup_steps", "refine", "decoder_units"):
        check_count(name, options[name])
    check_keeps_steps("a latent ODE", Solver.get(options["solver"]))
    for name in ("beta", "consistency"):
        if not options[name] >= 0:
            raise ValueError(
                f"{name} must not be negative. Received: {name}={options[name]!r}"
            )
    if not 0 <= options["random_start"] <= 1:
        raise ValueError(
            "random_start must be between 0 and 1. "
            f"Received: random_start={options['random_start']!r}"
        )
    if options["consistency"] and not options["random_start"]:
        raise ValueError(
            "consistency compares codes at random points and needs random_start. "
            f"Received: consistency={options['consistency']!r}, random_start=0"
        )
    if options["partition"] != "none":
        _check_labels(options, labels)


def check_units(units: SeriesUnits | None, obs_dims: int) -> None:
    """Checks that units are of as many dimensions as an observation has.

    Raises:
        ValueError: for others.
    """
    if units is not None and len(units.mean) != obs_dims:
        raise ValueError(
            f"units must be of the {obs_dims} dimensions of an observation. "
            f"Received: units={units}"
        )


def _check_labels(options: dict[str, Any], labels: Sequence[Label]) -> None:
    check_choice("label_map", options["label_map"], MAPS)
    weights, count = options["label_weights"], len(labels)
    if len(weights) != count or not count:
        raise ValueError(
            "label_weights must have one entry, or one for each of the labels; without "
            "labels there is partition='none'. "
            f"Received: label_weights={weights}, {count} labels"
        )
    if not all(map(math.isfinite, weights)):
        raise ValueError(
            f"label_weights must be finite. Received: label_weights={weights}"
        )
    if options["partition"] != "code":
        return
    code_dims = options["code_dims"]
    if code_dims * count > options["latent_dims"]:
        raise ValueError(
            "latent_dims must hold the codes of all labels. Received: "
            f"latent_dims={options['latent_dims']}, {count} codes of {code_dims}"
        )
    if options["label_map"] == "identity":
        needed = max(label.num_means for label in labels)
        if needed > code_dims:
            raise ValueError(
                f"label_map='identity' needs code_dims of at least {needed}, one for "
                f"each number of a label. Received: code_dims={code_dims}"
            )
