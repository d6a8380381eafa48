"""Judges that no flow had a part in: baselines, and what images show."""

from __future__ import annotations

import numpy as np

from tfcnf.data.source import Split
from tfcnf.labels.categorical import HIDDEN


class PixelClassifier:
    """Logistic regression of the first label factor.

    Of images it sees grey levels scaled to [0, 1], of vectors standardised numbers.

    Args:
        split: integer images or vectors; those whose label is hidden are left out.
        num_levels: grey levels; 1 for vectors.
    """

    def __init__(self, split: Split, num_levels: int):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.num_levels = num_levels
        known = split.y[:, 0] != HIDDEN
        scaler = "passthrough" if num_levels > 1 else StandardScaler()
        self.classifier = make_pipeline(scaler, LogisticRegression(max_iter=1000))
        self.classifier.fit(self._pixels(split.x[known]), split.y[known, 0])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Classes ``[n]`` of integer images, of floats in [0, 1], or of vectors."""
        if self.num_levels > 1 and np.issubdtype(x.dtype, np.floating):
            x = np.clip(np.floor(x * self.num_levels), 0, self.num_levels - 1)
        return self.classifier.predict(self._pixels(x))

    def error(self, split: Split) -> float:
        """Percent of the examples that it gets wrong."""
        return 100 * float(np.mean(self(split.x) != split.y[:, 0]))

    def _pixels(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1) / max(self.num_levels - 1, 1)


class PixelJudge:
    """Values of one label, class or number, by the five nearest training images.

    Args:
        x: integer images ``[n, H, W, C]``.
        y: their values ``[n]``.
        num_levels: grey levels.
        is_class: vote for a class; else the mean of the numbers.
    """

    def __init__(
        self, x: np.ndarray, y: np.ndarray, *, num_levels: int, is_class: bool
    ):
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        self.num_levels, self.is_class = num_levels, is_class
        kind = KNeighborsClassifier if is_class else KNeighborsRegressor
        self.neighbours = kind(5).fit(self._pixels(x), y)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Values ``[n]`` of integer images, or of floats in [0, 1]."""
        return self.neighbours.predict(self._pixels(x))

    def error(self, x: np.ndarray, y: np.ndarray) -> float:
        """Percent of wrong classes, or the root mean square error of numbers."""
        found = self(x)
        if self.is_class:
            return 100 * float(np.mean(found != y))
        return float(np.sqrt(np.mean(np.square(found - y))))

    def _pixels(self, x: np.ndarray) -> np.ndarray:
        if not np.issubdtype(x.dtype, np.floating):
            x = (x + 0.5) / self.num_levels
        return x.reshape(len(x), -1)
