"""The measures of a model on a split of its data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tfcnf.checks import check_choice
from tfcnf.tolerances.policy import check_tolerance

SPLITS = ("train", "validation", "test")


class SplitEvaluator:
    """Measures a model; the same in training and in ``launch/evaluate.py``.

    A subclass defines `scores`.

    Args:
        model: the model.
        source: data to evaluate on.
        batch_size: examples solved at a time.
        split: ``"test"``, ``"validation"`` or ``"train"``.

    Raises:
        ValueError: for an unknown split, or a validation split that is not there.
    """

    def __init__(
        self, model: Any, source: Any, batch_size: int = 500, split: str = "test"
    ):
        check_choice("split", split, SPLITS)
        self.model, self.source, self.batch_size = model, source, batch_size
        self.split_name, self.split = split, getattr(source, split)
        if self.split is None:
            raise ValueError(
                f"there is no split of this name in {source.name}; "
                "config.training.validation holds a part of the training split out. "
                f"Received: split={split!r}"
            )

    def run(
        self, tol: float, draws: int = 1, backward: bool = False
    ) -> Iterator[tuple[str, float]]:
        """Yields (name, value) for one tolerance.

        Args:
            tol: solver tolerance.
            draws: draws of noise that are averaged.
            backward: also measure what a closing evaluation alone has.

        Yields:
            What `scores` yields, and ``tolerance``, ``draws``, ``num_examples``,
            ``num_parameters``.

        Raises:
            ValueError: for a tolerance or number of draws that is not positive.
        """
        tol = check_tolerance("tol", tol)
        if draws < 1:
            raise ValueError(f"draws must be positive. Received: draws={draws}")
        yield from self.scores(tol, draws, backward)
        yield "tolerance", tol
        yield "draws", draws
        yield "num_examples", len(self.split)
        weights = self.model.trainable_variables
        yield "num_parameters", sum(math.prod(w.shape) for w in weights)

    def scores(
        self, tol: float, draws: int, backward: bool
    ) -> Iterator[tuple[str, float]]:
        """The measures of this kind of data, see `run`."""
        raise NotImplementedError
