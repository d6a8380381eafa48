"""Conditional continuous normalizing flows in TensorFlow and Keras.

The public names are those of `tfcnf.public`; what is not among them may change. They
are imported at once where Keras is there already, so that it can load saved models, and
otherwise when the first is asked for: reports are drawn without TensorFlow.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING or sys.modules.get("keras"):
    from tfcnf.public import *  # noqa: F403
    from tfcnf.public import __all__ as __all__


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("tfcnf.public"), name)
