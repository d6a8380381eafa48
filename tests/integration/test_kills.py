"""Trainings that are killed, stopped, and waited for in vain, as processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks import kills, local_cluster
from tfcnf.training.callbacks import read_metrics
from tfcnf.training.checkpoints import read_newest

ROOT = Path(__file__).parents[2]
TINY = [
    "--config=configs/digits.py:smoke,policy=fixed",
    *("--config.model.num_scales=1", "--config.model.filters=2"),
    *("--config.model.tol=0.1", "--config.evaluation.tol=0.1"),
    *("--config.training.batch_size=100", "--config.training.epochs=3"),
    *("--checkpoint_every=2", "--log_every=3"),
]


@pytest.fixture
def command(data_dir, monkeypatch):
    """Trains a tiny run; in another folder than the tests', with the same data."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return [sys.executable, "launch/train.py", *TINY, f"--data_dir={data_dir}"]


def check(result, count):
    assert len(result["kills"]) == count
    assert all(record["status"] == 75 for record in result["kills"])
    assert result["identical"], result["runs"]


@pytest.mark.slow
def test_a_killed_training_ends_as_if_it_never_was(command, tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "POLL", 0.005)  # to look is work too
    check(kills.run(command, str(tmp_path), kills=1), 1)
    assert [line["epoch"] for line in read_metrics(tmp_path / "killed_1/metrics.jsonl")]
    assert len(read_metrics(tmp_path / "killed_1/steps.jsonl")) > 10
    # the comparison sees what differs
    other = shutil.copytree(tmp_path / "straight", tmp_path / "other")
    lines = (other / "metrics.jsonl").read_text().splitlines()
    (other / "metrics.jsonl").write_text("\n".join([*lines[:2], lines[1]]) + "\n")
    (other / "checkpoints" / "ckpt-3.index").unlink()
    differences = kills.compare(tmp_path / "straight", other)
    assert "metrics.jsonl, line 3" in differences
    assert any("Position(epoch=2" in text for text in differences)
    assert any(text.startswith("variables/") for text in differences)


@pytest.mark.slow
def test_killed_replicas_end_as_if_they_never_were(command, tmp_path):
    command += ["--strategy=mirrored", "--logical_cpus=2"]
    check(kills.run(command, str(tmp_path), kills=3), 3)


@pytest.mark.slow
def test_a_cluster_with_a_killed_worker_ends_as_if_it_never_was(command, tmp_path):
    command += ["--strategy=multi_worker"]
    result = kills.run(command, str(tmp_path), kills=2, workers=2)
    check(result, 2)
    assert max(record["seconds_to_end"] for record in result["kills"]) < 60


def test_sigterm_saves_and_says_so(script, data_dir, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    folder, ended = tmp_path / "run", threading.Event()

    def terminate():
        while read_newest(folder / "checkpoints")[0] < (1, 2):
            if ended.wait(0.05):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=terminate, daemon=True)
    sender.start()
    run = [*TINY, f"--workdir={folder}", "--config.training.epochs=1000"]
    status, errors = script("train", *run, f"--data_dir={data_dir}")
    ended.set()
    sender.join()
    assert status == 143
    assert errors.splitlines()[-1].startswith("stopped by SIGTERM; the same command")
    assert "Traceback" not in errors
    assert read_newest(folder / "checkpoints")[0] >= (1, 2)


@pytest.mark.slow  # the one before has it in the tests' process
def test_sigterm_ends_a_process_of_its_own(command, tmp_path):
    folder = tmp_path / "run"
    command += [f"--workdir={folder}", "--config.training.epochs=1000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while read_newest(folder / "checkpoints")[0] < (1, 2):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143
    assert errors.splitlines()[-1].startswith("stopped by SIGTERM; the same command")
    assert "Traceback" not in errors


@pytest.fixture
def small_disk(tmp_path):
    """A function ``kilobytes`` -> a folder on a disk of that size, made or resized."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1k", "tmpfs", str(folder)]
    try:
        subprocess.run(mounted, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as failure:
        pytest.skip(f"a small disk cannot be mounted here: {failure}")

    def resize(kilobytes):
        size = f"remount,size={kilobytes}k"
        subprocess.run(["mount", "-o", size, str(folder)], check=True)
        return folder

    yield resize
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_training_on_a_full_disk_goes_on_when_there_is_space(
    command, tmp_path, small_disk
):
    straight = tmp_path / "straight"
    subprocess.run([*command, f"--workdir={straight}"], check=True)
    files = [path for path in straight.rglob("*") if path.is_file()]
    needed = sum(path.stat().st_size for path in files) // 1024
    folder = small_disk(needed * 99 // 100) / "run"
    full = subprocess.run(
        [*command, f"--workdir={folder}"], capture_output=True, text=True, check=False
    )
    assert full.returncode == 2
    assert full.stderr.splitlines()[-1].startswith("error: the disk is full; ")
    assert "Traceback" not in full.stderr
    small_disk(10 * needed)
    subprocess.run([*command, f"--workdir={folder}"], check=True)
    assert kills.compare(straight, folder) == []


def test_an_absent_worker_is_named_within_the_time_limit(
    command, tmp_path, monkeypatch
):
    ports = local_cluster.free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    command += [f"--workdir={tmp_path / 'run'}", "--wait=3"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2
    message = done.stderr.splitlines()[-1]
    assert message.startswith("error: the workers did not all come within 3 s; absent:")
    assert f"absent: 127.0.0.1:{ports[1]}." in message
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
