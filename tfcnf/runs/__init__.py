"""Runs: a configuration, its folder, its training, and what is done with it after.

``train(config, workdir)`` trains, and ``Run(workdir)`` is what a training left.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfcnf.runs.experiment import train
    from tfcnf.runs.run import Run

__all__ = ["Run", "train"]
_PLACES = {"Run": "run", "train": "experiment"}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: a configuration alone needs neither."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
