"""Arrays of images that show what a model has learned."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfcnf.models.infocnf import InfoCNF


def class_samples(
    model: InfoCNF, columns: int = 10, seed: int = 0, tol: float | None = None
) -> np.ndarray:
    """A row of samples for each class of the first factor, ``[K, columns, H, W, C]``.

    Further label factors take the values 0, 1, ... along the columns.
    """
    classes = model.num_classes[0]
    labels: np.ndarray = np.empty((classes, columns, len(model.num_classes)), np.int32)
    labels[..., 0] = np.arange(classes)[:, None]
    for i, count in enumerate(model.num_classes[1:], 1):
        labels[..., i] = np.arange(columns) % count
    flat = labels.reshape(-1, len(model.num_classes))
    samples = model.sample(flat, seed=seed, tol=tol)
    return samples.numpy().reshape(classes, columns, *model.event_shape)


def reconstructions(model: InfoCNF, x: np.ndarray, tol: float) -> np.ndarray:
    """x, decode(encode(x)) and their absolute difference, ``[3, n, H, W, C]``.

    Args:
        model: the model.
        x: integer images ``[n, H, W, C]``; level l is taken as (l + 1/2) / levels.
        tol: solver tolerance.
    """
    u = (x.astype(np.float32) + 0.5) / model.num_levels
    decoded = model.decode(model.encode(tf.constant(u), tol=tol), tol=tol).numpy()
    return np.stack([u, decoded, np.abs(u - decoded)])
