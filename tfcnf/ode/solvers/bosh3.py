"""The Bogacki-Shampine pair of orders 3 and 2.

P. Bogacki and L. F. Shampine, A 3(2) pair of Runge-Kutta formulas, Appl. Math. Lett. 2
(1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfcnf.ode.solver import RungeKutta
from tfcnf.ode.tableau import Tableau


@dataclass(frozen=True)
class Bosh3(RungeKutta):
    """Bogacki-Shampine 3(2): three evaluations a step, for loose tolerances.

    Between two steps the solution is the cubic Hermite polynomial, as they published
    it.

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=8, solver=tfcnf.Bosh3(), tol=1e-2)
    ```

    Args:
        max_num_steps: see `RungeKutta`.
        pi_control: see `RungeKutta`.
    """

    tableau: ClassVar[Tableau] = Tableau(
        order=3,
        embedded_order=2,
        c=(0, 1 / 2, 3 / 4, 1),
        a=((1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
        b=(2 / 9, 1 / 3, 4 / 9, 0),
        error=(2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
    )
