"""TF_CONFIG, ports, and the local cluster; what needs no second worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import local_cluster
from tfcnf.training.agreement import describe_differences, describe_loss
from tfcnf.training.cluster import absent, check_port, in_cluster, read_cluster
from tfcnf.training.preemption import PREEMPTED, RESTART

ROOT = Path(__file__).parents[2]
TWO = {"worker": ["one:1", "two:2"]}


def tf_config(cluster=TWO, job="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


@pytest.fixture
def given(monkeypatch):
    return lambda text: monkeypatch.setenv("TF_CONFIG", text)


def test_a_cluster_is_read_with_the_chief_first(given):
    given(tf_config(index=1))
    assert read_cluster() == (("one:1", "two:2"), 1)
    with_chief = {"worker": ["one:1", "[::1]:2"], "chief": ["zero:3"]}
    for job, index, place in [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)]:
        given(tf_config(with_chief, job, index))
        assert read_cluster() == (("zero:3", "one:1", "[::1]:2"), place)


def test_one_worker_is_no_cluster(given, monkeypatch):
    given(tf_config({"worker": ["one:1"]}))
    assert not in_cluster()
    given(tf_config())
    assert in_cluster()
    monkeypatch.delenv("TF_CONFIG")
    assert not in_cluster()


WRONG = {
    "": "must be JSON",
    "{": "must be JSON",
    "[]": "an object 'cluster'",
    '{"cluster": []}': "an object 'cluster'",
    json.dumps({"cluster": TWO}): "an object 'task'",
    tf_config({}): "must have a cluster of chief and worker alone",
    tf_config({"ps": ["a:1"], **TWO}): "must have a cluster of chief and worker alone",
    tf_config({"worker": []}): "a list of addresses for each worker",
    tf_config({"worker": "one:1"}): "a list of addresses for each worker",
    tf_config({"worker": ["one"]}): "addresses host:port, not 'one'",
    tf_config({"worker": ["one:0"]}): "addresses host:port, not 'one:0'",
    tf_config({"worker": ["one:65536"]}): "addresses host:port, not 'one:65536'",
    tf_config({"worker": [1]}): "addresses host:port, not 1",
    tf_config({"worker": ["one:1", "one:1"]}): "an address of its own",
    tf_config({"chief": ["a:1", "b:1"]}, "chief"): "one chief at most",
    tf_config(job="chief"): "a task type among worker",
    tf_config(index=2): "a task index in 0..1",
    tf_config(index=-1): "a task index in 0..1",
    tf_config(index="0"): "a task index in 0..1",
    tf_config(index=True): "a task index in 0..1",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_tf_config_is_refused(text, given):
    given(text)
    with pytest.raises(ValueError, match="TF_CONFIG must ") as failure:
        read_cluster()
    assert WRONG[text] in str(failure.value)
    assert str(failure.value).endswith(f"Received: TF_CONFIG={text!r}")


def test_a_port_that_is_taken_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match="cannot listen at its port") as failure:
            check_port(f"127.0.0.1:{port}")
        assert f"Received: TF_CONFIG with '127.0.0.1:{port}'" in str(failure.value)
        assert absent([f"127.0.0.1:{port}"]) == []
    check_port(f"127.0.0.1:{port}")
    assert absent([f"127.0.0.1:{port}"]) == [f"127.0.0.1:{port}"]


# the local cluster

CHILD = "import json, os, sys, time; i = json.loads(os.environ['TF_CONFIG'])['task']"


def python(program):
    return [sys.executable, "-S", "-c", program]


def test_workers_have_a_number_and_the_same_addresses(tmp_path):
    program = f"{CHILD}; file = open('{tmp_path}/' + str(i['index']), 'w')"
    program += "; file.write(os.environ['TF_CONFIG'])"
    assert local_cluster.wait(local_cluster.start(python(program), 3)) == 0
    settings = [json.loads((tmp_path / str(i)).read_text()) for i in range(3)]
    assert [s["task"] for s in settings] == [
        {"type": "worker", "index": i} for i in range(3)
    ]
    (cluster,) = {json.dumps(s["cluster"]) for s in settings}
    assert len(set(json.loads(cluster)["worker"])) == 3


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((0, 0), 0),
        ((0, 1), 1),
        ((1, 2), 2),
        ((RESTART, 1), 1),
        ((RESTART, 0), RESTART),
        ((PREEMPTED, PREEMPTED), PREEMPTED),
        ((PREEMPTED, RESTART), PREEMPTED),
    ],
)
def test_the_status_of_the_whole(states, expected):
    program = f"{CHILD}; sys.exit({states}[i['index']])"
    assert local_cluster.wait(local_cluster.start(python(program), 2)) == expected


def test_a_killed_worker_means_start_again_and_the_others_do_not_stay():
    processes = local_cluster.start(python("import time; time.sleep(60)"), 2)
    processes[1].kill()
    started = time.monotonic()
    assert local_cluster.wait(processes, patience=0.5) == RESTART
    assert time.monotonic() - started < 20
    assert processes[0].returncode == -signal.SIGKILL


def test_sigterm_is_handed_on(tmp_path):
    end = f"lambda *_: sys.exit({PREEMPTED})"
    child = f"{CHILD}; import signal; signal.signal(signal.SIGTERM, {end})"
    child += f"; open('{tmp_path}/' + str(i['index']), 'w'); time.sleep(60)"
    parent = (
        f"from benchmarks import local_cluster; local_cluster.run({python(child)!r}, 2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait() == PREEMPTED


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    names = "open(f'{sys.argv[1]}/{i[\"index\"]}', 'w').write(str(os.getpid()))"
    child = [*python(f"{CHILD}; {names}; time.sleep(60)"), str(tmp_path)]
    parent = f"from benchmarks import local_cluster; local_cluster.run({child!r}, 2)"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT)
    while len([p for p in tmp_path.iterdir() if p.read_text()]) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    for path in tmp_path.iterdir():
        while is_running(int(path.read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")  # a zombie that nobody waits for has ended
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("command", "workers", "message"),
    [(["true"], 0, "Received: workers=0"), ([], 2, "Received: nothing")],
)
def test_a_cluster_of_nothing_is_refused(command, workers, message):
    with pytest.raises(ValueError, match=message):
        local_cluster.start(command, workers)


# agreement

PLACES = ("one:1", "two:2", "three:3")


def test_what_differs_is_named_with_its_values():
    config = {"seed": 0, "model": {"filters": 8, "units": [1, 2]}}
    other = {"seed": 1, "model": {"filters": 8, "units": [1, 3], "tol": 0.1}}
    facts = [{"config": config, "workdir": "/a"}, {"config": other, "workdir": "/a"}]
    assert describe_differences([*facts, facts[0]], PLACES) == (
        "config.seed=0 at one:1, 1 at two:2; "
        "config.model.units=[1, 2] at one:1, [1, 3] at two:2; "
        "config.model.tol=nothing at one:1, 0.1 at two:2"
    )
    many = [{str(k): [i, k] for k in range(9)} for i in range(2)]
    assert describe_differences(many, PLACES[:2]).endswith(
        "[1, 2] at two:2; and 6 more"
    )


def test_a_worker_that_was_stopped_is_not_called_gone():
    assert describe_loss(["one:1"]) == "a worker is gone: one:1"
    text = describe_loss([])
    assert "stopped" in text
    assert "gone" not in text


def test_workers_that_do_not_agree_are_all_told(tmp_path, data_dir, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "tests/training/disagree.py", str(tmp_path), data_dir]
    monkeypatch.chdir(ROOT)
    assert local_cluster.wait(local_cluster.start(command, 2)) == 0
    told = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2)]
    assert told[0] == told[1]
    started, read = told[0]
    head = "the workers must be started with the same configuration, data and code, "
    assert started.startswith(head)
    for part in ("config.seed=0 at 127", ", 1 at 127", "config.training.batch_size="):
        assert part in started
    assert f"workdir={str(tmp_path / 'run_0')!r} at 127" in started
    assert read.startswith("the workers must read the same data, those of 127.")
    assert "Received: the examples or labels of train are others at 127." in read
    assert not [*tmp_path.glob("run_*")]
