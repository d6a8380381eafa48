"""Checks of arguments that every room makes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raises a ValueError that lists the choices if the value is none of them."""
    known = tuple(known)
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(known)}. Received: {name}={value!r}"
        )
