"""Conditional continuous normalizing flows in TensorFlow and Keras.

The public names are those of `tfcnf.public`; what is not among them may change. They
are imported when the first is asked for, or with Keras, so that it can load saved
models: reports are drawn without TensorFlow.
"""

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from tfcnf.public import *  # noqa: F403
    from tfcnf.public import __all__ as __all__


def __getattr__(name: str) -> Any:
    is_module = importlib.util.find_spec(f"{__name__}.{name}") is not None
    if is_module or (name.startswith("__") and name != "__all__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("tfcnf.public"), name)


def __dir__() -> list[str]:
    return [*globals(), *importlib.import_module("tfcnf.public").__all__]


def _register(keras: Any) -> None:
    """Imports the public names, unless one of our modules is being imported."""
    ours = [m for name, m in [*sys.modules.items()] if name.startswith("tfcnf.")]
    if not any(getattr(m.__spec__, "_initializing", False) for m in ours):
        importlib.import_module("tfcnf.public")


register_post_import_hook(_register, "keras")
