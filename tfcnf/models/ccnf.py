"""CCNF: the papers' baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfcnf.models.infocnf import InfoCNF


@keras.saving.register_keras_serializable("tfcnf")
class CCNF(InfoCNF):
    """CCNF (C-FFJORD): `InfoCNF` with the whole code supervised (InfoCNF Eq. 3).

    ```python
    model = tfcnf.CCNF((2,), labels=3, hidden_layers=1, filters=8)
    ```

    Args:
        event_shape: see `InfoCNF`.
        labels: see `InfoCNF`.
        **options: the other keywords of `InfoCNF`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        labels: int | Sequence[Any] = 10,
        supervised_fraction: float = 1.0,
        **options: Any,
    ):
        if supervised_fraction != 1:
            raise ValueError(
                "CCNF supervises the whole code; use InfoCNF for a part of it. "
                f"Received: supervised_fraction={supervised_fraction}"
            )
        super().__init__(event_shape, labels, supervised_fraction=1.0, **options)
