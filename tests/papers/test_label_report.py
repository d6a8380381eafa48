"""Error against the number of labels, from run folders written by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf

from papers import report
from papers.arms import load_arms
from papers.labels import label_lines, labels_table
from tfcnf.runs.config import default_config


def write_run(folder, labels, part, seed, error):
    folder.mkdir(parents=True)
    config = default_config() | {"seed": seed}
    config["training"] |= {"batch_size": 128, "epochs": 2}
    config["training"] |= {"labels": labels, "labelled_part": part}
    results = {"bits_per_dim": 2.0, "marginal_bits_per_dim": 2.1}
    results |= {"test_error": error, "generative_error": error + 1}
    line = {"epoch": 1, "step": 11, "nfe_forward": 8, "nfe_backward": 8, "seconds": 1.0}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "eval.json").write_text(json.dumps(results))
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    if labels:
        left = {"labelled": 10 * labels, "logistic_regression_error": 15.0}
        (folder / "labels.json").write_text(json.dumps(left))


@pytest.fixture
def runs(tmp_path):
    for seed in (0, 1):
        for name, labels, part, error in [
            ("all", 0, 0.5, 2.0),
            ("50_alone", 50, 1.0, 6.0),
            ("5_alone", 5, 1.0, 20.0),
            ("5", 5, 0.5, 10.0),
            ("50", 50, 0.5, 4.0),
        ]:
            folder = tmp_path / "runs" / name / f"seed_{seed}"
            write_run(folder, labels, part, seed, error + seed)
    return tmp_path / "runs"


def test_lines_go_from_few_labels_to_all(runs):
    arms, _ = load_arms(str(runs))
    assert [(arm.num_labels, arm.is_alone) for arm in arms] == [
        *((5, False), (5, True), (50, False), (50, True), (0, False))
    ]
    assert len({arm.label for arm in arms}) == 5
    lines = label_lines(arms)
    line = lines["labelled images alone, classifier"]
    assert {n: v.tolist() for n, v in line.items()} == {
        5: [20.0, 21.0],
        50: [6.0, 7.0],
        0: [2.0, 3.0],
    }
    assert list(lines["all images, mixture"]) == [5, 50, 0]
    np.testing.assert_array_equal(lines["all images, mixture"][5], [11.0, 12.0])
    assert list(lines["logistic regression on pixels"]) == [5, 50]


def test_the_table_has_a_row_for_each_number(runs):
    arms, _ = load_arms(str(runs))
    head, _, *rows = [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in labels_table(arms).splitlines()
    ]
    assert [row[0] for row in rows] == ["5", "50", "all"]
    column = head.index("all images, classifier (%)")
    assert rows[0][column] == "10.50 ± 0.71"
    assert rows[2][-1] == ""  # no logistic regression with all labels


def test_the_report_shows_them_and_keeps_them_out_of_other_figures(runs, tmp_path):
    out = tmp_path / "out"
    report.write(str(runs), str(out))
    assert [p.name for p in out.glob("*.png")] == ["labels_digits_batch_128.png"]
    text = (out / "report.md").read_text()
    assert "](labels_digits_batch_128.png)" in text
    assert "| labels of a class |" in text
    image = tf.io.decode_png((out / "labels_digits_batch_128.png").read_bytes())
    assert image.numpy()[..., :3].std() > 5
