"""One label of an image changed at a time, all else held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.diagnostics.base import Arrays, Diagnostic, new_figure
from tfcnf.diagnostics.grid import grid_figure, plot_grid
from tfcnf.diagnostics.pictures import has_images, unit_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tfcnf.data.source import DataSource
    from tfcnf.evaluation.pixels import PixelJudge
    from tfcnf.models.infocnf import InfoCNF

CONTENTS = 50  # test images that are changed
SHOWN = 8  # of them in the figure
VALUES = 10  # values of a label, at most


class Factors(Diagnostic):
    """Test images whose code of one label is that of another value.

    The code z_yi of a label becomes the mean of its prior for a value, and the codes of
    the other labels and z_u stay as they are (InfoCNF section 2.2). Judges of pixels,
    one for each label, say whether the image then shows the value, and whether it
    still shows its own values of the other labels.

    Example:
        ```python
        from tfcnf.diagnostics import Factors

        factors = Factors()
        arrays = factors.compute(model, data)
        measures = dict(factors.measures(arrays))
        sorted(measures)  # "ink/agreement", "ink/kept_class", ...
        factors.plot(arrays)
        ```
    """

    title = "Factors"
    caption = (
        "Test images with one label changed and all else of their code held. "
        "Judges of pixels say what the images show."
    )
    columns = {
        "agreement": "value asked for (%)",
        "rmse": "distance from the value asked for",
        "judge_error": "error of the judge (%)",
        "judge_rmse": "error of the judge",
    }
    subject = "images with labels"

    def takes(self, data: Any) -> bool:
        """True where the data are images with labels."""
        return has_images(data) and bool(data.labels)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, Any]:
        """Changed images, and what judges see in them.

        Args:
            model: a model with a supervised code.
            data: its data, images.
            tol: solver tolerance.

        Returns:
            ``"contents"`` ``[n, H, W, C]``, the test images; for each label NAME
            ``"NAME_images"`` ``[n, m, H, W, C]`` for its ``"NAME_values"``
            ``[m, columns]`` with ``"NAME_captions"`` ``[m]``; ``"NAME_seen/OTHER"``
            ``[n, m]``, the values of each label OTHER that its judge sees there;
            ``"NAME_own"`` ``[n]``, the contents' values; ``"NAME_judge"``, the judge's
            error on all test images (percent, or the root of the mean square in the
            label's own units); and ``"labels"``, the names.

        Raises:
            ValueError: for a model without a supervised code.
        """
        import tensorflow as tf

        from tfcnf.labels.kinds import parts_of

        self.check(data)
        if not model.is_supervised:
            raise ValueError(
                "factors are changed where a part of the code is supervised. "
                f"Received: supervised_fraction={model.supervised_fraction}"
            )
        names = [label.title or f"label {i}" for i, label in enumerate(model.labels)]
        judges = _judges(data)
        x = data.test.x[:CONTENTS]
        own = parts_of(data.labels, data.test.y)
        codes, rest = model.prior.partition.split(model.encode(x, tol=tol))
        arrays: dict[str, Any] = {
            "contents": unit_interval(model, x),
            "labels": np.array(names),
        }
        for i, (name, label) in enumerate(zip(names, model.labels, strict=True)):
            values = label.examples(VALUES)
            means = label.prior(tf.constant(values)).loc
            parts = [tf.repeat(part, len(values), 0) for part in codes]
            parts[i] = tf.tile(means, [len(x), 1])
            z = model.prior.partition.merge(parts, tf.repeat(rest, len(values), 0))
            images = model.decode(z, tol=tol).numpy()
            for other, judge in zip(names, judges, strict=True):
                arrays[f"{name}_seen/{other}"] = judge(images).reshape(len(x), -1)
            arrays |= {
                f"{name}_images": images.reshape(len(x), -1, *model.event_shape),
                f"{name}_values": values,
                f"{name}_captions": np.array([label.caption(v) for v in values]),
                f"{name}_own": own[i][: len(x), 0],
                f"{name}_judge": np.array(judges[i].error(data.test.x, own[i][:, 0])),
                f"{name}_whole": np.array(label.integer),
            }
        return arrays

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Findings of the judges, over contents whose own value is another.

        Yields:
            For each label ``NAME/agreement`` (percent of images that show the class
            that was asked for) and ``NAME/judge_error`` (percent), or for numbers
            ``NAME/rmse`` and ``NAME/judge_rmse`` in their own units; and for each other
            label ``NAME/kept_OTHER``, the percent of images that still show their own
            class, or ``NAME/moved_OTHER``, the root of the mean square between the
            number that the judge sees and the image's own.
        """
        names = [str(name) for name in arrays["labels"]]
        for name in names:
            asked = arrays[f"{name}_values"][:, 0]
            changed = arrays[f"{name}_own"][:, None] != asked
            seen = arrays[f"{name}_seen/{name}"]
            judge = float(arrays[f"{name}_judge"])
            if arrays[f"{name}_whole"]:
                yield f"{name}/agreement", _percent((seen == asked)[changed])
                yield f"{name}/judge_error", judge
            else:
                yield f"{name}/rmse", _rms((seen - asked)[changed])
                yield f"{name}/judge_rmse", judge
            for other in names:
                if other == name:
                    continue
                own = arrays[f"{other}_own"][:, None]
                seen_other = arrays[f"{name}_seen/{other}"]
                if arrays[f"{other}_whole"]:
                    kept = (seen_other == own)[changed]
                    yield f"{name}/kept_{other}", _percent(kept)
                else:
                    yield f"{name}/moved_{other}", _rms((seen_other - own)[changed])

    def plot(self, arrays: Arrays, ax: Axes | None = None, name: str = "") -> Axes:
        """Draws the images of one label, the values along the columns.

        Args:
            arrays: of `compute`.
            ax: axes to draw on; those of a new figure if None.
            name: name of the label; the first if empty.

        Raises:
            ValueError: for an unknown name.
        """
        names = [str(known) for known in arrays["labels"]]
        check_choice("name", name or names[0], names)
        images, columns, title = _grid(arrays, name or names[0])
        return plot_grid(images, ax, columns=columns, title=title)

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """``"factors"``: all labels, one below the other."""
        return {self.key: partial(_figure, arrays)}


def _judges(data: DataSource) -> list[PixelJudge]:
    """A judge for each label, from the training images."""
    from tfcnf.evaluation.pixels import PixelJudge
    from tfcnf.labels.kinds import parts_of

    values = parts_of(data.labels, data.train.y)
    return [
        PixelJudge(
            data.train.x,
            part[:, 0],
            num_levels=data.num_levels,
            is_class=label.integer,
        )
        for label, part in zip(data.labels, values, strict=True)
    ]


def _grid(arrays: Arrays, name: str) -> tuple[np.ndarray, Sequence[str], str]:
    images = arrays[f"{name}_images"][:SHOWN]
    contents = arrays["contents"][:SHOWN, None]
    captions = [str(caption) for caption in arrays[f"{name}_captions"]]
    title = f"{name} of the left image, changed"
    return np.concatenate([contents, images], 1), ["image", *captions], title


def _figure(arrays: Arrays) -> Figure:
    """One grid for each label, one below the other."""
    names = [str(name) for name in arrays["labels"]]
    if len(names) == 1:
        images, columns, title = _grid(arrays, names[0])
        return grid_figure(images, columns=columns, title=title)
    figure = new_figure(0.6 * (VALUES + 2), (0.6 * SHOWN + 1) * len(names))
    panels: Any = figure.subplots(len(names), 1)
    for ax, name in zip(panels, names, strict=True):
        images, columns, title = _grid(arrays, name)
        plot_grid(images, ax, columns=columns, title=title)
    return figure


def _percent(right: np.ndarray) -> float:
    return 100 * float(np.mean(right))


def _rms(gap: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(gap))))
