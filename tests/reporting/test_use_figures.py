"""Figures of uses from arrays that were made by hand."""

import numpy as np
import tensorflow as tf

from tfcnf.reporting import uses
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


def test_models_without_classes_have_fewer_pictures(used_run):
    with np.load(used_run / "gallery.npz") as file:
        arrays = {k: file[k] for k in file.files if k not in ("swaps", "class_means")}
    names = [name for name, _ in uses.gallery(arrays)]
    assert names == ["temperatures.png", "interpolations.png"]
