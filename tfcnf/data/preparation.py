"""Preparation of data sets by tensorflow-datasets, by one process at a time."""

from __future__ import annotations

from pathlib import Path

import tensorflow_datasets as tfds
from filelock import FileLock


def prepare(
    builder: tfds.core.DatasetBuilder, bar: bool = False
) -> tfds.core.DatasetBuilder:
    """Prepares the data of a builder, unless they are there, and returns it.

    Workers that start together would move their results to the same place: the first
    prepares the data and the others wait for it.

    Args:
        builder: of the data set.
        bar: show the progress.

    Raises:
        OSError: for a folder that cannot be written.
    """
    place, root = Path(builder.data_dir), Path(builder.data_dir_root)
    if place.exists():
        return builder
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{builder.name}.lock"):
        if place.exists():  # another process was quicker
            builder.info.read_from_directory(place)
            return builder
        if not bar:
            tfds.disable_progress_bar()
        try:
            builder.download_and_prepare()
        finally:
            tfds.enable_progress_bar()
    return builder
