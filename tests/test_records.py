"""Damaged records: the file, and the line, are named, and nothing else happens."""

import json
import random
import types

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papers.arms import load_arms
from papers.tables import arms_table, learned_table
from tfcnf.files import file_name
from tfcnf.records import append_line, read_lines
from tfcnf.reporting.page import write_page
from tfcnf.reporting.read import read_results, read_task
from tfcnf.reporting.runs import _read as read_run
from tfcnf.reporting.spread import spread_table
from tfcnf.reporting.tables import results_table
from tfcnf.runs.folder import read_config
from tfcnf.training.callbacks import MetricsLog, StepsLog, read_metrics
from tfcnf.training.recovery import Recovery
from tfcnf.training.validation import best_epoch

GOOD = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": float("inf")}]


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "bad",
    [
        *("5", "[]", "null", "", "{", '{"step": 1', "{'step': 1}", '{"loss": 1.0}'),
        *('{"step": 1.5}', '{"step": true}', '{"step": "1"}', '{"step": null}'),
        *('{"step": 1, "loss": "x"}', "[" * 100000, '{"step": ' + "9" * 6000 + "}"),
        '{"step": 1, "loss": ' + "9" * 400 + "}",
    ],
)
def test_a_damaged_line_is_named(bad, tmp_path):
    path = write(tmp_path / "metrics.jsonl", '{"step": 1}', bad, '{"step": 3}')
    with pytest.raises(
        ValueError, match=r"^line 2 of metrics\.jsonl is damaged \("
    ) as e:
        read_lines(path, {"step": int}, float)
    assert str(e.value).endswith(f"Received: {path}")
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 300 + len(str(path))


def test_bytes_that_are_no_text_are_named(tmp_path):
    optimizer = types.SimpleNamespace(iterations=tf.Variable(3))
    model = types.SimpleNamespace(optimizer=optimizer)
    path = tmp_path / "steps.jsonl"
    path.write_bytes(b'{"step": 1}\n\xff\xfe\n{"step": 3}\n')
    log = StepsLog(path, 1)
    log.set_model(model)
    with pytest.raises(ValueError, match=r"line 2 of steps\.jsonl"):
        log.on_epoch_begin(0)


def test_an_unfinished_last_line_is_no_damage(tmp_path):
    path = tmp_path / "divergence.jsonl"
    assert read_lines(path) == []
    for end in ("", '{"step"', '{"step": 3, "lo', "\x00\x00"):
        path.write_text("".join(json.dumps(line) + "\n" for line in GOOD) + end)
        assert read_lines(path, {"step": int}, float) == GOOD
    append_line(path, GOOD[0])
    assert read_lines(path) == [*GOOD, GOOD[0]]
    path.write_text(json.dumps(GOOD[0]))  # without its end, but whole
    append_line(path, GOOD[1])
    assert read_lines(path) == GOOD


@pytest.mark.parametrize("end", ["", '{"epoch": 2, "ste'])
def test_a_half_written_failure_does_not_forbid_to_go_on(end, tmp_path):
    event = {"epoch": 1, "step": 3, "error": "SolverError", "message": "cnf_0: stiff"}
    event |= {"learning_rate": 0.1, "action": "skip"}
    path = tmp_path / "divergence.jsonl"
    path.write_text(json.dumps(event) + "\n" + end)
    recovery = Recovery("skip", folder=tmp_path)
    assert recovery.events == [event]
    write(path, json.dumps(event), "half", json.dumps(event))
    with pytest.raises(ValueError, match=r"line 2 of divergence\.jsonl is damaged"):
        Recovery("skip", folder=tmp_path)


