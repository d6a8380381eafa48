"""Real series without a download: two sets of unequal lengths that ship with sktime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfcnf.data.extras import train_extra
from tfcnf.data.preparation import prepare
from tfcnf.data.series import SeriesSource, SeriesSplit, pad_series
from tfcnf.labels.categorical import Categorical

SPLITS = ("train", "test")


class SktimeBuilder(tfds.core.GeneratorBasedBuilder):
    """Series of sktime with a class each; a subclass says which.

    Attributes:
        loader: name of the function of ``sktime.datasets``.
        dims: numbers of a point.
        classes: as sktime writes them.
    """

    VERSION = tfds.core.Version("1.0.0")
    loader: ClassVar[str]
    dims: ClassVar[int]
    classes: ClassVar[tuple[str, ...]]

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "values": tfds.features.Tensor(
                    shape=(None, self.dims), dtype=np.float32
                ),
                "label": tfds.features.ClassLabel(names=self.classes),
            }
        )
        return self.dataset_info_from_configs(
            features=features,
            supervised_keys=("values", "label"),
            homepage="https://www.timeseriesclassification.com",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        load = _loader(self.name, self.loader)
        return {
            split: self._generate_examples(*load(split=split, return_type="df-list"))
            for split in SPLITS
        }

    def _generate_examples(
        self, frames: Any, labels: Any
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for i, (frame, label) in enumerate(zip(frames, labels, strict=True)):
            values = np.asarray(frame, np.float32)
            yield i, {"values": values, "label": str(label)}


class JapaneseVowels(SktimeBuilder):
    """640 utterances of a vowel by 9 men: 12 cepstrum coefficients at 7 to 29 points.

    270 to train and 370 to test, split as published (Kudo, Toyama and Shimbo 1999).
    """

    name = "japanese_vowels"
    loader = "load_japanese_vowels"
    dims = 12
    classes = tuple(map(str, range(1, 10)))


class Plaid(SktimeBuilder):
    """1,074 currents of 11 kinds of household appliances at 100 to 1,344 points.

    537 to train and 537 to test, split as published (Gao et al. 2014).
    """

    name = "plaid"
    loader = "load_plaid"
    dims = 1
    classes = tuple(map(str, range(11)))


BUILDERS = {builder.name: builder for builder in (JapaneseVowels, Plaid)}


def load(name: str, data_dir: str | None = None) -> SeriesSource:
    """A set of `BUILDERS` by name; prepared on first use, without a download.

    Times count the points of a series. The model gets units of the training split.

    Raises:
        ImportError: naming the extra, where the set is not prepared and sktime is not
            installed.
    """
    builder = prepare(BUILDERS[name](data_dir=data_dir))
    train, test = (_split(builder, split) for split in SPLITS)
    names = builder.info.features["label"].names
    labels = (Categorical(len(names), names, title="class"),)
    window = float(train.x.times.max())
    return SeriesSource(name, train, test, {}, labels, window, standardise=True)


def _loader(name: str, function: str) -> Callable[..., Any]:
    """A function of ``sktime.datasets``."""
    with train_extra(f"data={name}, which ships with sktime,", "series"):
        from sktime import datasets
    load: Callable[..., Any] = getattr(datasets, function)
    return load


def _split(builder: tfds.core.DatasetBuilder, split: str) -> SeriesSplit:
    rows = list(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))
    values = [row["values"] for row in rows]
    series = pad_series(values, [np.arange(float(len(v))) for v in values])
    return SeriesSplit(series, np.array([[row["label"]] for row in rows], np.int32))
