"""Diagnostics of trained models: arrays, measures and pictures.

Each file defines a `Diagnostic`, which can be imported from here by the name of its
class.
"""

from typing import Any

from tfcnf.diagnostics.base import Diagnostic
from tfcnf.registry import import_modules

import_modules(__name__, __path__)


def __getattr__(name: str) -> Any:
    for diagnostic in Diagnostic.known.values():
        if diagnostic.__name__ == name:
            return diagnostic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
