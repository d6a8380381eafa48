"""Arrays of images that show what a model has learned.

Whole numbers of grey levels l become u = (l + 1/2) / levels before they are encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.grid import tiled

if TYPE_CHECKING:
    from tfcnf.models.infocnf import InfoCNF

MOST = 100  # rows


def class_samples(
    model: InfoCNF,
    columns: int = 10,
    *,
    seed: int = 0,
    tol: float | None = None,
    rows: int = 10,
    context: np.ndarray | None = None,
) -> np.ndarray:
    """A row of samples for each value of the first label, ``[n, columns, H, W, C]``.

    Further labels take one value after the other along the columns.

    Args:
        model: the model.
        columns: samples in a row.
        seed: the same seed gives the same images.
        tol: solver tolerance instead of the layers' own.
        rows: n for a model without labels.
        context: conditions, one after the other along the columns, the same in each
            row; of a model with a context.
    """
    y: Any = rows * columns
    if model.labels:
        first, *others = model.labels
        values = first.examples(MOST)
        rows = len(values)
        parts = [np.repeat(values, columns, 0)]
        for label in others:
            shown = np.resize(label.examples(columns), [columns, label.columns])
            parts.append(np.tile(shown, [rows, 1]))
        y = np.concatenate(parts, 1)
    if context is not None:
        chosen: Any = np.arange(columns) % len(context)
        context = np.asarray(context)[np.tile(chosen, rows)]
    samples = model.sample(y, seed=seed, tol=tol, context=context)
    return samples.numpy().reshape(rows, columns, *model.event_shape)


def values_of_classes(model: InfoCNF, count: int) -> np.ndarray:
    """Values of all labels ``[count, columns]``, those of the first one in turn.

    The other labels have the first value that `tfcnf.labels.base.Label.examples` gives.
    """
    first, *others = model.labels
    parts = [np.resize(first.examples(MOST), [count, first.columns])]
    parts += [np.repeat(label.examples(1), count, 0) for label in others]
    return np.concatenate(parts, 1)


def tempered_samples(
    model: InfoCNF,
    temperatures: Sequence[float],
    *,
    labels: np.ndarray | int,
    seed: int = 0,
    tol: float | None = None,
) -> np.ndarray:
    """The same draws at several temperatures, ``[temperatures, n, H, W, C]``.

    Args:
        model: the model.
        temperatures: factors on the deviations of the code; 1 samples the model and
            0 gives the image of each class' mean code.
        labels: ``[n, columns]``, or n for a model without labels.
        seed: the same seed gives the same images.
        tol: solver tolerance instead of the layers' own.
    """
    rows = [model.sample(labels, seed, t, tol).numpy() for t in temperatures]
    return np.stack(rows)


def reconstructions(
    model: InfoCNF, x: np.ndarray, tol: float, *, context: np.ndarray | None = None
) -> np.ndarray:
    """x, decode(encode(x)) and their absolute difference, ``[3, n, H, W, C]``.

    Args:
        model: the model.
        x: integer images ``[n, H, W, C]``.
        tol: solver tolerance.
        context: conditions ``[n, ...]`` of a model with a context.
    """
    import tensorflow as tf

    u = unit_interval(model, x)
    codes = model.encode(tf.constant(u), tol=tol, context=context)
    decoded = model.decode(codes, tol=tol, context=context).numpy()
    return np.stack([u, decoded, np.abs(u - decoded)])


def interpolations(
    model: InfoCNF, first: np.ndarray, second: np.ndarray, steps: int, tol: float
) -> np.ndarray:
    """Images of the codes on a straight line between two, ``[n, steps, H, W, C]``.

    Args:
        model: the model.
        first: integer images ``[n, H, W, C]``, where the lines begin.
        second: where they end.
        steps: images of a line, both ends included.
        tol: solver tolerance.
    """
    import tensorflow as tf

    z, end = (model.encode(unit_interval(model, x), tol=tol) for x in (first, second))
    share = tf.cast(tf.linspace(0.0, 1.0, steps), z.dtype)[:, None]
    codes = (1 - share) * z[:, None, :] + share * end[:, None, :]
    images = model.decode(tf.reshape(codes, [-1, model.num_dims]), tol=tol)
    return images.numpy().reshape(len(first), steps, *model.event_shape)


def swaps(
    model: InfoCNF, contents: np.ndarray, classes: np.ndarray, tol: float
) -> np.ndarray:
    """Images with the z_u of one and the z_y of another, ``[n, m, H, W, C]``.

    Args:
        model: a model with a supervised code.
        contents: integer images ``[n, H, W, C]`` that give the unsupervised code.
        classes: integer images ``[m, H, W, C]`` that give the supervised one.
        tol: solver tolerance.

    Raises:
        ValueError: for a model without a supervised or an unsupervised code.
    """
    import tensorflow as tf

    partition = model.prior.partition
    if not (partition.supervised and partition.unsupervised):
        raise ValueError(
            "codes are swapped where a part is supervised and a part is not. "
            f"Received: supervised_fraction={model.supervised_fraction}"
        )
    rest, code = (
        model.encode(unit_interval(model, x), tol=tol) for x in (contents, classes)
    )
    z_u = tf.repeat(partition.split(rest)[1], len(classes), 0)
    z_y = [tf.tile(part, [len(contents), 1]) for part in partition.split(code)[0]]
    images = model.decode(partition.merge(z_y, z_u), tol=tol).numpy()
    return images.reshape(len(contents), len(classes), *model.event_shape)


def gallery_pages(
    model: InfoCNF, x: np.ndarray, y: np.ndarray, tol: float
) -> dict[str, np.ndarray]:
    """Samples, interpolations and swaps, each as one picture ``[1, H', W', C]``.

    Args:
        model: the model.
        x: integer images to start from ``[n, H, W, C]``.
        y: their labels ``[n, L]``.
        tol: solver tolerance.
    """
    first = x[first_of_each_class(y)]
    rows = {
        "samples": class_samples(model, columns=8, tol=tol, rows=len(first)),
        "interpolations": interpolations(model, first, np.roll(first, -1, 0), 8, tol),
    }
    if model.prior.partition.supervised and model.prior.partition.unsupervised:
        rows["swaps"] = swaps(model, first, first, tol)
    return {name: tiled(images)[None] for name, images in rows.items()}


def first_of_each_class(y: np.ndarray, num_classes: int | None = None) -> np.ndarray:
    """Index ``[K]`` of the first example of each class of the first factor.

    Of a class without an example it is 0; the classes are those that y has if their
    number is None.
    """
    return np.argmax(y[:, :1] == np.arange(num_classes or y[:, 0].max() + 1), 0)


def unit_interval(model: InfoCNF, x: np.ndarray) -> np.ndarray:
    """Grey levels as floats in (0, 1), in the model's precision."""
    return ((x + 0.5) / model.num_levels).astype(model.compute_dtype)


def has_images(data: Any) -> bool:
    """True where a data source is one of images."""
    return len(data.event_shape) == 3
