"""The path of a latent ODE's code through time, as a layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfcnf.ode.autonomous import AutonomousDynamics
from tfcnf.ode.solver import Solver
from tfcnf.ode.trajectory import solve_on_grid
from tfcnf.precision import FullPrecision
from tfcnf.tolerances.policy import check_tolerance
from tfcnf.types import Control, FlowOutput, Tensor


class LatentPath(FullPrecision):
    """z(t) at many times from z(0), by one solve; `num_solves` is 1.

    Attributes:
        policies: of tolerances; none, its tolerance is a constant.

    Args:
        dynamics: the vector field.
        tol: tolerance of the solve.
        solver: record of the solver, one that keeps its steps.
    """

    num_solves = 1
    policies: tuple[keras.layers.Layer, ...] = ()

    def __init__(
        self,
        dynamics: AutonomousDynamics,
        tol: float,
        solver: Solver,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.dynamics, self.solver = dynamics, solver
        self.tol = check_tolerance("tol", tol)

    def call(
        self, z: Tensor, times: Tensor, control: Control, direction: int = 1
    ) -> tuple[Tensor, FlowOutput]:
        """Codes ``[B, D]`` to paths ``[B, T, D]`` and what the solve cost."""
        tol = tf.constant(self.tol, z.dtype) if control.tol is None else control.tol
        tol = tf.reshape(tf.cast(tol, z.dtype), [])
        probe = control.nfe_backward_probe
        field, theta = self.dynamics.prepare()
        path, stats = solve_on_grid(
            field,
            theta,
            z=z,
            times=times,
            tol=tol,
            direction=direction,
            solver=self.solver,
            nfe_backward_probe=None if probe is None else probe[0],
            name=self.name,
        )
        nfe, none = tf.cast(stats.nfe, z.dtype)[None], tf.zeros([1], z.dtype)
        return path, FlowOutput(z, tf.zeros_like(z[:, 0]), nfe, tol[None], none)
