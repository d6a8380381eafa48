"""Scores of how unusual an example is to a model: likelihood and typicality."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfcnf.diagnostics.examples import ExampleMeasures
from tfcnf.files import write_json
from tfcnf.records import read_record

if TYPE_CHECKING:
    from tfcnf.data.source import Split
    from tfcnf.models.infocnf import InfoCNF
    from tfcnf.types import Tensor

FILE = "entropy.json"


def unusualness(log_prob: Tensor, entropy: float) -> dict[str, Tensor]:
    """Scores of each example; the larger, the less like the training data.

    A likelihood alone calls flat, simple images usual (Nalisnick et al. 2018,
    arXiv:1810.09136). Typicality asks whether the log-probability is like those of the
    training data (Nalisnick et al. 2019, arXiv:1906.02994, for one example at a time).

    Args:
        log_prob: log p(x) with the labels marginalised, ``[B]`` nats.
        entropy: mean of -log p(x) over the training data, nats.

    Returns:
        ``"likelihood"``: -log p(x), and ``"typicality"``: |-log p(x) - entropy|, each
        ``[B]`` nats.
    """
    return {"likelihood": -log_prob, "typicality": abs(log_prob + entropy)}


class Entropy(NamedTuple):
    """The entropy of a model's training data, estimated on its training split.

    Attributes:
        nats: mean of -log p(x), of the dequantized image for images.
        deviation_nats: standard deviation over the examples.
        standard_error_nats: of the mean.
        num_examples: examples averaged.
        tol: solver tolerance.
        step: optimizer steps that the model had taken.
    """

    nats: float
    deviation_nats: float
    standard_error_nats: float
    num_examples: int
    tol: float
    step: int


def training_entropy(
    model: InfoCNF, split: Split, tol: float, batch_size: int = 500
) -> Entropy:
    """Measures the entropy with one draw of dequantization and trace noise.

    Args:
        model: a compiled model.
        split: its training data.
        tol: solver tolerance.
        batch_size: examples solved at a time.

    Raises:
        ValueError: for a tolerance that is not positive.
    """
    log_prob = ExampleMeasures(model, tol, batch_size)(split)["log_prob"]
    nats: np.ndarray = -log_prob.astype(np.float64)
    deviation = float(nats.std(ddof=1)) if len(nats) > 1 else 0.0
    return Entropy(
        float(nats.mean()),
        deviation,
        deviation / math.sqrt(len(nats)),
        len(nats),
        tol,
        _step(model),
    )


FIELDS = typing.get_type_hints(Entropy)


def kept_entropy(
    workdir: str,
    model: InfoCNF,
    *,
    read: Callable[[], Split | None],
    tol: float,
    batch_size: int = 500,
) -> Entropy | None:
    """The entropy of a run, measured once and kept in its ``entropy.json``.

    It is measured again where the file is of another step or another tolerance.

    Args:
        workdir: run folder.
        model: the run's model.
        read: reads its training data where they are needed; gives None without any.
        tol: solver tolerance.
        batch_size: examples solved at a time.

    Returns:
        None where it is not kept and there are no data.
    """
    path = Path(workdir) / FILE
    try:
        record = read_record(path, FIELDS)
        kept = Entropy(**{name: record[name] for name in FIELDS})
    except (OSError, ValueError):
        kept = None
    if kept is None or (kept.step, kept.tol) != (_step(model), tol):
        split = read()
        if split is None:
            return None
        kept = training_entropy(model, split, tol, batch_size)
        write_json(path, kept._asdict())
    return kept


def _step(model: InfoCNF) -> int:
    return int(model.optimizer.iterations.numpy())
