"""Figures of uses from arrays that were made by hand."""

import json

import numpy as np
import tensorflow as tf

from tfcnf.reporting import figures, uses
from tfcnf.reporting.runs import report

PICTURES = {
    *("calibration.png", "outliers.png", "temperatures.png"),
    *("interpolations.png", "swaps.png", "class_means.png"),
}


def test_every_use_has_its_figures(used_run, tmp_path):
    *written, page = report([str(used_run)], str(tmp_path))
    assert {path.name for path in written} == PICTURES
    for path in written:
        pixels = tf.io.decode_png(path.read_bytes()).numpy()
        assert pixels.std() > 1
        assert min(pixels.shape[:2]) > 150
    assert page == tmp_path / "report.html"


def test_classes_have_their_names_in_the_figures(used_run, tmp_path, monkeypatch):
    drawn = {}

    def spy(images, path, rows, title="", columns=()):
        drawn[path.name] = (list(rows), list(columns))

    monkeypatch.setattr(uses, "draw_grid", spy)
    names = json.loads((used_run / "data.json").read_text())["class_names"][0]
    report([str(used_run)], str(tmp_path))
    assert drawn["swaps.png"][1] == ["content", *names]
    assert drawn["class_means.png"][1] == drawn["temperatures.png"][1] == names


def test_labels_are_no_mathematics_and_not_too_long():
    shown = [figures._plain(text) for text in ("a$b$", "a\nb", "x" * 30)]
    assert shown == [r"a\$b\$", "a b", "x" * 19 + "…"]


def test_models_without_classes_have_fewer_pictures(used_run):
    with np.load(used_run / "gallery.npz") as file:
        arrays = {k: file[k] for k in file.files if k not in ("swaps", "class_means")}
    names = [name for name, _ in uses.gallery(arrays)]
    assert names == ["temperatures.png", "interpolations.png"]
