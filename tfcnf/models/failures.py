"""Failures of a graph as the errors that they name."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import tensorflow as tf

from tfcnf.checks import asserted
from tfcnf.models.finite import DivergenceError
from tfcnf.ode.status import SolverError

FAILURES = (SolverError, DivergenceError)
NAMED = {error.__name__: error for error in (*FAILURES, ValueError)}


class RunsFailed(RuntimeError):
    """Some of many runs failed; the others were done."""


@contextmanager
def named_failures() -> Iterator[None]:
    """Makes the error that it names of a failed assertion; also a decorator.

    Raises:
        SolverError: where an ODE solve failed, with the layer and advice.
        DivergenceError: where the loss or its gradient is not finite.
        ValueError: where an input was refused.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as failure:
        name, _, text = asserted(failure).partition(": ")
        if name not in NAMED:
            raise
        raise NAMED[name](text) from None


class NamesFailures:
    """Lets the public methods of its subclasses raise the errors of `named_failures`.

    ``call`` is left alone: around its errors Keras puts a frame, and so they are named
    where they leave ``__call__``.

    Attributes:
        named: further methods that a subclass takes over from its other bases.
    """

    named: ClassVar[Sequence[str]] = ()

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        own = {k: v for k, v in vars(cls).items() if inspect.isfunction(v)}
        taken = {name: getattr(cls, name) for name in vars(cls).get("named", ())}
        for name, method in (own | taken).items():
            if name in taken or not (name.startswith("_") or name == "call"):
                setattr(cls, name, named_failures()(method))


def tell_once(what: str) -> Callable[[Callable[[], Any], Any], Any]:
    """A function ``(measure, otherwise)`` that goes on where a solve fails.

    It returns what ``measure()`` gives, or ``otherwise`` where that fails, which is
    told the first time alone.

    Args:
        what: beginning of the message: what failed, and what is done instead.
    """
    told: list[Exception] = []

    def attempt(measure: Callable[[], Any], otherwise: Any) -> Any:
        try:
            with named_failures():
                return measure()
        except FAILURES as failure:
            if not told:
                told.append(failure)
                logging.warning("%s (said once): %s", what, failure)
            return otherwise

    return attempt
