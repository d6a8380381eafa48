"""Requests to a SavedModel, whose failures name the examples that were asked about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfcnf.checks import asserted
from tfcnf.models.failures import FAILURES, named_failures


@contextmanager
def requested(where: str) -> Iterator[None]:
    """Puts ``where`` in front of the message of a request that fails.

    Raises:
        ValueError: where it is refused.
        SolverError: where a solve fails.
    """
    try:
        with named_failures():
            yield
    except tf.errors.InvalidArgumentError as failure:
        raise ValueError(f"{where}: {asserted(failure)}") from None
    except (ValueError, *FAILURES) as failure:
        raise type(failure)(f"{where}: {failure}") from None
