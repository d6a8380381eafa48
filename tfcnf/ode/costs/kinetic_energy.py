"""Kinetic energy of a field along its solutions."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from tfcnf.ode.cost import Cost, Evaluation
from tfcnf.types import Tensor


@dataclass(frozen=True)
class KineticEnergy(Cost, key="kinetic_energy"):
    """Integral of |f(t, z)|^2 dt, in squares of z's unit over the unit of time.

    Without the half of mechanics, as in Finlay et al. 2020 (arXiv 2002.02798, Eq. 7).
    Among the flows that turn one density into another the one of least energy goes
    along straight lines at constant speed, which one step of a solver follows.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), costs=[tfcnf.KineticEnergy()])
    energy = layer(tf.ones([4, 2])).costs["kinetic_energy"]
    ```
    """

    def integrand(self, at: Evaluation) -> Tensor:
        """|f|^2, summed over the dimensions."""
        return tf.reduce_sum(tf.square(at.dz), range(1, len(at.dz.shape)))
