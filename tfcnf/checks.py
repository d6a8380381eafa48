"""Checks of arguments that every room makes."""

from __future__ import annotations

import numbers
import re
from collections.abc import Iterable
from typing import Any


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raises a ValueError that lists the choices if the value is none of them."""
    known = tuple(known)
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(known)}. Received: {name}={value!r}"
        )


def is_integer(value: Any) -> bool:
    """True for an integer of Python or NumPy; booleans are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def plain_integer(value: Any) -> Any:
    """An integer of NumPy as one of Python, anything else as it is."""
    return int(value) if is_integer(value) else value


def check_positive_integer(name: str, value: Any) -> None:
    """Raises a ValueError for what is not an integer above 0."""
    if not is_integer(value) or value < 1:
        raise ValueError(
            f"{name} must be a positive integer. Received: {name}={value!r}"
        )


def check_count(name: str, value: Any) -> None:
    """Raises a ValueError for what is not an integer of at least 0."""
    if not is_integer(value) or value < 0:
        raise ValueError(
            f"{name} must be an integer, not negative. Received: {name}={value!r}"
        )


def check_flag(name: str, value: Any) -> None:
    """Raises a ValueError for what is not True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False. Received: {name}={value!r}")


def unframed(text: str) -> str:
    """An error's message without Keras' frame around that of a layer's call."""
    if "\x1b[1m" not in text:
        return text
    return text.partition("\x1b[1m")[2].partition("\x1b[0m")[0]


def asserted(failure: Exception) -> str:
    """Message of an assertion of a graph; the first line of another failure."""
    # called outside of a function, an operation puts its own name behind
    found = re.search(
        r"assertion failed: \[(.*?)\](?: \[Op:\w+\].*)?$", str(failure), re.M
    )
    return found[1].replace("] [", "") if found else str(failure).partition("\n")[0]


def check_level(level: Any) -> None:
    """Raises a ValueError unless the probability of an interval is in (0, 1)."""
    if not isinstance(level, numbers.Real) or not 0 < float(level) < 1:
        raise ValueError(f"level must be between 0 and 1. Received: level={level!r}")
