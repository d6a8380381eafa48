"""Images of whole grey levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.tasks.base import Section, Task

if TYPE_CHECKING:
    from tfcnf.data.source import DataSource
    from tfcnf.evaluation.image import Evaluator


class Images(Task):
    """Images, of which a run leaves samples and reconstructions."""

    sections = (
        Section(
            "Samples",
            "Images that the model draws, one row for each class.",
            ("samples",),
        ),
        Section(
            "Inversion",
            "Test images, encoded and decoded again, and the absolute difference.",
            ("reconstructions",),
        ),
    )

    def evaluator(
        self, model: Any, source: DataSource, batch_size: int, split: str = "test"
    ) -> Evaluator:
        """See `Task.evaluator`."""
        from tfcnf.evaluation.image import Evaluator

        return Evaluator(model, source, batch_size, split)

    def epoch_images(
        self, model: Any, source: DataSource
    ) -> Callable[[], dict[str, np.ndarray]] | None:
        """Samples, interpolations, swaps and reconstructions."""
        from tfcnf.training.averaging import averaged

        if len(source.event_shape) != 3 or source.test.context is not None:
            return None
        from tfcnf.diagnostics.grid import tiled
        from tfcnf.diagnostics.pictures import gallery_pages, reconstructions

        def draw() -> dict[str, np.ndarray]:
            x, y = source.test.x, source.test.y
            with averaged(model):
                restored = reconstructions(model, x[:10], tol=1e-3)
                pages = gallery_pages(model, x, y, tol=1e-3)
            return {**pages, "reconstructions": tiled(restored)[None]}

        return draw

    def draw(self, model: Any, source: DataSource, folder: Path, tol: float) -> None:
        """Leaves ``samples.png``, a row for each class, and ``reconstructions.png``."""
        from tfcnf.diagnostics.figures import draw_grid
        from tfcnf.diagnostics.pictures import class_samples, reconstructions

        classes = [name * model.is_supervised for name in source.class_names[0]]
        context = source.test.context
        samples = class_samples(model, tol=tol, rows=len(classes), context=context)
        draw_grid(samples, folder / "samples.png", row_labels=classes)
        first = source.test.take(np.arange(min(10, len(source.test))))
        rows = reconstructions(model, first.x, tol, context=first.context)
        worst = rows[2].max()
        draw_grid(
            rows,
            folder / "reconstructions.png",
            row_labels=["x", "decode(encode(x))", "difference"],
            title=f"largest difference {worst:.1e}",
        )
