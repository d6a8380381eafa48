"""The pair of orders 5 and 4 of Tsitouras.

Ch. Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column
simplifying assumption, Comput. Math. Appl. 62 (2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfcnf.ode.solver import RungeKutta
from tfcnf.ode.tableau import Tableau

B = (
    0.09646076681806523,
    0.01,
    0.4798896504144996,
    1.379008574103742,
    -3.290069515436081,
    2.324710524099774,
)


@dataclass(frozen=True)
class Tsit5(RungeKutta):
    """Tsitouras 5(4): as many evaluations a step as `Dopri5`, a smaller error.

    Between two steps the solution is the quartic that he published, given here by its
    value in the middle.

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=8, solver="tsit5")
    ```

    Args:
        max_num_steps: see `RungeKutta`.
        pi_control: see `RungeKutta`.
    """

    tableau: ClassVar[Tableau] = Tableau(
        order=5,
        embedded_order=4,
        c=(0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1),
        a=(
            (0.161,),
            (-0.008480655492356989, 0.335480655492357),
            (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
            (
                *(5.325864828439257, -11.748883564062828),
                *(7.4955393428898365, -0.09249506636175525),
            ),
            (
                *(5.86145544294642, -12.92096931784711, 8.159367898576159),
                *(-0.071584973281401, -0.028269050394068383),
            ),
            B,
        ),
        b=(*B, 0),
        error=(
            *(-0.001780011052225777, -0.0008164344596567469, 0.007880878010261995),
            *(-0.1447110071732629, 0.5823571654525552, -0.4580821059291869),
            1 / 66,
        ),
        mid=(
            *(0.10741235230100377, 0.01135625, 0.39560903056045305),
            *(-0.34475214352593553, 1.3161853649581645, -1.0170608542936508),
            1 / 32,
        ),
    )
