"""Real series of sktime: with a stand-in for the package, and itself if it is there."""

import importlib.util
import runpy
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfcnf.data import catalog
from tfcnf.models.latent_ode import LatentODE
from tfcnf.runs.config import check_config

CONFIG = Path(__file__).parents[2] / "configs" / "series.py"

LENGTHS = {"train": (7, 9), "test": (8, 7, 10)}


def few(split, return_type):
    """A few utterances, as sktime gives them; each has its class as first value."""
    assert return_type == "df-list"
    rows = [
        np.full([n, 12], i + 1.0) + np.arange(12) for i, n in enumerate(LENGTHS[split])
    ]
    labels = np.array([str(i + 1) for i in range(len(rows))])
    return [pd.DataFrame(row) for row in rows], labels


def test_series_of_sktime_keep_their_lengths_and_classes(monkeypatch, tmp_path):
    datasets = types.SimpleNamespace(load_japanese_vowels=few)
    monkeypatch.setitem(sys.modules, "sktime", types.SimpleNamespace(datasets=datasets))
    source = catalog.get("japanese_vowels", str(tmp_path))
    assert source.model_keywords()["units"]["duration"] == 7.0  # 6 and 8 steps
    assert (source.window, source.labels[0].num_classes) == (8.0, 9)
    for name, split in source.splits.items():
        lengths = split.x.mask.sum(1)
        assert sorted(lengths) == sorted(LENGTHS[name])
        np.testing.assert_array_equal(split.x.times.max(1), lengths - 1)
        np.testing.assert_array_equal(split.x.values[:, 0, 0], split.y[:, 0] + 1)
    config = runpy.run_path(str(CONFIG))["get_config"]("partition=head").to_dict()
    check_config(config)
    assert LatentODE(**source.model_keywords(), **config["model"]).is_supervised
    monkeypatch.setitem(sys.modules, "sktime", None)  # prepared, it is not asked for
    assert len(catalog.get("japanese_vowels", str(tmp_path)).test) == 3


def test_series_without_sktime_name_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sktime", None)
    with pytest.raises(ImportError, match=r'"tfcnf\[series\]".* no module sktime'):
        catalog.get("plaid", str(tmp_path))
    assert not list(tmp_path.glob("plaid/[0-9]*"))


@pytest.mark.skipif(
    importlib.util.find_spec("sktime") is None, reason="sktime is not installed"
)
@pytest.mark.parametrize(
    ("name", "counts", "shortest", "longest"),
    [("japanese_vowels", (270, 370), 7, 29), ("plaid", (537, 537), 100, 1344)],
)
def test_series_are_those_published(name, counts, shortest, longest, tmp_path):
    source = catalog.get(name, str(tmp_path))
    assert (len(source.train), len(source.test)) == counts
    lengths = np.concatenate([s.x.mask.sum(1) for s in source.splits.values()])
    assert (lengths.min(), lengths.max()) == (shortest, longest)
