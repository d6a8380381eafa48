"""Status of a solve, and the messages of failed ones."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcnf.types import SolveStats, Tensor

SOLVED, STEP_LIMIT, UNDERFLOW = 0, 1, 2
ADVICE = {
    STEP_LIMIT: "the step limit was reached before the end time: the dynamics are "
    "stiff or the tolerance too tight; try a larger `max_num_steps`, a larger `tol`, "
    "a smaller learning rate or, where `max_work` of an export is the limit, fewer "
    "examples at a time",
    UNDERFLOW: "the step size became too small to advance: the dynamics returned NaN "
    "or infinity, or blow up; look for bad inputs, or try a smaller learning rate or "
    "gradient clipping",
}


class SolverError(RuntimeError):
    """An ODE solve that did not reach its end time.

    ```python
    model = tfcnf.CNF((2,), hidden_layers=1, filters=8, solver="dopri5:max_num_steps=1")
    try:
        model.log_prob(np.ones([4, 2], np.float32), tol=1e-7)
    except tfcnf.SolverError as error:
        print(error)
    ```
    """


def check_solved(stats: SolveStats, name: Tensor, tol: Tensor) -> list[Any]:
    """Raises where a solve failed, with what to do about it.

    Args:
        stats: of the solve.
        name: of the layer, a string or a tensor of one.
        tol: tolerance of the solve.

    Returns:
        The assertions. What waits for them cannot fail first.

    Raises:
        tf.errors.InvalidArgumentError: with ``SolverError: ...`` in its message (an
            assertion of the graph; absent under XLA, where the solution is NaN).
    """
    checks = []
    for status, advice in ADVICE.items():
        text = ["SolverError: ", name, f": {advice}. Received: tol="]
        # numbers stay numbers: XLA has no operation that makes a text of them, nor a
        # conditional with a text in it, which `tf.debugging.Assert` would make
        received = [tol, ", step size=", stats.dt, ", state from ", stats.low]
        received += [" to ", stats.high, ", evaluations=", stats.nfe]
        solved = tf.not_equal(stats.status, status)
        data = [tf.strings.join(text), *received]
        checks.append(tf.raw_ops.Assert(condition=solved, data=data))
    return checks
