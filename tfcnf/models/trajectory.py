"""Positions of examples and codes on their way through a flow.

Time 0 is at the examples and time 1 at the codes. Each of the flow's N CNFs takes 1/N
of the time, in their order: at k/N the first k are passed, and what lies between two
CNFs takes no time. Parts of the code that a multiscale flow has factored out stand
still from there on.

Positions are given in the space that the way leads to. From examples they are vectors
in the order of the code: those at time 0 are the values that enter the first CNF (of
images their logits), those at time 1 are the codes. From codes they have the shape of
examples: those at time 1 are the code's values put where the flow puts them, those at
time 0 are the examples. Between two steps of the solver the error may be some ten
times the tolerance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.models.inputs import check_codes, check_examples
from tfcnf.types import Control, FlowOutput, Tensor


def check_times(times: Any) -> Tensor:
    """Times in [0, 1] as a tensor ``[T]``, in double precision.

    Raises:
        ValueError: for another shape, or times that are not in [0, 1].
    """
    given = np.asarray(times, np.float64)
    if given.ndim != 1 or not len(given) or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(
            "times must be a list of at least one number in [0, 1]. "
            f"Received: times={times!s:.200}"
        )
    return tf.constant(given)


def positions(
    model: Any,
    x: Any,
    *,
    times: Tensor,
    inverse: bool,
    control: Control,
    context: Any = None,
) -> Tensor:
    """The positions of each example at each time, ``[B, T, ...]``.

    Every example passes the flow once for each time, all in one batch, and stands
    still from there on.

    Args:
        model: a flow model.
        x: examples, grey levels taken at the middle of each, or codes.
        times: ``[T]`` in [0, 1].
        inverse: whether to go from codes to examples.
        control: tolerance and seed of the pass.
        context: condition of the examples, of a model that has one.

    Raises:
        ValueError: for a wrong shape.
    """
    if inverse:
        x = tf.cast(check_codes(x, model.num_dims), model.compute_dtype)
    else:
        x = check_examples(x, model.event_shape, model.num_levels)
        if x.dtype.is_integer:
            x = (tf.cast(x, model.compute_dtype) + 0.5) / model.num_levels
    batch, count = tf.shape(x)[0], tf.shape(times)[0]
    stop = tf.cast(model.flow.num_solves * times, model.compute_dtype)
    control = model.conditioned(control, context, batch)
    control = control._replace(stop=tf.tile(stop, [batch]))
    if control.context is not None:
        control = control._replace(context=tf.repeat(control.context, count, 0))
    repeated = tf.repeat(x, count, axis=0)
    out: FlowOutput = model(repeated, inverse=inverse, control=control)
    return tf.reshape(out.z, tf.concat([[batch, count], tf.shape(out.z)[1:]], 0))
