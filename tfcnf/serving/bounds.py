"""Bounds of an export: what one request may cost a server."""

from __future__ import annotations

from dataclasses import dataclass

from tfcnf.checks import check_positive_integer
from tfcnf.tolerances.policy import check_tolerance


@dataclass(frozen=True)
class Bounds:
    """Largest batch, tightest tolerance and most work of a request.

    A request beyond one of them is refused, or fails, in one line that names it. The
    time of the worst request that is answered is in proportion to the work.

    Args:
        max_batch: examples of a request; pairs times images where it interpolates.
        min_tol: tightest tolerance that may be asked for.
        max_work: examples times attempted steps of each solve, times 1 + P / 3 where
            log-determinants take P directions, see `tfcnf.types.Control`. Where an
            answer takes several passes, draws of noise for instance, it is that of all
            of them together.

    Raises:
        ValueError: for a bound that is not positive.
    """

    max_batch: int = 1000
    min_tol: float = 1e-6
    max_work: int = 40_000

    def __post_init__(self) -> None:
        check_positive_integer("max_batch", self.max_batch)
        check_positive_integer("max_work", self.max_work)
        check_tolerance("min_tol", self.min_tol)
