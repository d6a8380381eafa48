"""From keywords to the papers' flows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfcnf.flows.base import Chain, FlowLayer
from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.dequantize import Dequantize
from tfcnf.flows.multiscale import build_multiscale
from tfcnf.ode.cost import Cost
from tfcnf.ode.dynamics import ConvDynamics, DenseDynamics
from tfcnf.ode.gradient import Gradient
from tfcnf.ode.solver import Solver
from tfcnf.ode.trace import Trace
from tfcnf.seeds import next_int
from tfcnf.tolerances.policy import build_policies

GATES = 1_000_003  # added to the seed


def build_flow(
    event_shape: Sequence[int],
    num_levels: int = 256,
    *,
    alpha: float = 1e-6,
    link: str = "logit",
    num_scales: int | None = None,
    flows_per_block: int = 2,
    squeeze_first: bool = False,
    filters: int = 64,
    hidden_layers: int = 3,
    activation: str = "softplus",
    time: str = "concat",
    init: str = "uniform",
    tol: float = 1e-5,
    adjoint_tol: float | None = None,
    policy: str = "fixed",
    policy_options: Mapping[str, Any] | None = None,
    trace: str | Trace = "hutchinson",
    gradient: str | Gradient = "adjoint",
    solver: str | Solver = "dopri5",
    costs: Sequence[str | Cost] = (),
    steer: float = 0.0,
    context_dims: int = 0,
    seed: int | None = None,
    dtype: Any = None,
) -> FlowLayer:
    """The flow from examples to codes ``[B, D]``, built.

    Images pass through `Dequantize` and the multiscale flow of InfoCNF App. B,
    vectors through a chain of CNFs with dense dynamics.

    Args:
        event_shape: ``(H, W, C)`` of images or ``(D,)`` of vectors.
        num_levels: grey levels of integer images; not used for vectors.
        alpha: constant of the link, see `Dequantize`; not used for vectors.
        link: of grey levels to the line, see `Dequantize`; not used for vectors.
        num_scales: scales of the multiscale flow; the reference's rule if None.
        flows_per_block: CNFs before, and after, each squeeze; for vectors, in all.
        squeeze_first: see `build_multiscale`; not used for vectors.
        filters: filters (for vectors, units) of each hidden layer of the dynamics.
        hidden_layers: hidden layers of the dynamics.
        activation: see `tfcnf.ode.dynamics.StackDynamics`.
        time: see `tfcnf.ode.dynamics.StackDynamics`.
        init: see `tfcnf.ode.dynamics.StackDynamics`.
        tol: tolerance of the forward solves; the mean that sampled ones start with.
        adjoint_tol: tolerance of the backward solves; the forward ones' if None.
        policy: where the tolerances come from: ``"fixed"``, ``"scheduled"``,
            ``"random"``, ``"learned"``, or the name of your own.
        policy_options: options of that policy, see `tfcnf.tolerances.policy`.
        trace: see `tfcnf.flows.cnf.CNFLayer`.
        gradient: see `tfcnf.flows.cnf.CNFLayer`.
        solver: see `tfcnf.flows.cnf.CNFLayer`.
        costs: running costs that every CNF takes along, see `tfcnf.ode.cost`.
        steer: see `tfcnf.flows.cnf.CNFLayer`.
        context_dims: numbers of the context that the dynamics have, see
            `tfcnf.ode.dynamics.StackDynamics`.
        seed: integer seed of the initial weights and the noise.
        dtype: dtype or dtype policy of the layers.

    Raises:
        ValueError: for a keyword out of range.
    """
    seeds = keras.random.SeedGenerator(seed)
    # of their own, so that the weights of the flow do not depend on the policy
    gate_seeds = keras.random.SeedGenerator(None if seed is None else seed + GATES)
    is_image = len(event_shape) == 3
    dynamics = ConvDynamics if is_image else DenseDynamics

    # before and after a squeeze; the last scale, and vectors, have one block
    stack = flows_per_block * (2 if is_image else 1)
    made = itertools.count()

    def make_flow() -> CNFLayer:
        forward, backward = build_policies(
            policy,
            policy_options,
            first=next(made) % stack == 0,
            tol=tol,
            adjoint_tol=adjoint_tol,
            seed=next_int(gate_seeds),
            dtype=dtype,
        )
        return CNFLayer(
            dynamics(
                (filters,) * hidden_layers,
                activation,
                time=time,
                init=init,
                seed=next_int(seeds),
                context_dims=context_dims,
                dtype=dtype,
            ),
            forward,
            adjoint_tol=backward,
            trace=trace,
            gradient=gradient,
            solver=solver,
            costs=costs,
            steer=steer,
            seed=next_int(seeds),
            dtype=dtype,
        )

    if is_image:
        dequantize = Dequantize(
            num_levels, alpha, next_int(seeds), link=link, dtype=dtype
        )
        multiscale = build_multiscale(
            event_shape, make_flow, num_scales, flows_per_block, squeeze_first
        )
        flow = Chain([dequantize, multiscale], dtype=dtype)
    else:
        flow = Chain([make_flow() for _ in range(flows_per_block)], dtype=dtype)
    flow.build((None, *event_shape))
    return flow
