"""Single runs beside the authors' logs, from run folders that were written by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf

from papers.authors import draw_beside, read_log, table_beside
from papers.one_run import draw

NFE = {"nfe_forward": 210.0, "nfe_backward": 190.0}


def write_run(folder, data, **files):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"data": data}))
    for name, lines in files.items():
        text = "".join(json.dumps(NFE | line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


def cells(table):
    return [[c.strip() for c in row.split("|")[1:-1]] for row in table.splitlines()]


def is_picture(path):
    pixels = tf.io.decode_png(path.read_bytes()).numpy()
    return pixels.std() > 1 and min(pixels.shape[:2]) > 200


def test_steps_of_a_training_stand_beside_the_authors(tmp_path):
    steps = [{"step": s, "bits_per_dim": 30.0 - s, "error": 80.0} for s in (5, 10, 15)]
    run = write_run(tmp_path / "mnist", "mnist", steps=steps)
    picture, table = draw([str(run)])
    assert (picture.name, table.name) == ("authors.png", "authors.md")
    assert is_picture(picture)
    rows = cells(table.read_text())
    assert rows[2] == ["mnist", "5", "25.00", "80.0", "400"]
    assert ["mnist", "10", "20.00", "80.0", "400"] in rows
    assert ["authors: CCNF", "10", "17.79", "85.0", "410"] in rows
    assert not any(row[1] in ("20", "30") for row in rows)


def test_runs_on_other_data_are_left_out(tmp_path):
    steps = [{"step": 10, "bits_per_dim": 9.0}]
    first = write_run(tmp_path / "a", "cifar10", steps=steps)
    other = write_run(tmp_path / "b", "mnist", steps=steps)
    _, table = draw([str(first), str(other)], str(tmp_path))
    assert table.parent == tmp_path
    names = {row[0] for row in cells(table.read_text())[2:]}
    assert names == {"a", "authors: CCNF", "authors: InfoCNF"}


def test_spirals_are_drawn_with_the_authors_elbo(make_trajectories, tmp_path):
    lines = [{"step": s, "running_elbo": -1e5 / s} for s in (100, 500, 700, 1000)]
    run = write_run(tmp_path / "run", "spirals_reference", metrics=lines)
    arrays = make_trajectories([[1.0, 0.25, 1.0], [1.0, 0.2, 0.0]])
    np.savez(run / "trajectories.npz", **arrays)
    written = {path.name: path for path in draw([str(run)])}
    assert set(written) == {"authors.png", "authors.md", "spirals.png"}
    assert all(is_picture(p) for name, p in written.items() if name.endswith("png"))
    rows = cells(written["authors.md"].read_text())
    assert [row[:3] for row in rows[2:5]] == [
        ["run", "100", "-1000.0"],
        ["run", "500", "-200.0"],
        ["run", "1000", "-100.0"],
    ]


def test_a_run_on_other_data_has_no_figures_of_the_papers(tmp_path):
    run = write_run(tmp_path / "run", "digits", steps=[{"step": 1}])
    assert draw([str(run)]) == []


def test_the_authors_figures_are_read():
    log = read_log("spirals_reference")
    table = table_beside({"ours": [NFE | {"step": 20000, "running_elbo": -60.0}]}, log)
    assert ["ours", "20000", "-60.0", "400"] in cells(table)
    assert "-64.9" in table  # the partitioned model of reference section 5.5
    assert read_log("digits") is None


@pytest.mark.parametrize("data", ["mnist", "cifar10", "spirals_reference"])
def test_every_log_can_be_drawn(data, tmp_path):
    log = read_log(data)
    rows = next(iter(log.rows.values()))
    draw_beside({"ours": [NFE | row for row in rows]}, log, tmp_path / "a.png")
    assert is_picture(tmp_path / "a.png")
