"""Solvers as records: a pair of Runge-Kutta formulas and the options of its control.

A new pair is a file in `tfcnf.ode.solvers` (or anywhere else) with a subclass of
`RungeKutta` that has a `tableau`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tfcnf.checks import check_choice, check_flag, check_positive_integer
from tfcnf.ode.control import NORMS, Integrator
from tfcnf.ode.tableau import Tableau
from tfcnf.registry import Record
from tfcnf.types import Tensor

FIRST_STEPS = ("guess", "whole")


@dataclass(frozen=True)
class Solver(Record, kind="solver"):
    """An adaptive solver with its options; a tolerance makes an integrator of it.

    ```python
    solver = tfcnf.Solver.get("tsit5:max_num_steps=500")
    assert solver == tfcnf.Tsit5(max_num_steps=500)
    ```

    Args:
        max_num_steps: bound on attempted steps of a solve.

    Attributes:
        keeps_steps: its accepted steps can be differentiated, and the solution between
            them be interpolated.
        scales_adjoints: adjoints are scaled to unit size for the backward solve.
        tests_log_det: the backward solve takes the log-determinant along, in its error
            test.

    Raises:
        ValueError: for an option out of range.
    """

    keeps_steps: ClassVar[bool] = False
    scales_adjoints: ClassVar[bool] = False
    tests_log_det: ClassVar[bool] = False
    max_num_steps: int = 1000

    def __post_init__(self) -> None:
        check_positive_integer("max_num_steps", self.max_num_steps)

    def integrator(self, tol: Tensor) -> Any:
        """An object with the `integrate` of `tfcnf.ode.control.Integrator`."""
        raise NotImplementedError


@dataclass(frozen=True)
class RungeKutta(Solver, key=None):
    """A Runge-Kutta pair with the package's control of the step size.

    ```python
    @dataclass(frozen=True)
    class Heun(tfcnf.RungeKutta, key=None):
        tableau = tfcnf.Tableau(
            order=2,
            embedded_order=1,
            c=(0, 1, 1),
            a=((1,), (1 / 2, 1 / 2)),
            b=(1 / 2, 1 / 2, 0),
            error=(1 / 2, -1 / 2, 0),
        )
    ```

    Args:
        max_num_steps: bound on attempted steps of a solve.
        pi_control: a step size also looks at the error of the step before.
        norm: of the error of a step: ``"largest"``, the largest root mean square over
            the tensors of the state, as the authors' torchdiffeq has it, or
            ``"joint"``, the root mean square over all numbers of all tensors, as
            TensorFlow Probability and later torchdiffeq have it. The log-determinant
            is one tensor of the two, and one number among the D + 1 of an example.
        first_step: that is tried: ``"guess"``, Hairer's automatic choice, which takes
            an evaluation and is cautious, or ``"whole"``, the whole interval.

    Attributes:
        tableau: coefficients of the pair.
    """

    tableau: ClassVar[Tableau]
    keeps_steps: ClassVar[bool] = True
    scales_adjoints: ClassVar[bool] = True
    pi_control: bool = False
    norm: str = "largest"
    first_step: str = "guess"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("pi_control", self.pi_control)
        check_choice("norm", self.norm, tuple(NORMS))
        check_choice("first_step", self.first_step, FIRST_STEPS)

    def integrator(self, tol: Tensor) -> Integrator:
        """The integrator to this tolerance."""
        return Integrator(self, tol)

    @property
    def begun(self) -> int:
        """Evaluations before the first step."""
        return 1 if self.first_step == "whole" else 2

    @property
    def exponents(self) -> tuple[float, float]:
        """Exponents of the error ratios of this and of the last accepted step.

        Hairer, Norsett and Wanner, Solving ODEs II, IV.2.
        """
        before = self.tableau.exponent / 5 if self.pi_control else 0.0
        return self.tableau.exponent - 0.75 * before, before


def check_keeps_steps(purpose: str, solver: Solver) -> None:
    """Raises a ValueError for a solver whose steps are not kept.

    Args:
        purpose: named in the message.
        solver: the solver.
    """
    if not solver.keeps_steps:
        able = ", ".join(key for key, made in Solver.known.items() if made.keeps_steps)
        raise ValueError(
            f"{purpose} needs a solver that keeps its steps ({able}). "
            f"Received: solver={str(solver)!r}"
        )
