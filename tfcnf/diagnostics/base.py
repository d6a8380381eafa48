"""Diagnostics: what a trained model does, as arrays, measures and pictures.

A new diagnostic is one file with a subclass of `Diagnostic`. Scripts and reports find
it by its name: ``launch/evaluate.py --uses=NAME`` leaves ``NAME.npz`` and
``NAME.json``, and ``launch/report.py`` draws its pictures and shows it on the page of
the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from tfcnf.registry import Registered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = Mapping[str, np.ndarray]


class Diagnostic(Registered, kind="diagnostic"):
    """Arrays of a model and its data, measures of the arrays, and pictures of them.

    A subclass defines `compute`, `measures` and `plot`, and says on which data it can
    be used. Its name in lower case is its key.

    Attributes:
        title: title of its section on the page of a run.
        caption: what the section shows, in a sentence or two.
        columns: measures ``ROW/NAME`` that the table of the section shows, and the
            titles of their columns, by NAME; all of them if empty.
        files: names of the PNG and GIF files of the section; the key if empty.
        subject: data that it is for, as messages say it.
        takes_context: whether that may be data with a context.
        instead: what to look at of data with a context, where it does not take them.
    """

    title: ClassVar[str] = ""
    caption: ClassVar[str] = ""
    columns: ClassVar[Mapping[str, str]] = {}
    files: ClassVar[tuple[str, ...]] = ()
    subject: ClassVar[str] = "any data"
    takes_context: ClassVar[bool] = True
    instead: ClassVar[str] = ""

    @classmethod
    def of_run(cls, config: Mapping[str, Any], data_dir: str | None = None) -> Self:
        """The diagnostic with the options that a run gives it.

        Args:
            config: configuration of the run.
            data_dir: folder of tensorflow-datasets, or None.
        """
        return cls()

    def takes(self, data: Any) -> bool:
        """True where it can be used on a data source."""
        return True

    def check(self, data: Any) -> None:
        """Refuses data that it is not for.

        Raises:
            ValueError: for other data.
        """
        if not self.takes(data):
            raise ValueError(
                f"{self.key} is for {self.subject}. Received: data={data.name!r}"
            )
        context = getattr(data.train, "context", None)
        if context is not None and not self.takes_context:
            raise ValueError(
                f"{self.key} is for data without a context{self.instead}. Received: "
                f"data={data.name!r}, context.shape={context.shape}"
            )

    def compute(self, model: Any, data: Any, *, tol: float = 1e-5) -> dict[str, Any]:
        """The arrays that measures and pictures are made of.

        Args:
            model: a trained model.
            data: its data source.
            tol: solver tolerance.

        Raises:
            ValueError: for data, or a model, that it is not for.
        """
        raise NotImplementedError

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Yields (name, value) from the arrays of `compute`."""
        raise NotImplementedError

    @classmethod
    def verdict(cls, measures: Mapping[str, Any]) -> list[str]:
        """Sentences that the measures lead to; none unless a subclass has any."""
        return []

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws the arrays of `compute`.

        Args:
            arrays: the arrays.
            ax: axes to draw on; those of a new figure if None.

        Returns:
            The axes.
        """
        raise NotImplementedError

    def figures(self, arrays: Arrays) -> dict[str, Callable[[], Figure]]:
        """Functions that draw whole figures, by the name of the PNG file."""
        return {self.key: partial(self._figure, arrays)}

    def animations(self, arrays: Arrays) -> dict[str, Callable[[], Iterator[Figure]]]:
        """Functions that draw the frames of an animation, by the name of the GIF."""
        return {}

    def _figure(self, arrays: Arrays) -> Figure:
        figure = new_figure(6, 4)
        self.plot(arrays, figure.subplots())
        return figure


def new_axes(ax: Axes | None) -> Axes:
    """The axes themselves, or those of a new figure of pyplot if None."""
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(layout="constrained")[1]
    return ax


def new_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    """An empty figure of this size in inches, unknown to pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)
