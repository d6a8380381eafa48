"""Can a likelihood tell images that are not of the data? Scores against known outliers.

The scores are those of `tfcnf.diagnostics.typicality`; how well one separates the test
images from outliers is the area under its ROC curve: the probability that it ranks a
random outlier above a random test image, 0.5 by guessing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes, new_figure
from tfcnf.diagnostics.examples import ExampleMeasures
from tfcnf.diagnostics.pictures import has_images
from tfcnf.diagnostics.typicality import unusualness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF

OTHERS = {"digits": "mnist", "mnist": "digits"}  # data sets of the same things
MOST = 1000  # images of another data set


class Outliers(Diagnostic):
    """Likelihoods of images that are not of the data, and two scores that tell them.

    Example:
        ```python
        from tfcnf.diagnostics import Outliers

        outliers = Outliers()
        arrays = outliers.compute(model, data)
        measures = dict(outliers.measures(arrays))
        measures["inverted/auroc_typicality"]  # 0.5 is guessing
        outliers.plot(arrays)
        ```

    Args:
        data_dir: folder of tensorflow-datasets; if given, digits are also told from
            MNIST in their size, and MNIST from them.
    """

    title = "Outliers"
    caption = (
        "How likely images are that are not of the data, and how well two scores tell "
        "them from test images: AUROC 1 is always, 0.5 is guessing."
    )
    columns = {
        "bits_per_dim": "bits/dim, marginal",
        "auroc_likelihood": "AUROC, likelihood",
        "auroc_typicality": "AUROC, typicality",
    }
    subject = "images"

    def __init__(self, data_dir: str | None = None):
        self.data_dir = data_dir

    @classmethod
    def of_run(cls, config: Mapping[str, Any], data_dir: str | None = None) -> Self:
        """The diagnostic with the other data set in ``data_dir``."""
        return cls(data_dir)

    def takes(self, data: Any) -> bool:
        """True where the data are images."""
        return has_images(data)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Log-likelihoods of training and test images and of outliers.

        Args:
            model: the model.
            data: its data, images.
            tol: solver tolerance.

        Returns:
            By the names ``"train"``, ``"test"``, those of `perturbed`, and the name of
            the other data set: log p(x), ``[n]`` nats; and ``"dims"`` and ``"levels"``.

        Raises:
            ValueError: for another data set that is not in ``data_dir``.
        """
        from tfcnf.data.source import Split

        self.check(data)
        test = data.test
        sets = {"train": data.train, "test": test} | {
            name: dataclasses.replace(test, x=x)
            for name, x in perturbed(test.x, data.num_levels).items()
        }
        is_free = test.context is None  # of a context, which other data do not have
        if self.data_dir is not None and data.name in OTHERS and is_free:
            from tfcnf.data import catalog

            other = catalog.get(OTHERS[data.name], self.data_dir)
            x = resized(other, data)
            sets[other.name] = Split(x, np.zeros([len(x), 1]))
        measure = ExampleMeasures(model, tol)
        arrays = {name: measure(split)["log_prob"] for name, split in sets.items()}
        return arrays | {
            "dims": np.array(model.num_dims),
            "levels": np.array(model.num_levels),
        }

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Bits/dim of all sets, and how well outliers are told from test images.

        Yields:
            ``SET/bits_per_dim`` (marginal) of every set of images, and of every set of
            outliers ``SET/auroc_likelihood`` and ``SET/auroc_typicality``.
        """
        from sklearn.metrics import roc_auc_score

        sets = _sets(arrays)
        entropy = -float(np.mean(sets["train"], dtype=np.float64))
        usual = unusualness(sets["test"], entropy)
        for name, log_prob in sets.items():
            bits = _bits(arrays, name)
            yield f"{name}/bits_per_dim", float(np.mean(bits, dtype=np.float64))
            if name in ("train", "test"):
                continue
            truth: Any = np.repeat([0, 1], [len(sets["test"]), len(log_prob)])
            for score, values in unusualness(log_prob, entropy).items():
                both = np.concatenate([usual[score], values])
                yield f"{name}/auroc_{score}", float(roc_auc_score(truth, both))

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws the distribution of bits/dim of each set of images."""
        ax, names = new_axes(ax), list(_sets(arrays))
        names.sort(key=lambda name: name not in ("train", "test"))
        bits = [_bits(arrays, name) for name in names]
        place = -np.arange(len(names))
        parts: Any = ax.violinplot(bits, place, orientation="horizontal", widths=0.9)
        for i, body in enumerate(parts["bodies"]):
            body.set(facecolor="C0" if i < 2 else "C1", alpha=0.6)
        ax.axvline(bits[0].mean(), color="grey", linestyle=":")
        ax.set(yticks=place, yticklabels=names, xlabel="bits/dim (dotted: train mean)")
        return ax

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"outliers"``: bits/dim, and how well two scores tell the sets apart."""
        return {self.key: partial(self._panels, arrays)}

    def _panels(self, arrays: Arrays) -> Figure:
        measures = dict(self.measures(arrays))
        names = [n for n in _sets(arrays) if n not in ("train", "test")]
        figure = new_figure(9, 0.42 * (len(names) + 2) + 1.6)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        self.plot(arrays, left)
        place = -np.arange(2, len(names) + 2)
        for shift, score in [(0.2, "likelihood"), (-0.2, "typicality")]:
            areas = [measures[f"{name}/auroc_{score}"] for name in names]
            bars = right.barh(place + shift, areas, height=0.38, label=score)
            right.bar_label(bars, fmt="%.2f", fontsize="x-small", padding=2)
        right.axvline(0.5, color="grey", linestyle=":")
        right.set(xlim=(0, 1.12), xlabel="AUROC against test (dotted: guessing)")
        right.legend(loc="upper left", fontsize="small")
        return figure


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
    import tensorflow as tf

    u = source.test.x[:MOST] / (source.num_levels - 1)
    u = tf.image.resize(u, like.event_shape[:2], method="area").numpy()
    return np.rint(u * (like.num_levels - 1)).astype(like.test.x.dtype)


def _sets(arrays: Arrays) -> dict[str, np.ndarray]:
    return {k: v for k, v in arrays.items() if k not in ("dims", "levels")}


def _bits(arrays: Arrays, name: str) -> np.ndarray:
    from tfcnf.losses import bits_per_dim

    dims, levels = int(arrays["dims"]), int(arrays["levels"])
    return np.asarray(bits_per_dim(arrays[name], dims, levels))
