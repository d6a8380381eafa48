"""The data sets by name."""

from __future__ import annotations

import difflib

from tfcnf.data import images
from tfcnf.data.source import DataSource

LOADERS = {
    "digits": images.load_digits,
    "mnist": images.load_mnist,
    "cifar10": images.load_cifar10,
}


def get(name: str, data_dir: str | None = None) -> DataSource:
    """Loads a data set into memory.

    Args:
        name: ``"digits"`` (embedded), ``"mnist"`` or ``"cifar10"``.
        data_dir: where tensorflow-datasets keeps prepared data; its default,
            ``~/tensorflow_datasets``, if None.

    Raises:
        ValueError: for an unknown name, or data that is neither there nor reachable.
    """
    if name not in LOADERS:
        near = difflib.get_close_matches(name, LOADERS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"unknown data set; the catalog has {', '.join(LOADERS)}.{hint} "
            f"Received: name={name!r}"
        )
    return LOADERS[name](data_dir)
