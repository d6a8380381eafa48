"""The continuous normalizing flow layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfcnf.flows.base import FlowLayer, Policies
from tfcnf.ode.cost import Cost, make_costs
from tfcnf.ode.dynamics import Dynamics
from tfcnf.ode.each import solve_each
from tfcnf.ode.gradient import Gradient
from tfcnf.ode.solve import UNBOUNDED, Method, solve
from tfcnf.ode.solver import Solver
from tfcnf.ode.trace import Exact, NoTrace, Probes, Trace
from tfcnf.ode.trajectory import solve_on_grid
from tfcnf.precision import check_noise
from tfcnf.seeds import fold_in, next_seed, shared_seed, uniform
from tfcnf.tolerances.fixed import FixedTolerance
from tfcnf.tolerances.policy import TolerancePolicy, check_tolerance
from tfcnf.types import Control, FlowOutput, Tensor

END = 2  # folded into a given seed; 1 is a sampled tolerance's


def check_steer(steer: float) -> float:
    """Raises a ValueError for an end time that can reach zero."""
    is_number = isinstance(steer, (int, float)) and not isinstance(steer, bool)
    if not is_number or not 0 <= steer < 1:
        raise ValueError(
            "steer must be at least 0 and less than 1, so that no end time reaches 0. "
            f"Received: steer={steer!r}"
        )
    return float(steer)


@keras.saving.register_keras_serializable("tfcnf")
class CNFLayer(FlowLayer):
    """z(1) from z(0) by dz/dt = f(t, z), and its log-determinant (InfoCNF Eq. 2).

    By default gradients come from the adjoint method (Chen et al. 2018): memory does
    not grow with the number of steps.

    ```python
    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), trace="exact", solver="tsit5")
    out = layer(tf.ones([4, 2]))
    x = layer(out.z, inverse=True).z
    ```

    Args:
        dynamics: the vector field f.
        policy: tolerance policy of the forward solve; fixed 1e-5 by default.
        adjoint_tol: tolerance of the backward solve, a number or a policy; the
            forward solve's if None.
        trace: `Hutchinson` or `Exact`, or its text, such as ``"hutchinson:probes=2"``.
        gradient: `Adjoint`, or the exact gradient of the discrete solution by
            `Checkpoint` (keeps each step's state) or `Store` (keeps all activations;
            fastest and largest), or its text, such as ``"checkpoint"``.
        solver: `Dopri5`, `Tsit5`, `Bosh3` or, for comparison, `StockTFP` (as TFP comes)
            or `Reference` (the authors' code), or its text, such as
            ``"tsit5:max_num_steps=500"``.
        costs: running costs that are taken along, such as `KineticEnergy`, or their
            names; they are in the output's ``costs``, where there is a log-determinant.
        steer: half width b of the range [1 - b, 1 + b) that the end time of a training
            step's solve is drawn from, the same for the batch (STEER, Ghosh et al.
            2020, arXiv 2006.10711); 0 for the end time 1, which all other solves have.
        seed: integer seed of the trace noise and of end times.

    Raises:
        ValueError: for an unknown choice, a tolerance that is not positive or an end
            time that can reach zero.
        tf.errors.InvalidArgumentError: ``SolverError: ...`` from `call`, where a
            solve does not reach its end, with advice.
    """

    num_solves = 1

    def __init__(
        self,
        dynamics: Dynamics,
        policy: TolerancePolicy | None = None,
        *,
        adjoint_tol: float | TolerancePolicy | None = None,
        trace: str | Trace = "hutchinson",
        gradient: str | Gradient = "adjoint",
        solver: str | Solver = "dopri5",
        costs: Sequence[str | Cost] = (),
        steer: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.trace, self.gradient = Trace.get(trace), Gradient.get(gradient)
        self.solver = Solver.get(solver)
        self.gradient.check(self.solver)
        self.costs, self.steer = make_costs(costs), check_steer(steer)
        if not isinstance(policy, TolerancePolicy | None):
            raise ValueError(
                "policy must be a TolerancePolicy, for instance FixedTolerance(1e-3). "
                f"Received: policy={policy!r}"
            )
        if not isinstance(adjoint_tol, TolerancePolicy | None):
            adjoint_tol = check_tolerance("adjoint_tol", adjoint_tol)
            adjoint_tol = FixedTolerance(adjoint_tol, dtype=self.dtype_policy)
        self.dynamics = dynamics
        self.policy = policy or FixedTolerance(dtype=self.dtype_policy)
        check_noise(dynamics.dtype_policy, getattr(self.policy, "tol", None))
        self.adjoint_tol, self.seed = adjoint_tol, seed
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
        if control.stop is not None:
            z, nfe = self._until(x, inverse, control, tol)
            none = tf.zeros(tf.shape(z)[:1], z.dtype)
            return FlowOutput(z, none, nfe[None], tol[None], log_pi[None])
        probe = control.nfe_backward_probe
        probe = tf.zeros([], x.dtype) if probe is None else _scalar(probe, x.dtype)
        seed = control.seed
        seed = next_seed(self.seed_generator) if seed is None else seed
        field, theta = self.dynamics.prepare(control.context)
        costs = self._costs(control)
        start, end = 1.0 if inverse else 0.0, 0.0 if inverse else 1.0
        if self.steer and training and not inverse:
            end = self._random_end(control.seed, x.dtype)
        probes = self._probes(x, control, seed, costs)
        attempts = _max_attempts(control.work, probes)
        options: dict[str, Any] = {
            "z": x,
            "probes": probes,
            "tol": tol,
            "method": Method(start, end, self.solver, self.gradient, costs, attempts),
            "name": self.name,
        }
        backward = {"adjoint_tol": adjoint_tol, "nfe_backward_probe": probe}
        z, log_det, *totals, nfe = _solved(
            control.each,
            lambda: _with_nfe(solve(field, theta, **backward, **options)),
            lambda: _with_nfe(solve_each(field, theta, **options)),
        )
        nfe = tf.cast(nfe, x.dtype)[None]
        named = dict(zip((cost.name for cost in costs), totals, strict=True))
        return FlowOutput(z, log_det, nfe, tol[None], log_pi[None], named)

    def _until(
        self, x: Tensor, inverse: bool, control: Control, tol: Tensor
    ) -> tuple[Tensor, Tensor]:
        """z at a time of its own for each example, and the evaluations."""
        field, theta = self.dynamics.prepare(control.context)
        times = tf.clip_by_value(tf.cast(control.stop, x.dtype), 0.0, 1.0)[:, None]
        start, direction = (1.0, -1) if inverse else (0.0, 1)
        z, stats = solve_on_grid(
            field,
            theta,
            z=x,
            times=times,
            tol=tol,
            start=start,
            direction=direction,
            solver=self.solver,
            name=self.name,
        )
        return z[:, 0], tf.cast(stats.nfe, x.dtype)

    def _costs(self, control: Control) -> tuple[Cost, ...]:
        """The costs of one solve."""
        switches = control.skip_costs, control.skip_log_det, control.each
        return self.costs if switches == (None, None, None) else ()

    def _random_end(self, seed: Tensor, dtype: Any) -> Tensor:
        """An end time, the same on every replica."""
        own = shared_seed(self.seed_generator) if seed is None else fold_in(seed, END)
        return 1.0 + self.steer * (2.0 * uniform([], own, dtype) - 1.0)

    def _probes(
        self, x: Tensor, control: Control, seed: Tensor, costs: Sequence[Cost]
    ) -> Probes:
        trace = self.trace if control.exact is None else Exact()
        if control.skip_log_det is not None:
            trace = NoTrace()
        share = control.share_noise is not None
        reach = self.dynamics.reach
        if reach is not None and any(cost.needs_columns for cost in costs):
            reach *= 2
        return trace.draw(x, seed, reach, share, control.rows)

    def _tolerances(
        self, x: Tensor, control: Control, training: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tolerances of the forward and the backward solve, and log pi."""
        sample = training if control.sample_tol is None else control.sample_tol
        if control.tol is not None:
            tol, log_pi = _scalar(control.tol, x.dtype), tf.zeros([], x.dtype)
        elif control.each is not None and self.policy.learns:
            raise ValueError(
                "tolerances are learned for whole batches; give tol where each example "
                "has its own steps. Received: tol=None, steps='each'"
            )
        elif control.drawn_tol is not None:
            tol, log_pi = _scalar(control.drawn_tol, x.dtype), tf.zeros([], x.dtype)
        else:
            tol, log_pi = self.policy(x, sample=sample, seed=control.seed)
        tol = tf.stop_gradient(tf.cast(tol, x.dtype))
        adjoint_tol = tol
        if control.adjoint_tol is not None:
            adjoint_tol = _scalar(control.adjoint_tol, x.dtype)
        elif self.adjoint_tol is not None and control.tol is None:
            adjoint_tol, _ = self.adjoint_tol(x, sample=sample, seed=control.seed)
        return tol, tf.cast(adjoint_tol, x.dtype), tf.cast(log_pi, x.dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "dynamics": keras.saving.serialize_keras_object(self.dynamics),
            "policy": keras.saving.serialize_keras_object(self.policy),
            "adjoint_tol": self.adjoint_tol
            and keras.saving.serialize_keras_object(self.adjoint_tol),
            "trace": str(self.trace),
            "gradient": str(self.gradient),
            "solver": str(self.solver),
            "costs": [str(cost) for cost in self.costs],
            "steer": self.steer,
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


def _solved(each: Any, shared: Callable[..., Any], alone: Callable[..., Any]) -> Any:
    """A solve by the steps that `Control.each` asks for."""
    if each is None:
        return shared()
    if not tf.is_tensor(each):
        return alone()

    def spread() -> Any:
        z, log_det, nfe = shared()
        return z, log_det, tf.fill(tf.shape(log_det), nfe)

    return tf.cond(each, alone, spread)


def _with_nfe(solved: tuple[Any, ...]) -> tuple[Any, ...]:
    """The result of a solve, with the evaluations in place of its stats."""
    return *solved[:-1], solved[-1].nfe


def _max_attempts(work: Tensor, probes: Probes) -> Any:
    """The examples times attempted steps that this work allows."""
    if work is None:
        return UNBOUNDED
    return 3 * tf.cast(work, tf.int64) // (3 + probes.directions.shape[0])


def _scalar(value: Tensor, dtype: Any) -> Tensor:
    return tf.reshape(tf.cast(value, dtype), [])
