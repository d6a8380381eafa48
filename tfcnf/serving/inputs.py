"""Checks of requests inside the graph: an answer, or an InvalidArgument that explains.

Inputs have no shape in the signatures, because what is fed to a graph is not compared
with the shape it declares: a wrong shape would reach the network and fail there.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfcnf.labels.base import Label
from tfcnf.serving.bounds import Bounds
from tfcnf.types import Tensor

MAX_IMAGES = 100  # of an interpolation: more would let one request fill the memory


def read_image(name: str, image: Tensor, shape: Sequence[int], levels: int) -> Tensor:
    """A batch of images ``[B, H, W, C]``, grey levels or finite floats."""
    image = _batch(name, image, shape)
    if image.dtype.is_floating:
        finite = tf.reduce_all(tf.math.is_finite(image))
        return _require(finite, f"{name} must be finite numbers", image)
    inside = tf.reduce_all((image >= 0) & (image <= levels - 1))
    return _require(inside, f"{name} must be grey levels 0..{levels - 1}", image)


def can_decode(shape: Sequence[int]) -> bool:
    """True where image files can hold images of this shape: grey or RGB."""
    return shape[-1] in (1, 3)


def read_files(
    image: Tensor, shape: Sequence[int], levels: int, bounds: Bounds
) -> Tensor:
    """Grey levels ``[B, H, W, C]`` of the bytes of image files ``[B]``.

    PNG, JPEG, BMP and the first picture of a GIF. Their 8 bits become levels as
    ``value * L // 256``.
    """
    image = require_few(image, tf.size(image), bounds)
    found = tf.shape(image)
    fits = tf.equal(tf.size(found), 1)
    message = "image must be a list of image files, as bytes"
    check = tf.debugging.Assert(fits, [f"{message}. Received: shape =", found])
    with tf.control_dependencies([check]):
        files = tf.reshape(image, [-1])

    def decode(file: Tensor) -> Tensor:
        pixels = tf.io.decode_image(file, shape[-1], expand_animations=False)
        size = tf.shape(pixels)
        fits = tf.reduce_all(tf.equal(size, shape))
        message = f"image files must be of height, width and channels {list(shape)}"
        check = tf.debugging.Assert(fits, [f"{message}. Received:", size])
        with tf.control_dependencies([check]):
            return tf.reshape(pixels, shape)

    spec = tf.TensorSpec(list(shape), tf.uint8)
    pixels = tf.map_fn(decode, files, fn_output_signature=spec)
    return tf.cast(tf.cast(pixels, tf.int32) * levels // 256, tf.uint8)


def read_vectors(x: Tensor, dims: int) -> Tensor:
    """A batch of vectors ``[B, D]``, finite."""
    x = _batch("x", x, [dims])
    return _require(tf.reduce_all(tf.math.is_finite(x)), "x must be finite numbers", x)


def read_context(context: Tensor, shape: Sequence[int], count: Tensor) -> Tensor:
    """Conditions ``[count, *shape]``; one for all may come without ``count``, or as 1.

    Their values are checked by `tfcnf.models.condition.Condition`.
    """
    single = tf.equal(tf.rank(context), len(shape))
    context = tf.cond(single, lambda: tf.expand_dims(context, 0), lambda: context)
    context = _batch("context", context, shape)
    rows = tf.shape(context)[0]
    message = "there must be a context for each example, or one for all"
    check = tf.debugging.Assert(
        tf.equal(rows, count) | tf.equal(rows, 1),
        [f"{message}. Received: rows of context=", rows],
    )
    with tf.control_dependencies([check]):
        return tf.broadcast_to(context, [count, *shape])


def read_code(code: Tensor, dims: int) -> Tensor:
    """A batch of codes ``[B, D]``, finite."""
    code = _batch("code", code, [dims])
    finite = tf.reduce_all(tf.math.is_finite(code))
    return _require(finite, "code must be finite numbers", code)


def read_label(
    label: Tensor, labels: Sequence[Label], batch: Tensor, example: str
) -> Tensor:
    """Label values ``[B, columns]``; ``[B]`` will do for a single column.

    Args:
        label: integers where all labels have whole values, else floats.
        labels: their kinds.
        batch: the B that is expected, or None for any.
        example: name of what is labelled.
    """
    columns = sum(kind.columns for kind in labels)
    if columns == 1:
        flat = tf.equal(tf.rank(label), 1)
        label = tf.cond(flat, lambda: tf.expand_dims(label, -1), lambda: label)
    label = _batch("label", label, [columns])
    if batch is not None:
        same = tf.equal(tf.shape(label)[0], batch)
        label = _require(same, f"label must be one for each {example}", label)
    parts = tf.split(label, [kind.columns for kind in labels], 1)
    found = [kind.check(part, False) for kind, part in zip(labels, parts, strict=True)]
    valid = tf.reduce_all([condition for condition, _ in found])
    values = ", ".join(text for _, text in found)
    return _require(valid, f"label must be {values}", label)


def read_num(num: Tensor) -> Tensor:
    """One number of samples."""
    good = tf.equal(tf.size(num), 1) & tf.reduce_all(num >= 0)
    return tf.reshape(_require(good, "num must be one number from 0", num), [])


def require_few(value: Tensor, count: Tensor, bounds: Bounds) -> Tensor:
    """The value, once its number of examples is known to be within the bounds."""
    most = bounds.max_batch
    message = f"the batch must be at most {most}, max_batch of this export"
    check = tf.debugging.Assert(count <= most, [f"{message}. Received:", count])
    with tf.control_dependencies([check]):
        return tf.identity(value)


def read_tolerance(tol: Tensor, bounds: Bounds) -> Tensor:
    """The strictest of one tolerance, or of one for each example."""
    tol = _scalar_or_vector("tol", tol)
    positive = tf.reduce_all((tol > 0) & tf.math.is_finite(tol))
    tol = _require(positive, "tol must be positive and finite", tol)
    least = bounds.min_tol
    message = f"tol must be at least {least:g}, min_tol of this export"
    return tf.reduce_min(_require(tf.reduce_all(tol >= least), message, tol))


def read_temperature(temperature: Tensor, batch: Tensor) -> Tensor:
    """One temperature, or one for each example, as ``[1 or B, 1]``."""
    temperature = _for_batch("temperature", temperature, batch)
    good = tf.reduce_all((temperature >= 0) & tf.math.is_finite(temperature))
    message = "temperature must be at least 0 and finite"
    return tf.reshape(_require(good, message, temperature), [-1, 1])


def read_seed(seed: Tensor, batch: Tensor) -> Tensor:
    """One integer, or one for each example."""
    return _for_batch("seed", seed, batch)


def read_steps(steps: Tensor, known: Sequence[str]) -> Tensor:
    """One way to take steps; rows that carry it must agree."""
    steps = _scalar_or_vector("steps", steps)
    first = tf.reshape(steps, [-1])[0]
    good = tf.reduce_all(tf.equal(steps, first)) & tf.reduce_any(tf.equal(first, known))
    message = f"steps must be one of those of this export, {' or '.join(known)}"
    return tf.reshape(_require(good, message, steps), [-1])[0]


def read_num_images(num: Tensor) -> Tensor:
    """One number of images; rows that carry it must agree."""
    num = _scalar_or_vector("num_images", num)
    first = tf.reshape(num, [-1])[0]
    good = tf.reduce_all(tf.equal(num, first)) & (first >= 2) & (first <= MAX_IMAGES)
    message = f"num_images must be one number from 2 to {MAX_IMAGES}"
    return tf.reshape(_require(good, message, num), [-1])[0]


def same_batch(image_a: Tensor, image_b: Tensor) -> Tensor:
    """The second of two batches, once they are known to be of one size."""
    same = tf.equal(tf.shape(image_a)[0], tf.shape(image_b)[0])
    return _require(same, "image_b must be as many as image_a", image_b)


def _batch(name: str, value: Tensor, shape: Sequence[int]) -> Tensor:
    found = tf.shape(value)
    fits = tf.cond(
        tf.equal(tf.size(found), 1 + len(shape)),
        lambda: tf.reduce_all(tf.equal(found[1:], shape)),
        lambda: tf.constant(False),
    )
    sizes = ", ".join(map(str, shape))
    message = f"{name} must have shape [batch, {sizes}]"
    check = tf.debugging.Assert(fits, [f"{message}. Received: shape =", found])
    with tf.control_dependencies([check]):
        return tf.reshape(value, [-1, *shape])  # now the rest of the shape is known


def _scalar_or_vector(name: str, value: Tensor) -> Tensor:
    good = (tf.rank(value) <= 1) & (tf.size(value) > 0)
    message = f"{name} must be one number, or one for each example"
    check = tf.debugging.Assert(
        good, [f"{message}. Received: shape =", tf.shape(value)]
    )
    with tf.control_dependencies([check]):
        return tf.identity(value)


def _for_batch(name: str, value: Tensor, batch: Tensor) -> Tensor:
    value = _scalar_or_vector(name, value)
    fits = tf.equal(tf.rank(value), 0) | tf.equal(tf.size(value), batch)
    return _require(fits, f"{name} must be one number, or one for each example", value)


def _require(condition: Tensor, message: str, value: Tensor) -> Tensor:
    check = tf.debugging.Assert(condition, [f"{message}. Received:", value])
    with tf.control_dependencies([check]):
        return tf.identity(value)
