"""The records that travel through the rooms, and the vocabulary of shapes.

Symbols used in every docstring of the package:

* ``B``: examples in the batch; ``D``: dimensions of one example
* ``H, W, C``: height, width and channels of an image (channels last)
* ``K``: classes of a label factor; ``L``: number of label factors
* ``N``: CNF layers of a flow, that is, ODE solves in one pass through it
* ``P``: probe vectors of a trace estimate

Log-densities and log-determinants are in nats; "bits/dim" says so by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.seeds import Tensor, fold_in


class SolveStats(NamedTuple):
    """Cost of one ODE solve.

    Attributes:
        nfe: evaluations of the right-hand side, all of them, scalar int32.
        num_accepted: accepted steps, scalar int32.
        num_rejected: rejected steps, scalar int32.
        status: 0 solved, 1 step limit reached, 2 step size underflow; int32.
        dt: size of the step that would have come next, scalar.
        low: smallest value of the state where the solve ended, scalar.
        high: largest value of the state there, scalar.
    """

    nfe: Tensor
    num_accepted: Tensor
    num_rejected: Tensor
    status: Tensor
    dt: Tensor
    low: Tensor
    high: Tensor


class Weighted(NamedTuple):
    """Values of examples that do not all count alike.

    Attributes:
        values: ``[B]``.
        weights: of each in a mean, ``[B]``, at least 0.
    """

    values: Tensor
    weights: Tensor


class On(NamedTuple):
    """A switch that is on.

    A record without fields, because Keras takes no Python values among the tensors of
    an argument. Test it with ``is not None``: it is an empty tuple.

    ```python
    control = tfcnf.Control(skip_log_det=tfcnf.On())
    ```
    """


class Control(NamedTuple):
    """Options of the ODE solves of one pass through a flow.

    Fields are tensors or None, or switches, `On` or None;
    ``Control()`` leaves all to the layers.

    ```python
    control = tfcnf.Control(tol=tf.constant(1e-6), exact=tfcnf.On())
    out = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)))(tf.ones([4, 2]), control=control)
    ```

    Attributes:
        tol: error tolerance overriding the layers' own, a scalar or ``[N]``.
        adjoint_tol: tolerance of the gradient's solve, a scalar or ``[N]``.
        seed: ``[2]`` integers that fix all noise of the pass (dequantization, trace
            probes, sampled tolerances); without it every layer draws new noise.
        sample_tol: scalar 1 or 0, whether policies that have a distribution sample
            the tolerance or give its mean; without it they sample in training.
        nfe_backward_probe: ``[N]`` zeros, watched by a gradient tape. The
            "gradient" with respect to it is the number of evaluations that
            each layer's backward solve took.
        exact: the trace is exact, whatever the layers have.
        skip_log_det: the log-determinant is not needed; it is 0 then, and a solve is
            cheaper. Nor are there costs.
        skip_costs: running costs are not needed; there are none then.
        share_noise: all examples get the same noise, so that what an example gives
            does not depend on its place in the batch.
        drawn_tol: tolerances ``[N]`` that the layers' policies gave for another part
            of the same batch, to be used again; unlike ``tol`` it leaves the
            gradient's tolerance to the layers.
        rows: ``[2]`` integers, the first row and the number of rows: the batch is a
            part of a larger one, and gets the noise that it would get in it.
        stop: where each example's pass ends, ``[B]``, in solves from the side of x: 0
            to N; the log-determinant is 0 then.
        context: what the vector fields are conditioned on, ``[B, E]``; models make it
            of the user's condition.
        each: each example is solved by steps of its own, see `tfcnf.ode.each`; without
            gradient and costs. A scalar boolean chooses where the graph runs.
        work: bound on the work of each solve, a scalar: examples times attempted steps,
            times 1 + P / 3 where the trace takes P directions, which cost about a
            third of an evaluation each. A solve that needs more fails.
    """

    tol: Tensor = None
    adjoint_tol: Tensor = None
    seed: Tensor = None
    sample_tol: Tensor = None
    nfe_backward_probe: Tensor = None
    exact: On | None = None
    skip_log_det: On | None = None
    skip_costs: On | None = None
    share_noise: On | None = None
    drawn_tol: Tensor = None
    rows: Tensor = None
    stop: Tensor = None
    context: Tensor = None
    each: On | Tensor | None = None
    work: Tensor = None

    def part(self, start: int, count: int) -> Control:
        """The control of ``count`` solves from solve ``start`` on."""

        def take(value: Tensor) -> Tensor:
            if value is None or len(tf.convert_to_tensor(value).shape) == 0:
                return value
            return value[start : start + count]

        seed = self.seed
        if seed is not None:
            seed = fold_in(seed, start)
        return self._replace(
            tol=take(self.tol),
            adjoint_tol=take(self.adjoint_tol),
            seed=seed,
            nfe_backward_probe=take(self.nfe_backward_probe),
            drawn_tol=take(self.drawn_tol),
            stop=None if self.stop is None else self.stop - start,
        )


def join_context(x: Any, context: Any) -> Any:
    """A model's input: the examples, with a condition for each where there is one."""
    return x if context is None else {"x": x, "context": context}


def split_context(x: Any) -> tuple[Any, Any]:
    """Examples and their condition, or None, of a model's input.

    Raises:
        ValueError: for a dictionary of other entries.
    """
    if not isinstance(x, Mapping):
        return x, None
    if set(x) != {"x", "context"}:
        raise ValueError(
            'inputs are examples, or {"x": examples, "context": conditions}. '
            f"Received: a dictionary of {', '.join(map(str, x)) or 'nothing'}"
        )
    return x["x"], x["context"]


class FlowOutput(NamedTuple):
    """Output of a flow layer, the record that losses and metrics read.

    ```python
    out = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)))(tf.ones([4, 2]))
    z, log_det, evaluations = out.z, out.log_det, int(out.nfe[0])
    ```

    Attributes:
        z: the transformed batch, ``[B, ...]``; of an example outside the support some
            finite numbers, see `code`.
        log_det: log |det dz/dx| of the applied direction, ``[B]``, nats.
        nfe: forward function evaluations of each solve, ``[N]`` float; of each example
            ``[N, B]`` where each has steps of its own.
        tolerance: tolerance that each solve used, ``[N]``.
        log_pi: log-density of each sampled tolerance under its gate, ``[N]``
            (InfoCNF Eq. 7); zero where the tolerance was not sampled.
        costs: running costs of each example by name, ``[B]``, the sums over the solves
            that take them along; see `tfcnf.ode.cost`.
    """

    z: Tensor
    log_det: Tensor
    nfe: Tensor
    tolerance: Tensor
    log_pi: Tensor
    costs: Mapping[str, Tensor] = {}

    @property
    def code(self) -> Tensor:
        """``z``, with NaN for examples outside the support, whose log_det is none."""
        known = tf.math.is_finite(self.log_det)
        known = tf.reshape(known, [-1] + [1] * (len(self.z.shape) - 1))
        return tf.where(known, self.z, tf.constant(float("nan"), self.z.dtype))
