"""The continuous normalizing flow layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.flows.base import FlowLayer, Policies
from tfcnf.gates.policy import FixedTolerance, check_tolerance
from tfcnf.ode.adjoint import GRADIENTS, Method, solve
from tfcnf.ode.conventions import SOLVERS
from tfcnf.ode.divergence import TRACES, Probes, draw_probes
from tfcnf.ode.dynamics import Dynamics
from tfcnf.seeds import next_seed
from tfcnf.types import Control, FlowOutput, Tensor


@keras.saving.register_keras_serializable("tfcnf")
class CNFLayer(FlowLayer):
    """z(1) from z(0) by dz/dt = f(t, z), and its log-determinant (InfoCNF Eq. 2).

    By default gradients come from the adjoint method (Chen et al. 2018): memory does
    not grow with the number of steps.

    Args:
        dynamics: the vector field f.
        policy: tolerance policy of the forward solve; fixed 1e-5 by default.
        adjoint_tol: tolerance of the backward solve, a number or a policy; the
            forward solve's if None.
        trace: ``"rademacher"`` or ``"gaussian"`` probes (Hutchinson) or
            ``"exact"``, which costs D directional derivatives, or fewer where the
            dynamics have a `reach`.
        num_probes: random probes averaged in a Hutchinson trace.
        max_num_steps: bound on attempted steps of a solve.
        gradient: ``"adjoint"``, or the exact gradient of the discrete solution by
            ``"checkpoint"`` (keeps each step's state) or ``"store"`` (keeps all
            activations; fastest and largest), see `tfcnf.ode.adjoint`.
        solver: ``"tfcnf"``, or for comparison ``"tfp"`` (as TFP comes) or
            ``"reference"`` (the authors' code), see `tfcnf.ode.conventions`.
        pi_control: whether a step size also looks at the error of the step before.
        seed: integer seed of the trace noise.

    Raises:
        ValueError: for an unknown choice or a tolerance that is not positive.
        tf.errors.InvalidArgumentError: ``SolverError: ...`` from `call`, where a
            solve does not reach its end, with advice.
    """

    num_solves = 1

    def __init__(
        self,
        dynamics: Dynamics,
        policy: keras.layers.Layer | None = None,
        adjoint_tol: float | keras.layers.Layer | None = None,
        trace: str = "rademacher",
        num_probes: int = 1,
        max_num_steps: int = 1000,
        gradient: str = "adjoint",
        solver: str = "tfcnf",
        pi_control: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, choice, known in [
            ("trace", trace, TRACES),
            ("gradient", gradient, GRADIENTS),
            ("solver", solver, SOLVERS),
        ]:
            check_choice(name, choice, known)
        if gradient != "adjoint" and solver != "tfcnf":
            raise ValueError(
                f"gradient={gradient!r} needs the solver 'tfcnf'. "
                f"Received: solver={solver!r}"
            )
        for name, value in [
            ("num_probes", num_probes),
            ("max_num_steps", max_num_steps),
        ]:
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{name} must be a positive integer. Received: {name}={value!r}"
                )
        if adjoint_tol is not None and not isinstance(adjoint_tol, keras.layers.Layer):
            adjoint_tol = check_tolerance("adjoint_tol", adjoint_tol)
            adjoint_tol = FixedTolerance(adjoint_tol, dtype=self.dtype_policy)
        self.dynamics = dynamics
        self.policy = policy or FixedTolerance(dtype=self.dtype_policy)
        self.adjoint_tol, self.trace, self.num_probes = adjoint_tol, trace, num_probes
        self.max_num_steps, self.seed = max_num_steps, seed
        self.gradient, self.solver, self.pi_control = gradient, solver, pi_control
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_jit = False

    def build(self, shape: Sequence[int | None]) -> None:
        """Creates the weights for states of this shape."""
        for part in (self.dynamics, self.policy, self.adjoint_tol):
            if part is not None and not part.built:
                part.build(shape)
        self.built = True

    @property
    def policies(self) -> list[Policies]:
        """The policy of the forward solve and, if it has its own, of the backward."""
        return [(self.policy, self.adjoint_tol)]

    def compute_output_shape(self, shape: Any) -> Any:
        """The shape is unchanged."""
        return shape

    def call(
        self,
        x: Tensor,
        inverse: bool = False,
        control: Control | None = None,
        training: bool = False,
    ) -> FlowOutput:
        """Moves ``[B, ...]`` from t = 0 to 1, or back with ``inverse``."""
        control = control or Control()
        x = tf.cast(x, self.compute_dtype)
        tol, adjoint_tol, log_pi = self._tolerances(x, control, training)
        probe = control.nfe_backward_probe
        probe = tf.zeros([], x.dtype) if probe is None else _scalar(probe, x.dtype)
        seed = control.seed
        seed = next_seed(self.seed_generator) if seed is None else seed
        field, theta = self.dynamics.prepare()
        start = 1.0 if inverse else 0.0
        z, log_det, stats = solve(
            field,
            theta,
            x,
            self._probes(x, control, seed),
            tol,
            adjoint_tol,
            probe,
            Method(
                start,
                1.0 - start,
                self.max_num_steps,
                self.gradient,
                self.solver,
                self.pi_control,
            ),
            self.name,
        )
        nfe = tf.cast(stats.nfe, x.dtype)
        return FlowOutput(z, log_det, nfe[None], tol[None], log_pi[None])

    def _probes(self, x: Tensor, control: Control, seed: Tensor) -> Probes:
        trace = self.trace if control.exact is None else "exact"
        if control.skip_log_det is not None:
            trace = "none"
        share = control.share_noise is not None
        reach = self.dynamics.reach
        return draw_probes(x, trace, self.num_probes, seed, reach, share, control.rows)

    def _tolerances(
        self, x: Tensor, control: Control, training: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tolerances of the forward and the backward solve, and log pi."""
        sample = training if control.sample_tol is None else control.sample_tol
        if control.tol is not None:
            tol, log_pi = _scalar(control.tol, x.dtype), tf.zeros([], x.dtype)
        elif control.drawn_tol is not None:
            tol, log_pi = _scalar(control.drawn_tol, x.dtype), tf.zeros([], x.dtype)
        else:
            tol, log_pi = self.policy(x, training=sample, seed=control.seed)
        tol = tf.stop_gradient(tf.cast(tol, x.dtype))
        adjoint_tol = tol
        if control.adjoint_tol is not None:
            adjoint_tol = _scalar(control.adjoint_tol, x.dtype)
        elif self.adjoint_tol is not None and control.tol is None:
            adjoint_tol, _ = self.adjoint_tol(x, training=sample, seed=control.seed)
        return tol, tf.cast(adjoint_tol, x.dtype), tf.cast(log_pi, x.dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "dynamics": keras.saving.serialize_keras_object(self.dynamics),
            "policy": keras.saving.serialize_keras_object(self.policy),
            "adjoint_tol": self.adjoint_tol
            and keras.saving.serialize_keras_object(self.adjoint_tol),
            "trace": self.trace,
            "num_probes": self.num_probes,
            "max_num_steps": self.max_num_steps,
            "gradient": self.gradient,
            "solver": self.solver,
            "pi_control": self.pi_control,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CNFLayer:
        """Rebuilds the layer from `get_config`."""
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("dynamics", "policy", "adjoint_tol")
            if config[key] is not None
        }
        return cls(**(config | parts))


def _scalar(value: Tensor, dtype: Any) -> Tensor:
    return tf.reshape(tf.cast(value, dtype), [])
