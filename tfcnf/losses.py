"""The unit of likelihoods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcnf.types import Tensor


def bits_per_dim(log_prob: Tensor, dims: int, num_levels: int = 1) -> Tensor:
    """Negative log-likelihood in bits a dimension.

    Args:
        log_prob: log-density of u in [0, 1]^D, ``[B]`` nats.
        dims: D.
        num_levels: grey levels that [0, 1] was divided into; 1 for data that was
            never quantized, where the figure is that of a density.

    Returns:
        ``(-log_prob / D + ln num_levels) / ln 2``, ``[B]``.
    """
    return (math.log(num_levels) - log_prob / dims) / math.log(2.0)
