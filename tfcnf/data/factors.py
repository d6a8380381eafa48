"""Images with several labels: the embedded digits, rotated and in coloured ink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfcnf.data.digits import Digits
from tfcnf.data.preparation import prepare

SIDE = 12  # pixels: room for a rotated digit
LARGEST = 45.0  # degrees
COPIES = {"train": 4, "test": 1}  # of each digit, each with an ink and angle of its own
FAINT = 0.25  # of the brightness, in the channels that an ink leaves dark
INKS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "magenta": (1, 0, 1),
    "cyan": (0, 1, 1),
    "white": (1, 1, 1),
}


class Factors(tfds.core.GeneratorBasedBuilder):
    """The embedded digits, each turned by an angle and in one of seven inks.

    5,748 training images of 12x12 pixels and 360 test images, with grey levels 0..16 in
    three channels. ``label`` is the digit, ``ink`` a class, and ``rotation`` the angle
    in degrees, counterclockwise, uniform in [-45, 45]. Inks and angles are drawn from
    a fixed seed; the digits' split is kept.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(SIDE, SIDE, 3), dtype=np.uint8),
                "label": tfds.features.ClassLabel(num_classes=10),
                "ink": tfds.features.ClassLabel(names=list(INKS)),
                "rotation": np.float32,
            }
        )
        return self.dataset_info_from_configs(
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        digits = prepare(Digits(data_dir=self.data_dir_root))
        return {
            name: self._generate_examples(digits, name, copies)
            for name, copies in COPIES.items()
        }

    def _generate_examples(
        self, digits: tfds.core.DatasetBuilder, split: str, copies: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        rng = np.random.default_rng([2912, len(split)])
        rows = tfds.as_numpy(digits.as_dataset(split=split, shuffle_files=False))
        for i, row in enumerate(rows):
            for copy in range(copies):
                ink, angle = rng.integers(len(INKS)), rng.uniform(-LARGEST, LARGEST)
                yield (
                    f"{i}_{copy}",
                    {
                        "image": paint(row["image"][..., 0], list(INKS)[ink], angle),
                        "label": int(row["label"]),
                        "ink": int(ink),
                        "rotation": np.float32(angle),
                    },
                )


def paint(digit: np.ndarray, ink: str, angle: float) -> np.ndarray:
    """An image ``[12, 12, 3]`` of a digit ``[8, 8]`` of grey levels 0..16.

    Args:
        digit: grey levels.
        ink: its name.
        angle: degrees, counterclockwise.
    """
    from scipy import ndimage

    margin = (SIDE - len(digit)) // 2
    wide = np.pad(digit.astype(np.float64), margin)
    turned = ndimage.rotate(wide, angle, reshape=False, order=1)
    strength = np.maximum(np.array(INKS[ink], np.float64), FAINT)
    return np.round(turned[..., None] * strength).astype(np.uint8)
