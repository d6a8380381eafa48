"""The code z = [z_y1, ..., z_yL, z_u] (InfoCNF section 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfcnf.types import Tensor


class Partition(NamedTuple):
    """Sizes of the supervised codes and of the unsupervised rest.

    Attributes:
        supervised: dimensions of z_yi for each label factor.
        unsupervised: dimensions of z_u.
    """

    supervised: tuple[int, ...]
    unsupervised: int

    @classmethod
    def from_fraction(cls, dims: int, fraction: float, num_factors: int) -> Partition:
        """Gives each of the factors ``int(fraction * dims / num_factors)``.

        Fraction 0 is the unconditional CNF, 1/2 InfoCNF and 1 CCNF.

        Raises:
            ValueError: for a fraction outside [0, 1], or one that leaves a factor
                without a dimension.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(
                "supervised_fraction must be between 0 and 1. "
                f"Received: supervised_fraction={fraction!r}"
            )
        if fraction == 0:
            return cls((), dims)
        size = int(fraction * dims / num_factors)
        if size < 1:
            raise ValueError(
                f"supervised_fraction leaves no dimension of {dims} for each of "
                f"{num_factors} label factors. "
                f"Received: supervised_fraction={fraction!r}"
            )
        return cls((size,) * num_factors, dims - size * num_factors)

    @property
    def dims(self) -> int:
        """D, dimensions of the whole code."""
        return sum(self.supervised) + self.unsupervised

    def split(self, z: Tensor) -> tuple[list[Tensor], Tensor]:
        """``[B, D]`` to the list of z_yi and z_u."""
        *codes, rest = tf.split(z, [*self.supervised, self.unsupervised], -1)
        return codes, rest

    def merge(self, codes: Sequence[Tensor], rest: Tensor) -> Tensor:
        """The inverse of `split`."""
        return tf.concat([*codes, rest], -1)