# fuzz


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_config):
    """A finished run with all records, written by hand."""
    run = tmp_path_factory.mktemp("fuzz") / "run"
    run.mkdir()
    config = make_config()
    nfe = {"nfe_forward": 14.0, "nfe_backward": 13.0}
    row = {"tolerance": 1e-3, "dtype": "float32", "draws": 1, "num_parameters": 9}
    row |= {"bits_per_dim": 2.0, "marginal_bits_per_dim": 2.1, "test_error": 3.0}
    lines = [
        nfe | {"epoch": i, "step": 3 * i, "seconds": 1.0, "test/bits_per_dim": 2.0}
        for i in (1, 2)
    ]
    own = {f"mean/batch_{n}/bits_per_dim": 2.0 for n in (1, 8)}
    tols = {split: {"sampled": [[1e-3], [1e-4]]} for split in ("train", "test")}
    event = {"epoch": 1, "step": 3, "error": "SolverError", "message": "stiff"}
    event |= {"learning_rate": 0.1, "action": "skip"}
    for name, value in {
        "config": config,
        "metadata": {"date": "2026-11-22T07:43:04+0000", "seed": 0},
        "eval": row | {"evaluations": [row, row]},
        "tolerances": {"evaluations": own, "distribution": tols},
        "data": {"class_names": [["a", "b"]], "exchanged": ["less"]},
        "state": {"state": "finished", "reason": "", "begun": 1.0, "ended": 2.5},
        "labels": {"labelled": 10, "logistic_regression_error": 15.0},
    }.items():
        (run / f"{name}.json").write_text(json.dumps(value))
    write(run / "metrics.jsonl", *map(json.dumps, lines))
    write(run / "steps.jsonl", *(json.dumps(nfe | {"step": i}) for i in (3, 6)))
    write(run / "divergence.jsonl", json.dumps(event), json.dumps(event))
    return run


STRANGE = (
    *(5, -1, 0, 1.5, True, None, "", "x", "../x", [], {}, [5], {"a": 5}),
    *(float("nan"), float("inf"), 10**400, 10**30),
)


def nodes(value, found):
    """(container, key) of everything within a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        found.append((value, key))
        if isinstance(inner, (dict, list)):
            nodes(inner, found)
    return found


def spoil(text, random):
    """A text of which a part was replaced, lost or repeated."""
    if random.random() < 0.7:
        lines = [json.loads(line) for line in text.split("\n") if line]
        places = nodes(lines, [])
        container, key = random.choice(places)
        if random.random() < 0.3:
            del container[key]
        else:
            container[key] = random.choice(STRANGE)
        return "\n".join(json.dumps(line) for line in lines).encode()
    data = bytearray(text.encode())
    start = random.randrange(len(data))
    end = min(len(data), start + random.randrange(20))
    new = random.choice(
        [b"", bytes(3), b"\xff", b"[" * 5000, b"\n", data[start:end] * 2]
    )
    data[start:end] = new
    return bytes(data[: random.choice([len(data), start])])


def read_all(run, out):
    """Whatever reads records of a run."""
    read_config(str(run))
    Recovery("restore", folder=run)
    read_metrics(run / "metrics.jsonl", "epoch", "step")
    best_epoch(run)
    read_run(str(run))
    write_page(run, out, out / "page.html")
    arms, _ = load_arms(str(run.parent))
    arms_table(arms)
    for arm in arms:
        measures = read_task(arm.runs[0].folder).measures
        results_table(read_results(arm.runs[0].folder)["evaluations"], measures)
        learned_table(arm)
        arm.curve("test/bits_per_dim")
        arm.elapsed("evaluations", [])
        spread_table({arm.label: [arm.runs[0].results]}, ["bits_per_dim"])
        file_name(f"{arm.label} {arm.regime}")
    MetricsLog(run / "metrics.jsonl", 9)


RECORDS = (
    *("config.json", "metadata.json", "eval.json", "tolerances.json", "labels.json"),
    *("data.json", "state.json", "metrics.jsonl", "steps.jsonl", "divergence.jsonl"),
)


def test_the_records_as_written_are_read(folder, tmp_path):
    before = {name: (folder / name).read_bytes() for name in RECORDS}
    read_all(folder, tmp_path)
    assert {name: (folder / name).read_bytes() for name in RECORDS} == before


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.sampled_from(RECORDS), seed=st.integers(0, 2**32))
def test_a_damaged_record_is_named_or_read(name, seed, folder, tmp_path):
    path = folder / name
    before = {record: (folder / record).read_bytes() for record in RECORDS}
    path.write_bytes(spoil(before[name].decode(), random.Random(seed)))
    try:
        read_all(folder, tmp_path)
    except ValueError as failure:
        message = str(failure)
        assert name in message or (name == "config.json" and "Received" in message)
        assert "\n" not in message
    finally:
        for record, data in before.items():
            (folder / record).write_bytes(data)
