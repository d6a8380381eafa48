"""The embedded default data set: scikit-learn's 8x8 handwritten digits in tfds.

The images are the UCI "Optical Recognition of Handwritten Digits" test set that
ships inside scikit-learn (Alpaydin and Kaynak, 1998, CC BY 4.0), so preparing them
needs no download.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

NUM_LEVELS = 17
TEST_EXAMPLES = 360


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 images of 8x8 pixels with grey levels 0..16 and labels 0..9.

    The split is fixed and stratified: 1,437 training and 360 test images.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )
        return self.dataset_info_from_configs(
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        images = pixels.reshape(-1, 8, 8, 1).astype(np.uint8)
        return {
            name: self._generate_examples(images, labels, rows)
            for name, rows in stratified(labels, TEST_EXAMPLES).items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        return examples(images, labels, rows)


def stratified(labels: np.ndarray, test_size: int | float) -> dict[str, np.ndarray]:
    """Rows of a fixed training and test split with the same part of each class.

    Args:
        labels: ``[n]``.
        test_size: number or fraction of the test examples.
    """
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=0
    )
    return {"train": np.sort(train), "test": np.sort(test)}


def examples(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Key and features of each of these rows."""
    for i in rows:
        yield int(i), {"image": images[i], "label": int(labels[i])}
