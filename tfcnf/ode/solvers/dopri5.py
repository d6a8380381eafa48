"""The Dormand-Prince pair of orders 5 and 4.

J. R. Dormand and P. J. Prince, A family of embedded Runge-Kutta formulae, J. Comput.
Appl. Math. 6 (1980); the state in the middle: L. F. Shampine, Some practical
Runge-Kutta formulas, Math. Comput. 46 (1986).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfcnf.ode.solver import RungeKutta
from tfcnf.ode.tableau import Tableau

B = (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
EMBEDDED = (1951 / 21600, 0, 22642 / 50085, 451 / 720, -12231 / 42400, 649 / 6300)


@dataclass(frozen=True)
class Dopri5(RungeKutta):
    """Dormand-Prince 5(4), the default and the papers' solver.

    Six evaluations a step; between two steps the solution is Shampine's quartic.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), solver=tfcnf.Dopri5())
    ```

    Args:
        max_num_steps: see `RungeKutta`.
        pi_control: see `RungeKutta`.
    """

    tableau: ClassVar[Tableau] = Tableau(
        order=5,
        embedded_order=4,
        c=(0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
        a=(
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
            B,
        ),
        b=(*B, 0),
        error=(*(low - high for low, high in zip(EMBEDDED, B, strict=True)), 1 / 60),
        mid=(
            6025192743 / 30085553152 / 2,
            0,
            51252292925 / 65400821598 / 2,
            -2691868925 / 45128329728 / 2,
            187940372067 / 1594534317056 / 2,
            -1776094331 / 19743644256 / 2,
            11237099 / 235043384 / 2,
        ),
    )
