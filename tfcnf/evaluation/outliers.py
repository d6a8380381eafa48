"""Can a likelihood tell images that are not of the data? Scores against known outliers.

The scores are those of `tfcnf.evaluation.typicality`; how well one separates the test
images from outliers is the area under its ROC curve: the probability that it ranks a
random outlier above a random test image, 0.5 by guessing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from tfcnf.data import catalog
from tfcnf.data.source import DataSource, Split
from tfcnf.evaluation.examples import ExampleMeasures
from tfcnf.evaluation.typicality import unusualness
from tfcnf.losses import bits_per_dim
from tfcnf.models.infocnf import InfoCNF

OTHERS = {"digits": "mnist", "mnist": "digits"}  # data sets of the same things
MOST = 1000  # images of another data set


def perturbed(x: np.ndarray, num_levels: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Images spoilt in several ways, each with the shape and dtype of the input.

    Args:
        x: square integer images ``[n, H, H, C]``.
        num_levels: grey levels.
        seed: of the noise and of the order of the pixels.

    Returns:
        ``"noisy"``: Gaussian noise with a deviation of an eighth of the grey scale;
        ``"shuffled"``: pixels in another order in every image; ``"rotated"`` by 90
        degrees; ``"inverted"``: grey level l becomes the largest one less l;
        ``"faded"``: half the contrast; ``"random"``: uniformly distributed levels.
    """
    rng = np.random.default_rng(seed)
    top, shape = num_levels - 1, x.shape
    pixels = x.reshape(len(x), -1, shape[-1])
    order = rng.permuted(np.tile(np.arange(pixels.shape[1]), (len(x), 1)), axis=1)
    noise = rng.normal(size=shape) * num_levels / 8
    images = {
        "noisy": np.clip(np.rint(x + noise), 0, top),
        "shuffled": np.take_along_axis(pixels, order[..., None], 1).reshape(shape),
        "rotated": np.rot90(x, axes=(1, 2)),
        "inverted": top - x,
        "faded": x // 2,
        "random": rng.integers(0, num_levels, shape),
    }
    return {name: image.astype(x.dtype) for name, image in images.items()}


def resized(source: Any, like: DataSource) -> np.ndarray:
    """The first test images of a source in the size and grey levels of another."""
    u = source.test.x[:MOST] / (source.num_levels - 1)
    u = tf.image.resize(u, like.event_shape[:2], method="area").numpy()
    return np.rint(u * (like.num_levels - 1)).astype(like.test.x.dtype)


def outlier_arrays(
    model: InfoCNF, source: DataSource, tol: float, data_dir: str | None = None
) -> dict[str, np.ndarray]:
    """Log-likelihoods of training and test images and of outliers.

    Args:
        model: the model.
        source: its data, images.
        tol: solver tolerance.
        data_dir: of tensorflow-datasets; if given, digits are also told from MNIST in
            their size, and MNIST from them.

    Returns:
        By the names ``"train"``, ``"test"``, those of `perturbed`, and the name of the
        other data set: log p(x), ``[n]`` nats; and ``"dims"`` and ``"levels"``.

    Raises:
        ValueError: for another data set that is not in ``data_dir``.
    """
    sets = {"train": source.train.x, "test": source.test.x}
    sets |= perturbed(source.test.x, source.num_levels)
    if data_dir is not None and source.name in OTHERS:
        other = catalog.get(OTHERS[source.name], data_dir)
        sets[other.name] = resized(other, source)
    measure = ExampleMeasures(model, tol)
    arrays = {
        name: measure(Split(x, np.zeros([len(x), 1])))["log_prob"]
        for name, x in sets.items()
    }
    return arrays | {
        "dims": np.array(model.num_dims),
        "levels": np.array(model.num_levels),
    }


def outlier_measures(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    """Measures from `outlier_arrays`.

    Yields:
        ``SET/bits_per_dim`` (marginal) of every set of images, and of every set of
        outliers ``SET/auroc_likelihood`` and ``SET/auroc_typicality``.
    """
    dims, levels = int(arrays["dims"]), int(arrays["levels"])
    sets = {k: v for k, v in arrays.items() if k not in ("dims", "levels")}
    entropy = -float(np.mean(sets["train"], dtype=np.float64))
    usual = unusualness(sets["test"], entropy)
    for name, log_prob in sets.items():
        mean: Any = np.mean(bits_per_dim(log_prob, dims, levels), dtype=np.float64)
        yield f"{name}/bits_per_dim", float(mean)
        if name in ("train", "test"):
            continue
        truth: Any = np.repeat([0, 1], [len(sets["test"]), len(log_prob)])
        for score, values in unusualness(log_prob, entropy).items():
            both = np.concatenate([usual[score], values])
            yield f"{name}/auroc_{score}", float(roc_auc_score(truth, both))
