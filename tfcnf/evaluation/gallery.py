"""What codes are good for, in pictures and judged by a classifier of pixels.

Samples of a class at several temperatures, images between two images, the content of
one image with the class of another, and the mean code of each class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfcnf.data.source import DataSource, Split
from tfcnf.evaluation import pictures
from tfcnf.evaluation.pixels import PixelClassifier
from tfcnf.models.infocnf import InfoCNF

TEMPERATURES = (0.0, 0.4, 0.7, 1.0, 1.3)
COPIES = 10  # samples of each class
CONTENTS = 50  # images whose content is given each class
STEPS = 9  # images of an interpolation
JUDGED = 5000  # training images that the judge learns from


def gallery_arrays(
    model: InfoCNF, source: DataSource, tol: float
) -> dict[str, np.ndarray]:
    """Images made from codes, and how a `PixelClassifier` classifies them.

    Args:
        model: the model.
        source: its data, images.
        tol: solver tolerance.

    Returns:
        Images in [0, 1], of test images where they are made from some:
        ``"tempered"`` ``[temperatures, n, H, W, C]``, the classes in turn, and
        ``"temperatures"``; ``"interpolations"`` ``[n, steps, H, W, C]`` from each class
        to the next, and their ``"ends"`` ``[n, 2, H, W, C]``. Of a model with a
        supervised code ``"class_means"`` ``[2, K, H, W, C]``: those of the mean codes,
        and the means of the training images. Of one with an unsupervised code too,
        ``"swaps"`` ``[n, K, H, W, C]``, of the n ``"contents"`` and their
        ``"content_labels"``, the classes in order. ``"..._judged"`` are the judge's
        classes of them, and ``"judge_error"`` (percent) is how often it errs on test
        images.
    """
    test, classes = source.test, model.num_classes[0]
    judge = PixelClassifier(
        Split(source.train.x[:JUDGED], source.train.y[:JUDGED]), source.num_levels
    )
    labels: Any = np.zeros([classes * COPIES, len(model.num_classes)], np.int32)
    labels[:, 0] = np.arange(len(labels)) % classes
    first = pictures.first_of_each_class(test.y, classes)
    ends = (test.x[first], test.x[np.roll(first, -1)])
    arrays = {
        "temperatures": np.array(TEMPERATURES),
        "tempered": pictures.tempered_samples(model, TEMPERATURES, labels, tol=tol),
        "interpolations": pictures.interpolations(model, *ends, STEPS, tol),
        "ends": np.stack([pictures.unit_interval(model, x) for x in ends], 1),
    }
    if model.is_supervised:
        means = [
            source.train.x[source.train.y[:, 0] == k].mean(0) for k in range(classes)
        ]
        pixel_means = pictures.unit_interval(model, np.stack(means))
        decoded = pictures.tempered_samples(model, (0.0,), labels[:classes], tol=tol)
        arrays["class_means"] = np.concatenate([decoded, pixel_means[None]])
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


def gallery_measures(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    """Measures from `gallery_arrays`, in percent where not said otherwise.

    Yields:
        ``judge_error``; ``interpolations/end_error``: the largest difference of a pixel
        between the ends of the lines and the images they should be, grey scale 0 to 1;
        and of a model with a supervised code, how often the judge sees the class that
        was asked for: ``tempered_T/agreement`` for each temperature,
        ``class_means/agreement``, and ``swaps/agreement``, with ``swaps/kept``, how
        often it still sees the class of the content, both over contents of another
        class than the one asked for; ``swaps/class_share`` and ``swaps/content_share``
        are the parts of the variance of the swapped images' pixels that the image of
        the class and that of the content account for.
    """
    yield "judge_error", float(arrays["judge_error"])
    reached = arrays["interpolations"][:, [0, -1]]
    yield "interpolations/end_error", float(np.abs(reached - arrays["ends"]).max())
    if "class_means" not in arrays:
        return
    classes = arrays["class_means"].shape[1]
    for t, judged in zip(
        arrays["temperatures"], arrays["tempered_judged"], strict=True
    ):
        asked = np.arange(len(judged)) % classes
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


def _judge(judge: PixelClassifier, images: np.ndarray) -> np.ndarray:
    """The judge's classes ``[n, m]`` of images ``[n, m, H, W, C]``."""
    flat = images.reshape(-1, *images.shape[2:])
    return judge(flat).reshape(images.shape[:2])


def _percent(right: np.ndarray) -> float:
    return 100 * float(np.mean(right))
