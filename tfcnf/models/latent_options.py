"""What the keywords of a latent ODE may be."""

from __future__ import annotations

import math
from typing import Any

from tfcnf.checks import check_choice

PARTITIONS = ("code", "head", "none")


def check_options(options: dict[str, Any]) -> None:
    """Checks the keywords of `LatentODE`.

    Raises:
        ValueError: for one that is out of range, or does not fit the others.
    """
    check_choice("partition", options["partition"], PARTITIONS)
    for name in ("obs_dims", "latent_dims", "code_dims", "encoder_units"):
        if not isinstance(options[name], int) or options[name] < 1:
            raise ValueError(
                f"{name} must be a positive integer. Received: {name}={options[name]!r}"
            )
    if not options["sigma"] > 0:
        raise ValueError(
            f"sigma must be positive. Received: sigma={options['sigma']!r}"
        )
    for name in ("beta", "kl_warmup_steps"):
        if not options[name] >= 0:
            raise ValueError(
                f"{name} must not be negative. Received: {name}={options[name]!r}"
            )
    if options["partition"] != "none":
        _check_labels(options)


def _check_labels(options: dict[str, Any]) -> None:
    labels = len(options["label_kinds"])
    for name in ("label_mean", "label_scale", "label_weights"):
        if len(options[name]) != labels or not labels:
            raise ValueError(
                f"{name} must have an entry for each of the labels, and there must be "
                f"labels. Received: {name}={options[name]}, {labels} labels"
            )
        if not all(map(math.isfinite, options[name])):
            raise ValueError(f"{name} must be finite. Received: {name}={options[name]}")
    if min(options["label_scale"]) <= 0:
        raise ValueError(
            "label_scale must be positive; a label that is the same for all training "
            "series cannot be learned. "
            f"Received: label_scale={options['label_scale']}"
        )
    if (
        options["partition"] == "code"
        and options["code_dims"] * labels > options["latent_dims"]
    ):
        raise ValueError(
            "latent_dims must hold the codes of all labels. Received: "
            f"latent_dims={options['latent_dims']}, {labels} codes of "
            f"{options['code_dims']}"
        )
