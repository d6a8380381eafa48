"""CNF: the unconditional continuous normalizing flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfcnf.models.infocnf import InfoCNF


@keras.saving.register_keras_serializable("tfcnf")
class CNF(InfoCNF):
    """CNF (FFJORD): `InfoCNF` without supervised code; its loss is bits/dim.

    Args:
        event_shape: see `InfoCNF`.
        num_classes: see `InfoCNF`; labels are accepted and not looked at.
        **options: the other keywords of `InfoCNF`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        num_classes: int | Sequence[int] = 10,
        supervised_fraction: float = 0.0,
        **options: Any,
    ):
        if supervised_fraction != 0:
            raise ValueError(
                "CNF has no supervised code; use InfoCNF or CCNF. "
                f"Received: supervised_fraction={supervised_fraction}"
            )
        super().__init__(event_shape, num_classes, 0.0, **options)
