"""Tables and figures from run folders that were written by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.configuration import default_config
from tfcnf.reporting import report
from tfcnf.reporting.arms import load_arms
from tfcnf.reporting.tables import arms_table, spread


def write_run(folder, model, policy, tol, seed, nfe, bits, finished=True):
    folder.mkdir(parents=True)
    config = default_config(model, policy) | {"seed": seed}
    config["model"]["tol"] = tol
    config["training"] = {"batch_size": 128, "epochs": 2}
    lines = [
        {
            "epoch": epoch,
            "nfe_forward": nfe + epoch,
            "nfe_backward": nfe,
            "seconds": 2.0 * epoch,
            "test/bits_per_dim": bits + 1 / epoch,
            "test/test_error": 5.0 / epoch,
        }
        for epoch in (1, 2)
    ]
    results = {"bits_per_dim": bits, "marginal_bits_per_dim": bits + 0.1}
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


def test_the_report_shows_every_figure_it_draws(runs, tmp_path):
    write_run(runs / "f" / "seed_0", "ccnf", "fixed", 1e-5, 0, 90, 2.0, finished=False)
    out = tmp_path / "out"
    report.write(str(runs), str(out))
    text = (out / "report.md").read_text()
    assert "Left out, not finished:" in text
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
