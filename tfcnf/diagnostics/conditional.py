"""Codes, samples and likelihoods of a flow, given the labels and context of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tfcnf.data.source import Split
    from tfcnf.models.infocnf import InfoCNF

BATCH = 1000  # examples solved at a time


def first(split: Split, most: int | None) -> Split:
    """The first examples of a split, at most so many; all if None."""
    if most is None or len(split) <= most:
        return split
    return split.take(np.arange(most))


def has_vectors(data: object) -> bool:
    """True where a data source is one of vectors."""
    from tfcnf.data.source import DataSource

    return isinstance(data, DataSource) and len(data.event_shape) == 1


def given(split: Split) -> dict[str, Any]:
    """The keyword ``context`` of a split that has one."""
    return {} if split.context is None else {"context": split.context}


def asked(model: InfoCNF, y: np.ndarray) -> Any:
    """Labels of rows as `sample` takes them, or the number of rows without labels."""
    return y if model.labels else len(y)


def standard_codes(model: InfoCNF, split: Split, tol: float) -> np.ndarray:
    """Codes of examples in units of their distribution, ``[n, D]``.

    They are standard normal if p(x | y, context) is right: z_u is, and z_y is divided
    by the deviation of p(z_y | y) after its mean was taken away.

    Args:
        model: a flow.
        split: the examples.
        tol: solver tolerance.
    """
    z = model.encode(split.x, tol, batch_size=BATCH, **given(split)).numpy()
    code = model.prior.distribution(split.y.astype(model.compute_dtype))
    return (z - code.loc.numpy()) / code.scale.diag.numpy()


def draw(
    model: InfoCNF, split: Split, tol: float, *, count: int = 1, seed: int = 0
) -> np.ndarray:
    """Samples of p(x | y, context) for each example, ``[count, n, *event_shape]``.

    Args:
        model: a flow.
        split: the examples.
        tol: solver tolerance.
        count: samples for each example.
        seed: the same seed gives the same samples.
    """
    drawn = [
        model.sample(
            asked(model, split.y), seed + i, tol=tol, batch_size=BATCH, **given(split)
        ).numpy()
        for i in range(count)
    ]
    return np.stack(drawn)


def nats(model: InfoCNF, split: Split, tol: float, x: Any = None) -> np.ndarray:
    """-log p(x | y, context) of each example, ``[n]`` nats.

    Args:
        model: a flow.
        split: the examples.
        tol: solver tolerance.
        x: others in their place, given the same.
    """
    x = split.x if x is None else x
    found = model.log_prob(x, split.y, tol=tol, batch_size=BATCH, **given(split))
    return -found.numpy().astype(np.float64)
