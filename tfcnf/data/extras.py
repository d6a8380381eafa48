"""Packages that the library itself does without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtra(ImportError):
    """A package of an extra that is not installed."""


@contextmanager
def train_extra(purpose: str, extra: str = "train") -> Iterator[None]:
    """Says how to install a package of an extra that is not there.

    Args:
        purpose: named in the message; what the package is needed for.
        extra: that has the package.

    Raises:
        MissingExtra: for a package that is missing.
    """
    try:
        yield
    except ModuleNotFoundError as failure:
        raise MissingExtra(
            f"{purpose} needs a package that is not installed; install it with "
            f'pip install "tfcnf[{extra}]". Received: no module {failure.name}'
        ) from failure
