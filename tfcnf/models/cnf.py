"""CNF: the unconditional continuous normalizing flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfcnf.models.infocnf import InfoCNF


@keras.saving.register_keras_serializable("tfcnf")
class CNF(InfoCNF):
    """CNF (FFJORD): `InfoCNF` without labels; its loss is bits/dim.

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=16)
    x = model.sample(5)
    log_p = model.log_prob(x)
    ```

    Args:
        event_shape: see `InfoCNF`.
        **options: the keywords of `InfoCNF` that are not about labels.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        labels: Sequence[Any] = (),
        supervised_fraction: float = 0.0,
        **options: Any,
    ):
        if labels or supervised_fraction != 0:
            raise ValueError(
                "CNF has no labels; use InfoCNF or CCNF. "
                f"Received: labels={labels}, supervised_fraction={supervised_fraction}"
            )
        super().__init__(event_shape, (), supervised_fraction=0.0, **options)
