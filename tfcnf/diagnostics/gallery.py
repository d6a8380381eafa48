"""Images made from codes, judged by a classifier of pixels.

Samples of a class at several temperatures, images between two images, the content of
one image with the class of another, and the mean code of each class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.diagnostics import pictures
from tfcnf.diagnostics.base import Arrays, Diagnostic
from tfcnf.diagnostics.grid import grid_figure, plot_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.evaluation.pixels import PixelClassifier
    from tfcnf.models.infocnf import InfoCNF

TEMPERATURES = (0.0, 0.4, 0.7, 1.0, 1.3)
COPIES = 10  # samples of each class
CONTENTS = 50  # images whose content is given each class
SHOWN_CONTENTS = 10  # of them in the figure
STEPS = 9  # images of an interpolation
JUDGED = 5000  # training images that the judge learns from


class Gallery(Diagnostic):
    """Images made from codes, and how often they show the class that was asked for.

    Example:
        ```python
        from tfcnf.diagnostics import Gallery

        gallery = Gallery()
        arrays = gallery.compute(model, data)
        measures = dict(gallery.measures(arrays))
        measures["swaps/agreement"]  # percent
        gallery.plot(arrays, name="swaps")
        ```
    """

    title = "Gallery"
    caption = (
        "Images made from codes. An independent classifier of pixels says how often "
        "they show the class that was asked for."
    )
    columns = {
        "agreement": "class asked for (%)",
        "kept": "class of the content (%)",
        "class_share": "variance by the class (%)",
        "content_share": "variance by the content (%)",
        "end_error": "largest error at the ends",
    }
    files = ("temperatures", "class_means", "interpolations", "swaps")
    subject = "images whose first label is a class"
    takes_context = False
    instead = "; samples.png of the run shows samples for conditions of test examples"

    def takes(self, data: Any) -> bool:
        """True where the data are images whose first label is a class."""
        from tfcnf.labels.categorical import Categorical

        return pictures.has_images(data) and any(
            isinstance(label, Categorical) for label in data.labels[:1]
        )

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Images made from codes, and how a `PixelClassifier` classifies them.

        Args:
            model: the model.
            data: its data, images.
            tol: solver tolerance.

        Returns:
            Images in [0, 1], of test images where they are made from some:
            ``"tempered"`` ``[temperatures, n, H, W, C]``, the classes in turn, and
            ``"temperatures"``; ``"interpolations"`` ``[n, steps, H, W, C]`` from each
            class to the next, and their ``"ends"`` ``[n, 2, H, W, C]``. Of a model with
            a supervised code ``"class_means"`` ``[2, K, H, W, C]``: the decoded mean
            codes and the means of the training images, and ``"class_names"`` ``[K]``.
            Of one with an unsupervised code too, ``"swaps"`` ``[n, K, H, W, C]``, of
            the n ``"contents"`` and their ``"content_labels"``, the classes in order.
            ``"..._judged"`` are the judge's classes of them, and ``"judge_error"``
            (percent) is how often it errs on test images.
        """
        from tfcnf.data.source import Split
        from tfcnf.evaluation.pixels import PixelClassifier

        self.check(data)
        test, classes = data.test, data.num_classes[0]
        judge = PixelClassifier(
            Split(data.train.x[:JUDGED], data.train.y[:JUDGED]), data.num_levels
        )
        labels: Any = classes * COPIES
        if model.labels:
            labels = pictures.values_of_classes(model, labels)
        first = pictures.first_of_each_class(test.y, classes)
        ends = (test.x[first], test.x[np.roll(first, -1)])
        arrays = {
            "temperatures": np.array(TEMPERATURES),
            "tempered": pictures.tempered_samples(
                model, TEMPERATURES, labels=labels, tol=tol
            ),
            "interpolations": pictures.interpolations(model, *ends, STEPS, tol),
            "ends": np.stack([pictures.unit_interval(model, x) for x in ends], 1),
        }
        if model.is_supervised:
            arrays |= _of_classes(model, data, labels[:classes], tol)
            if model.prior.partition.unsupervised:
                contents = test.x[:CONTENTS]
                arrays |= {
                    "swaps": pictures.swaps(model, contents, test.x[first], tol),
                    "contents": pictures.unit_interval(model, contents),
                    "content_labels": test.y[:CONTENTS, 0],
                }
        judged = {
            f"{name}_judged": _judge(judge, arrays[name])
            for name in ("tempered", "class_means", "swaps")
            if name in arrays
        }
        return arrays | judged | {"judge_error": np.array(judge.error(test))}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Measures in percent where not said otherwise.

        Yields:
            ``judge_error``; ``interpolations/end_error``: the largest difference of a
            pixel between the ends of the lines and the images they should be, grey
            scale 0 to 1; and of a model with a supervised code, how often the judge
            sees the class that was asked for: ``tempered_T/agreement`` for each
            temperature, ``class_means/agreement``, and ``swaps/agreement``, with
            ``swaps/kept``, how often it still sees the class of the content, both over
            contents of another class than the one asked for; ``swaps/class_share`` and
            ``swaps/content_share`` are the parts of the variance of the swapped images'
            pixels that the image of the class and that of the content account for.
        """
        yield "judge_error", float(arrays["judge_error"])
        reached = arrays["interpolations"][:, [0, -1]]
        yield "interpolations/end_error", float(np.abs(reached - arrays["ends"]).max())
        if "class_means" not in arrays:
            return
        classes = _row(arrays)
        for t, judged in zip(
            arrays["temperatures"], arrays["tempered_judged"], strict=True
        ):
            asked: np.ndarray = np.arange(len(judged)) % classes
            yield f"tempered_{t:g}/agreement", _percent(judged == asked)
        seen = arrays["class_means_judged"][0]
        yield "class_means/agreement", _percent(seen == np.arange(classes))
        if "swaps" in arrays:
            judged, own = arrays["swaps_judged"], arrays["content_labels"][:, None]
            others = own != np.arange(classes)
            yield "swaps/agreement", _percent((judged == np.arange(classes))[others])
            yield "swaps/kept", _percent((judged == own)[others])
            pixels = arrays["swaps"].reshape(*judged.shape, -1)
            for name, axis in [("class", 0), ("content", 1)]:
                explained = pixels.mean(axis).var(0).sum() / pixels.var((0, 1)).sum()
                yield f"swaps/{name}_share", 100 * float(explained)

    def plot(
        self, arrays: Arrays, ax: Axes | None = None, name: str = "temperatures"
    ) -> Axes:
        """Draws one of the grids of images.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
            name: ``"temperatures"``, ``"interpolations"``, or, where the model has
                them, ``"swaps"`` or ``"class_means"``.

        Raises:
            ValueError: for an unknown name.
        """
        grids = _grids(arrays)
        check_choice("name", name, grids)
        images, rows, columns, title = grids[name]
        return plot_grid(images, ax, rows=rows, columns=columns, title=title)

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """A figure for each grid of images, see `plot`."""
        return {
            name: partial(grid_figure, *grid) for name, grid in _grids(arrays).items()
        }


def _of_classes(
    model: InfoCNF, data: DataSource, labels: np.ndarray, tol: float
) -> dict[str, np.ndarray]:
    x, y = data.train.x, data.train.y[:, 0]
    means = [x[y == k].mean(0) for k in range(len(labels))]
    pixel_means = pictures.unit_interval(model, np.stack(means))
    decoded = pictures.tempered_samples(model, (0.0,), labels=labels, tol=tol)
    return {
        "class_means": np.concatenate([decoded, pixel_means[None]]),
        "class_names": np.array(data.class_names[0]),
    }


def _grids(
    arrays: Arrays,
) -> dict[str, tuple[np.ndarray, Sequence[str], Sequence[str], str]]:
    """Images ``[rows, columns, H, W, C]``, labels of rows and columns, and title."""
    names = [str(name) for name in arrays.get("class_names", ())]
    if not names and "class_means" in arrays:
        names = [str(k) for k in range(_row(arrays))]
    images, ends = arrays["interpolations"], arrays["ends"]
    lines = np.concatenate([ends[:, :1], images, ends[:, 1:]], 1)
    grids: dict[str, tuple[np.ndarray, Sequence[str], Sequence[str], str]] = {
        "temperatures": (
            arrays["tempered"][:, : _row(arrays)],
            [f"{t:g}" for t in arrays["temperatures"]],
            names,
            "one draw of each class by temperature",
        ),
        "interpolations": (
            lines,
            (),
            ["image", *[""] * images.shape[1], "image"],
            "straight lines between the codes of two test images",
        ),
    }
    if "swaps" in arrays:
        swapped = arrays["swaps"][:SHOWN_CONTENTS]
        contents = arrays["contents"][:SHOWN_CONTENTS, None]
        grids["swaps"] = (
            np.concatenate([contents, swapped], 1),
            (),
            ["content", *names],
            "content of the left image, class of the column",
        )
    if "class_means" in arrays:
        labels = ["mean code, decoded", "mean of the images"]
        grids["class_means"] = arrays["class_means"], labels, names, "each class' mean"
    return grids


def _row(arrays: Arrays) -> int:
    """Images of a row: one of each class, or ten without classes."""
    return arrays["class_means"].shape[1] if "class_means" in arrays else 10


def _judge(judge: PixelClassifier, images: np.ndarray) -> np.ndarray:
    """The judge's classes ``[n, m]`` of images ``[n, m, H, W, C]``."""
    flat = images.reshape(-1, *images.shape[2:])
    return judge(flat).reshape(images.shape[:2])


def _percent(right: np.ndarray) -> float:
    return 100 * float(np.mean(right))
