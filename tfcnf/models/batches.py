"""Many examples, solved a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.checks import check_positive_integer
from tfcnf.ode.clocks import GROUP
from tfcnf.types import Tensor


def in_batches(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Any],
    batch_size: int | None,
    outputs: Sequence[tf.TensorSpec],
) -> list[Tensor]:
    """The answers of ``function(rows, *parts)`` to parts of the inputs, joined.

    Eagerly arrays are cut before they are converted: of a memory-mapped file only a
    batch is read at a time.

    Args:
        function: is given the rows of its part, as `tfcnf.types.Control` has them, or
            None for the whole, and the part of each input.
        inputs: arrays or tensors of as many rows.
        batch_size: rows of a part; None for all at once.
        outputs: of the function: dtypes, and shapes ``[None, ...]``.

    Raises:
        ValueError: for a batch size that is not a positive integer, or inputs of
            other lengths.
    """
    if batch_size is None:
        return list(function(None, *inputs))
    check_positive_integer("batch_size", batch_size)
    inputs = [_sliceable(x) for x in inputs]
    total = _rows(inputs)
    count = tf.maximum(-(-total // batch_size), 1)  # a batch of nothing, of nothing

    def solve(i: Tensor, arrays: list[tf.TensorArray]) -> tuple[Tensor, Any]:
        first = i * batch_size
        parts = [x[first : tf.minimum(first + batch_size, total)] for x in inputs]
        answers = function(tf.stack([first, total]), *parts)
        return i + 1, [a.write(i, x) for a, x in zip(arrays, answers, strict=True)]

    arrays = [
        tf.TensorArray(x.dtype, count, infer_shape=False, element_shape=x.shape)
        for x in outputs
    ]
    _, arrays = tf.while_loop(
        lambda i, _: i < count, solve, [tf.constant(0), arrays], parallel_iterations=1
    )
    return [array.concat() for array in arrays]


def in_groups(
    function: Callable[..., Any], each: bool | Tensor = True
) -> Callable[..., Any]:
    """The function ``(rows, *parts)`` that computes whole groups of rows.

    The last row is repeated until they are whole. Kernels of TensorFlow round a row
    alike in all batches but the smallest, see `tfcnf.ode.each`.

    Args:
        function: of rows and parts, see `in_batches`.
        each: a scalar; where it is false, the rows are taken as they are.
    """

    def grouped(rows: Tensor, *parts: Any) -> Any:
        parts = tuple(_sliceable(x) for x in parts)
        count = _rows(parts)
        padded = tf.range(tf.where(each, -(-count // GROUP) * GROUP, count))
        taken = tf.minimum(padded, count - 1)
        answers = function(rows, *(tf.gather(x, taken) for x in parts))
        return tf.nest.map_structure(lambda x: x[:count], answers)

    return grouped


def _rows(inputs: Sequence[Any]) -> Tensor:
    """The number of rows of each input."""
    lengths = {x.shape[0] for x in inputs if x.shape[0] is not None}
    if len(lengths) > 1:
        raise ValueError(
            "there must be a label, and a context, for each example. "
            f"Received: {' and '.join(str(x.shape[0]) for x in inputs)} rows"
        )
    return tf.constant(lengths.pop()) if lengths else tf.shape(inputs[0])[0]


def _sliceable(x: Any) -> Any:
    """Anything with a shape that its rows can be cut out of by tensors."""
    if not (tf.executing_eagerly() and hasattr(x, "shape")):
        x = tf.convert_to_tensor(x)
    elif hasattr(x, "to_numpy"):
        x = x.to_numpy()  # a frame would be cut by its index
    if not len(x.shape):
        raise ValueError(f"there must be a batch of examples. Received: {x}")
    return x
