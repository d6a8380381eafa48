"""The data sets by name."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from pathlib import Path

from tfcnf.data import mixture1d, spirals, toy2d
from tfcnf.data.extras import train_extra
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource


def _load_images(loader: str, *args: str | None) -> DataSource:
    """Calls a function of `tfcnf.data.images`, which is imported when it is needed."""
    with train_extra("loading images of tensorflow-datasets"):
        from tfcnf.data import images
    load: Callable[..., DataSource] = getattr(images, loader)
    return load(*args)


def _load_series(name: str, data_dir: str | None) -> SeriesSource:
    """A set of `tfcnf.data.sktime_series`, which is imported when it is needed."""
    with train_extra("preparing series with tensorflow-datasets"):
        from tfcnf.data import sktime_series
    return sktime_series.load(name, data_dir)


LOADERS: dict[str, Callable[[str | None], DataSource | SeriesSource]] = {
    "digits": functools.partial(_load_images, "load_digits"),
    "factors": functools.partial(_load_images, "load_factors"),
    "mnist": functools.partial(_load_images, "load_mnist"),
    "mnist_5k": functools.partial(_load_images, "load_mnist_5k"),
    "cifar10": functools.partial(_load_images, "load_cifar10"),
    "mixture1d": mixture1d.load,
    **toy2d.LOADERS,
    **{name: functools.partial(spirals.load, name) for name in spirals.DESIGNS},
    "japanese_vowels": functools.partial(_load_series, "japanese_vowels"),
    "plaid": functools.partial(_load_series, "plaid"),
}


def get(name: str, data_dir: str | None = None) -> DataSource | SeriesSource:
    """Loads a data set into memory.

    Args:
        name: ``"digits"`` and ``"factors"`` (embedded), ``"mnist_5k"`` (of the extra
            ``mnist``), ``"mnist"``, ``"cifar10"``,
            ``"mixture1d"``, one of the toys of `tfcnf.data.toy2d`, the spirals of
            `tfcnf.data.spirals`, or real series, ``"japanese_vowels"`` and ``"plaid"``
            (of the extra ``series``); ``"tfds:NAME"`` for any data set of
            tensorflow-datasets with image and label; or the path of your own images,
            see `tfcnf.data.own.load`. A folder of the same name as one of the catalog
            is meant by ``"./NAME"``.
        data_dir: where tensorflow-datasets keeps prepared data; its default,
            ``~/tensorflow_datasets``, if None.

    Raises:
        ValueError: for an unknown name, or data that is neither there nor reachable.
        ImportError: for data that needs the extra ``train``, without it.
    """
    if name in LOADERS:
        return LOADERS[name](data_dir)
    if name.startswith("tfds:"):
        return _load_images("load_any", name.removeprefix("tfds:"), data_dir)
    is_path = Path(name).name != name or name.endswith(".npz")
    if is_path or (name and Path(name).is_dir()):
        with train_extra("reading your own images"):
            from tfcnf.data import own
        return own.load(name)
    near = difflib.get_close_matches(name, LOADERS, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"unknown data set; the catalog has {', '.join(LOADERS)}, and takes "
        f"'tfds:NAME', a folder of class folders or an .npz file.{hint} "
        f"Received: name={name!r}"
    )
