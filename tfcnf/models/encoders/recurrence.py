"""The recurrence of the encoder, written out over a known number of points.

A loop of TensorFlow takes longer for its bookkeeping than for a step of 25 units. Here
each point is three operations forward and two backward, and the gradient of the weights
is one matrix product for all points.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcnf.types import Tensor


def read_backwards(
    inputs: Tensor, recurrent: Tensor, seen: Tensor | None = None
) -> Tensor:
    """The state ``[B, U]`` after h = tanh(inputs_t + h R) from the last t to the first.

    Args:
        inputs: ``[T, B, U]`` with T known, from the points and the bias.
        recurrent: R, ``[U, U]``.
        seen: ``[T, B, 1]``; where false the state stays as it is. All are if None.
    """

    @tf.custom_gradient
    def run(inputs: Tensor, recurrent: Tensor) -> Any:
        parts = tf.unstack(inputs)
        masks = [None] * len(parts) if seen is None else tf.unstack(seen)
        h, befores, news = tf.zeros_like(parts[0]), [], []
        for part, mask in zip(reversed(parts), reversed(masks), strict=True):
            new = tf.tanh(part + tf.matmul(h, recurrent))
            befores.append(h)
            news.append(new)
            h = new if mask is None else tf.where(mask, new, h)

        def gradient(dh: Tensor) -> tuple[Tensor, Tensor]:
            slopes = []
            for new, mask in zip(reversed(news), masks, strict=True):
                dnew = dh if mask is None else tf.where(mask, dh, 0.0)
                slopes.append(tf.raw_ops.TanhGrad(y=new, dy=dnew))
                back = tf.matmul(slopes[-1], recurrent, transpose_b=True)
                dh = back if mask is None else tf.where(mask, back, dh)
            units = recurrent.shape[0]
            before = tf.reshape(tf.stack(befores[::-1]), [-1, units])
            dinputs = tf.stack(slopes)
            drecurrent = tf.matmul(
                before, tf.reshape(dinputs, [-1, units]), transpose_a=True
            )
            return dinputs, drecurrent

        return h, gradient

    return run(inputs, recurrent)
