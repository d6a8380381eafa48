"""Tables and figures from run folders that were written by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from papers import comparison, report
from papers.arms import load_arms
from papers.comparison import figure_choices
from papers.tables import arms_table, spread
from tfcnf.files import file_name
from tfcnf.runs.config import default_config


def write_run(folder, model, policy, tol, seed, nfe, bits, finished=True, **other):
    folder.mkdir(parents=True)
    config = default_config(model, policy) | {"seed": seed}
    config["model"] |= {"tol": tol, "flows_per_block": other.get("flows", 2)}
    config["model"]["costs"]["kinetic_energy"] = other.get("cost", 0.0)
    config["model"]["steer"] = other.get("steer", 0.0)
    config["optimizer"]["learning_rate"] = other.get("rate", 1e-2)
    config["training"] = {"batch_size": other.get("batch", 128), "epochs": 2}
    if "dropout" in other:
        config["model"]["dropout"] = other["dropout"]
    lines = [
        {
            "epoch": epoch,
            "step": 11 * epoch,
            "nfe_forward": nfe + epoch,
            "nfe_backward": nfe,
            "seconds": 2.0 * epoch,
            "test/bits_per_dim": bits + 1 / epoch,
            "test/test_error": 5.0 / epoch,
        }
        for epoch in (1, 2)
    ]
    results = {"bits_per_dim": bits, "marginal_bits_per_dim": bits + 0.1}
    results["tolerance"] = 1e-4  # measured at, not the configured 1e-5
    if model != "cnf":
        results["test_error"] = 2.0
    (folder / "config.json").write_text(json.dumps(config))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    if finished:
        (folder / "eval.json").write_text(json.dumps(results))
    if policy in ("random", "learned"):
        own = {
            f"{mode}/batch_{size}/{name}": value
            for mode in ("mean", "sampled")
            for size in (1, 100)
            for name, value in [("bits_per_dim", bits), ("num_examples", 360)]
        }
        tols = (10.0 ** np.random.default_rng(seed).normal(-3, 0.3, [9, 3])).tolist()
        splits = {s: {"mean": tols, "sampled": tols} for s in ("train", "test")}
        tolerances = {"evaluations": own, "distribution": splits}
        (folder / "tolerances.json").write_text(json.dumps(tolerances))


@pytest.fixture
def runs(tmp_path):
    root = tmp_path / "runs"
    for seed, shift in [(0, -0.01), (1, 0.01)]:
        for name, model, policy, tol, nfe, bits in [
            ("a", "infocnf", "fixed", 1e-5, 100, 2.0),
            ("b", "infocnf", "fixed", 1e-3, 50, 2.1),
            ("c", "infocnf", "learned", 1e-3, 60, 2.0),
            ("d", "cnf", "fixed", 1e-5, 100, 2.2),
            ("e", "cnf", "learned", 1e-3, 70, 2.2),
        ]:
            folder = root / name / f"seed_{seed}"
            write_run(folder, model, policy, tol, seed, nfe, bits + shift)
    return root


def cells(table):
    rows = [[c.strip() for c in row.split("|")[1:-1]] for row in table.splitlines()]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_the_table_has_mean_and_deviation_of_each_arm(runs):
    arms, unfinished = load_arms(str(runs))
    assert unfinished == []
    table = cells(arms_table(arms))
    assert list(table) == [
        *("InfoCNF, fixed 1e-05", "InfoCNF, fixed 1e-03", "InfoCNF, learned"),
        *("CNF, fixed 1e-05", "CNF, learned"),
    ]
    learned = table["InfoCNF, learned"]
    assert learned["seeds"] == "2"
    assert learned["bits/dim"] == f"2.000 ± {np.std([1.99, 2.01], ddof=1):.3f}"
    assert learned["forward"] == "61.5 ± 0.0"  # the mean of epochs 1 and 2
    assert learned["backward"] == "60.0 ± 0.0"
    assert learned["s/epoch"] == "3.0 ± 0.0"
    assert learned["saved (%)"] == f"{100 * (1 - 121.5 / 201.5):.0f}"
    assert table["InfoCNF, fixed 1e-05"]["saved (%)"] == ""
    assert table["CNF, learned"]["test error (%)"] == ""
    assert spread(np.array([1.0]), ".1f") == "1.0"
    assert spread(np.array([360.0, 360.0]), ".0f") == "360"
    assert spread(np.array([359.0, 361.0]), ".0f") == "360 ± 1"


def test_the_report_shows_every_figure_it_draws(runs, tmp_path):
    write_run(runs / "f" / "seed_0", "ccnf", "fixed", 1e-5, 0, 90, 2.0, finished=False)
    out = tmp_path / "out"
    report.write(str(runs), str(out))
    text = (out / "report.md").read_text()
    assert "Left out, not finished:" in text
    assert "evaluated at tolerance 1e-04." in text
    assert "validation" not in text
    path = runs / "a" / "seed_0" / "eval.json"
    chosen = {"epoch": 1, "chosen_by": "validation"}
    path.write_text(json.dumps(json.loads(path.read_text()) | chosen))
    report.write(str(runs), str(tmp_path / "chosen"))
    said = (tmp_path / "chosen" / "report.md").read_text()
    assert "1e-04. A validation split chose the weights." in said
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {f"{stem}_digits_batch_128.png" for stem in (
        *("figure_3", "figure_4", "figure_10", "pareto_infocnf", "pareto_cnf"),
        *("tolerances_infocnf_learned", "tolerances_cnf_learned"),
    )}  # fmt: skip
    for name in pictures:
        assert f"]({name})" in text
        image = tf.io.decode_png((out / name).read_bytes(), channels=3).numpy()
        assert image.std() > 5  # something is drawn
    assert "| sampled   | 100" in text


def test_what_was_there_before_a_run_was_begun_anew_is_not_compared(runs):
    before = len(load_arms(str(runs))[0])
    shutil.copytree(runs / "a" / "seed_0", runs / "a" / "seed_0" / "earlier-1")
    assert len(load_arms(str(runs))[0]) == before


def test_a_data_name_that_is_a_path_stays_in_the_folder(runs, tmp_path, monkeypatch):
    for path in runs.rglob("config.json"):
        config = json.loads(path.read_text()) | {"data": "../data/x.npz"}
        path.write_text(json.dumps(config))
    for name in ("draw_arm_curves", "draw_pareto", "draw_tolerances"):
        monkeypatch.setattr(report, name, lambda arms, path, *_: path.touch())
    before = set(tmp_path.rglob("*"))
    report.write(str(runs), str(tmp_path / "out"))
    written = set(tmp_path.rglob("*")) - before
    assert {path.parent for path in written} == {tmp_path, tmp_path / "out"}
    text = (tmp_path / "out" / "report.md").read_text()
    pictures = [path.name for path in written if path.suffix == ".png"]
    assert len(pictures) == 7
    assert all(f"]({name})" in text for name in pictures)


def test_elapsed_adds_up_what_was_spent(runs):
    learned = next(a for a in load_arms(str(runs))[0] if a.label == "InfoCNF, learned")
    assert learned.elapsed("epoch", [1, 2]).tolist() == [1, 2]
    np.testing.assert_allclose(learned.elapsed("minutes", [1, 2]), [2 / 60, 6 / 60])
    # 61 + 60 evaluations in each of 11 steps, then 62 + 60
    evaluations = learned.elapsed("evaluations", [1, 2])
    np.testing.assert_allclose(evaluations, [11 * 121, 11 * (121 + 122)])


@pytest.fixture
def large_runs(runs):
    """A second batch size, with the arms that the papers have there."""
    for name, model, policy, other in [
        ("ccnf", "ccnf", "scheduled", {}),
        ("infocnf", "infocnf", "scheduled", {}),
        ("learned", "infocnf", "learned", {}),
        ("plain", "infocnf", "fixed", {"rate": 1e-3}),
        ("learned_2x", "infocnf", "learned", {"flows": 4}),
    ]:
        tol, folder = 1e-4, runs / "large" / name / "seed_0"
        write_run(folder, model, policy, tol, 0, 80, 2.3, batch=718, **other)
    return runs


def test_the_papers_figures_compare_their_arms(large_runs):
    arms = [arm for arm in load_arms(str(large_runs))[0] if arm.batch == 718]
    chosen = {
        figure: {Path(arm.folder).name for arm in arms if choice(arm)}
        for figure, (_, choice) in figure_choices(arms).items()
    }
    assert chosen == {
        "figure_3": {"ccnf", "infocnf", "learned"},
        "figure_4": set(),
        "figure_5": {"plain", "ccnf", "infocnf"},
        "figure_10": {"ccnf", "infocnf", "learned"},
        "figure_14": {"learned", "learned_2x", "ccnf"},
    }
    assert "dropout" not in chosen


def test_trainings_with_and_without_dropout_are_compared(runs):
    write_run(runs / "f" / "seed_0", "infocnf", "fixed", 1e-5, 0, 90, 2.0, dropout=0.0)
    arms, _ = load_arms(str(runs))
    _, choice = figure_choices(arms)["dropout"]
    names = {Path(arm.folder).name for arm in arms if choice(arm)}
    assert names == {"a", "b", "f"}


def test_arms_of_one_label_are_told_apart_by_their_folders(large_runs):
    labels = {arm.label for arm in load_arms(str(large_runs))[0] if arm.batch == 718}
    assert {"InfoCNF, learned (learned)", "InfoCNF, learned (learned_2x)"} < labels
    assert {"CCNF, scheduled", "InfoCNF, fixed 1e-04"} < labels


def test_what_is_saved_is_told_against_the_same_training_alone(large_runs):
    arms, _ = load_arms(str(large_runs))
    table = cells(arms_table([arm for arm in arms if arm.batch == 718]))
    # the only constant tolerance at this batch has another learning rate
    for label in ("InfoCNF, learned (learned)", "InfoCNF, learned (learned_2x)"):
        assert table[label]["saved (%)"] == ""


def test_the_pareto_picture_has_trainings_of_one_kind(
    large_runs, tmp_path, monkeypatch
):
    drawn = {}

    def draw(arms, path, title):
        drawn[title] = {Path(arm.folder).name for arm in arms}

    monkeypatch.setattr(report, "draw_pareto", draw)
    report.write(str(large_runs), str(tmp_path / "out"))
    assert drawn == {
        "infocnf on digits, batch 128": {"a", "b", "c"},
        "cnf on digits, batch 128": {"d", "e"},
        "infocnf on digits, batch 718": {"infocnf", "learned"},
    }


def test_the_pareto_picture_has_a_line_for_the_constants_of_each_penalty(
    tmp_path, monkeypatch
):
    priced = {"cost": 0.1}, {"cost": 0.1, "steer": 0.2}
    for k, other in enumerate(({}, *priced)):
        for policy, tol in [("fixed", 1e-2), ("fixed", 1e-3), ("learned", 1e-3)]:
            name = f"{policy}_{tol}_{k}"
            nfe = 10 + k + 5 * (tol < 1e-2)
            folder = tmp_path / name / "seed_0"
            write_run(folder, "infocnf", policy, tol, 0, nfe, 2.0 + k, **other)
    arms, _ = load_arms(str(tmp_path))
    labels = {arm.label for arm in arms}
    assert "InfoCNF, fixed 1e-03, costs and random end" in labels
    drawn = []
    monkeypatch.setattr(comparison, "save_figure", lambda f, path: drawn.append(f))
    comparison.draw_pareto(arms, tmp_path / "pareto.png")
    (panel,) = drawn[0].axes
    lines = {box.get_label(): box.lines[0] for box in panel.containers}
    assert set(lines) == {
        f"{policy}{of}"
        for policy in ("fixed", "learned")
        for of in ("", ", costs", ", costs and random end")
    }
    for k, of in enumerate(("", ", costs", ", costs and random end")):
        joined = lines[f"fixed{of}"]
        assert joined.get_linestyle() == "-"
        # forward and backward, means over two epochs
        expected = 2 * (10 + k) + np.array([1.5, 11.5])
        np.testing.assert_allclose(joined.get_xdata(), expected)
        np.testing.assert_allclose(joined.get_ydata(), [2.0 + k] * 2)
        assert joined.get_color() == lines[f"learned{of}"].get_color()


def test_batch_sizes_are_compared_by_time_and_evaluations(large_runs, tmp_path):
    report.write(str(large_runs), str(tmp_path / "out"))
    text = (tmp_path / "out" / "report.md").read_text()
    assert "## digits, small and large batches" in text
    for unit in ("evaluations", "minutes"):
        assert f"](batches_{unit}_digits.png)" in text
        assert (tmp_path / "out" / f"batches_{unit}_digits.png").is_file()
    for name in ("learned", "learned_2x"):  # a picture each
        picture = (
            f"tolerances_{file_name(f'infocnf, learned ({name})')}_digits_batch_718"
        )
        assert f"]({picture}.png)" in text
        assert (tmp_path / "out" / f"{picture}.png").is_file()


def test_runs_that_differ_in_more_than_the_seed_are_no_arm(runs):
    write_run(runs / "a" / "seed_2", "infocnf", "fixed", 1e-4, 2, 90, 2.0)
    with pytest.raises(ValueError, match=r"in the seed alone\. Received"):
        load_arms(str(runs))


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no finished run .* Received: runs="):
        load_arms(str(tmp_path))


def test_a_damaged_file_is_named(runs):
    (runs / "a" / "seed_0" / "eval.json").write_text("{")
    with pytest.raises(ValueError, match=r"eval\.json is damaged .*Received"):
        load_arms(str(runs))
