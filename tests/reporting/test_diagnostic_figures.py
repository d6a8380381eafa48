"""Figures of diagnostics from arrays that were made by hand."""

import numpy as np
import tensorflow as tf

from tfcnf.diagnostics import Gallery, grid
from tfcnf.reporting.runs import report

PICTURES = {
    *("calibration.png", "outliers.png", "temperatures.png"),
    *("interpolations.png", "swaps.png", "class_means.png"),
    *("paths.png", "paths.gif", "certificate.png"),
}


def test_every_diagnostic_has_its_figures(used_run, tmp_path):
    *written, page = report([str(used_run)], str(tmp_path))
    assert {path.name for path in written} == PICTURES
    for path in written:
        pixels = tf.io.decode_image(path.read_bytes(), expand_animations=False).numpy()
        assert pixels.std() > 1
        least = 80 if path.stem == "paths" else 150  # one row of small images
        assert min(pixels.shape[:2]) > least
    assert page == tmp_path / "report.html"


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_classes_have_their_names_in_the_figures(used_run):
    with np.load(used_run / "gallery.npz") as file:
        arrays = dict(file)
    shown = [grid.plain(name) for name in arrays["class_names"]]
    gallery = Gallery()
    assert ticks(gallery.plot(arrays, name="swaps").xaxis) == ["content", *shown]
    for name in ("class_means", "temperatures"):
        assert ticks(gallery.plot(arrays, name=name).xaxis) == shown
    del arrays["class_names"]  # an older file
    numbers = [str(k) for k in range(10)]
    assert ticks(gallery.plot(arrays).xaxis) == numbers


def test_labels_are_no_mathematics_and_not_too_long():
    shown = [grid.plain(text) for text in ("a$b$", "a\nb", "x" * 30)]
    assert shown == [r"a\$b\$", "a b", "x" * 19 + "…"]


def test_models_without_classes_have_fewer_pictures(used_run):
    missing = ("swaps", "class_means", "class_names")
    with np.load(used_run / "gallery.npz") as file:
        arrays = {k: file[k] for k in file.files if k not in missing}
    assert list(Gallery().figures(arrays)) == ["temperatures", "interpolations"]
