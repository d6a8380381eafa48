"""Kinds of data: a new one is a class, and models are built without plotting."""

import json
import re
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

from tfcnf.data import catalog
from tfcnf.diagnostics import figures
from tfcnf.reporting.runs import report
from tfcnf.runs import Run, train
from tfcnf.tasks import Task

NEW_KIND = '''
"""Rows of numbers, a kind of data in one file."""

from dataclasses import dataclass

import numpy as np

from tfcnf.data import catalog
from tfcnf.data.source import DataSource, Split
from tfcnf.evaluation.image import Evaluator
from tfcnf.diagnostics.figures import draw_grid
from tfcnf.files import save_arrays
from tfcnf.tasks import Measure, Section, Task


@dataclass(frozen=True)
class Table(DataSource):
    task = "rows"


class TableEvaluator(Evaluator):
    def run(self, tol, draws=1, backward=False):
        yield from super().run(tol, draws, backward)
        yield "rows", len(self.split)


class Rows(Task):
    measures = Task.measures | {
        "rows": Measure("rows of the table", "lines", ".1f", tile=True)
    }
    curves = {"rows of the table": {"test": "test/rows"}}
    sections = (Section("Codes", "Where the rows are mapped to.", ("codes",)),)

    def evaluator(self, model, source, batch_size, split="test"):
        return TableEvaluator(model, source, batch_size, split)

    def draw(self, model, source, folder, tol):
        codes = model.encode(source.test.x, tol=tol).numpy()
        save_arrays(folder / "codes.npz", {"codes": codes})
        picture = codes[None, None, :, :, None]
        draw_grid(picture, folder / "codes.png", row_labels=[""])


def load(data_dir=None):
    rng = np.random.default_rng(0)
    splits = [
        Split(rng.normal(size=(n, 5)).astype(np.float32), np.zeros((n, 1), np.int32))
        for n in (20, 10)
    ]
    return Table("rows", *splits, (2,), 1)


catalog.LOADERS["rows"] = load
'''


@pytest.fixture
def new_kind(tmp_path, monkeypatch):
    """A kind of data in a file of its own."""
    (tmp_path / "own_rows.py").write_text(NEW_KIND)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(catalog, "LOADERS", dict(catalog.LOADERS))
    monkeypatch.setattr(Task, "known", dict(Task.known))
    import own_rows

    yield own_rows
    del sys.modules["own_rows"]


def test_a_new_kind_of_data_is_one_file(new_kind, config, tmp_path, capsys):
    config["data"] = "rows"
    config["training"] |= {"batch_size": 10, "epochs": 1}
    folder = tmp_path / "run"
    result = train(config, str(folder))
    assert result["rows"] == 10
    assert "samples.png" not in {path.name for path in folder.iterdir()}
    run = Run(folder)
    with np.load(folder / "codes.npz") as arrays:
        codes = run.model.encode(run.source.test.x, tol=1e-2).numpy()
        np.testing.assert_allclose(arrays["codes"], codes, rtol=1e-5)
    (line,) = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["test/rows"] == 10
    # its own measure is in the table and on the page, with its curve and its pictures
    row = r"rows of the table *\| lines *\| 10\.0 "
    assert re.search(row, capsys.readouterr().out)
    with mock.patch.object(figures, "save_figure") as saved:
        curves = new_kind.Rows.curves
        figures.draw_curves({"": [json.loads(line)]}, folder, curves=curves)
    (panel,) = saved.call_args.args[0].axes
    assert panel.get_title() == "rows of the table"
    page = report([str(folder)])[-1].read_text()
    assert "<strong>10.0</strong><span>rows of the table (lines)</span>" in page
    assert "<td>rows of the table</td><td>lines</td><td>10.0</td>" in page
    assert "<p>Where the rows are mapped to.</p>" in page
    assert 'alt="Codes: codes"' in page
    assert "Samples" not in page


def test_an_unknown_kind_of_data_is_named():
    class Odd:
        task = "sounds"

    with pytest.raises(ValueError, match=r"task must be one of images, points, series"):
        Task.of(Odd)


def test_a_model_is_built_without_plotting_or_scikit_learn():
    code = """
import sys
for name in ("matplotlib", "sklearn"):
    sys.modules[name] = None
from tfcnf.data.record import DataRecord, SplitRecord
from tfcnf.runs.build import build_model
from tfcnf.runs.config import default_config
config = default_config("infocnf")
config["model"] |= {"filters": 2, "flows_per_block": 1}
keywords = {"event_shape": (2,), "labels": 2, "num_levels": 1}
data = DataRecord("x", keywords, [], False, {"train": SplitRecord(900, [])})
print(type(build_model(config, data)).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "InfoCNF\n", done.stderr
