"""The kill test: a training that is killed again and again ends as if it never was.

One run is trained without interruption. Another one is killed with SIGKILL, at random
moments of the training, while it writes a checkpoint and while it starts, and started
again with the same command each time. Then all weights and states of both, and every
line of their ``metrics.jsonl`` and ``steps.jsonl``, must be the same to the last bit.
Only seconds differ.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import local_cluster
from tfcnf.files import write_json
from tfcnf.records import read_record
from tfcnf.run_state import read_state
from tfcnf.training.callbacks import read_metrics
from tfcnf.training.checkpoints import SCRATCH, read_newest

MOMENTS = ("training", "saving", "training", "starting")
COVERED = 0.5  # of the training, by the kills together
POLL = 1e-3  # seconds


def run(
    command: Sequence[str], out: str, *, kills: int, workers: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Kills a training and compares it with one that was left alone.

    The same call goes on after an interruption. ``straight/`` and ``killed_1/`` are the
    runs; where a run comes to its end before all kills are done, the next is begun.

    Args:
        command: trains; ``--workdir=FOLDER`` is put behind it.
        out: folder of the test; ``result.json`` gets what is returned.
        kills: how many.
        workers: processes of the training; one of them, at random, is killed.
        seed: of the moments and workers.

    Returns:
        ``kills``, a record of each; ``runs``, what `compare` says of each killed run;
        ``identical``, whether there is no difference.

    Raises:
        ValueError: for a bad number, or where the training fails by itself.
    """
    if kills < 1:
        raise ValueError(f"kills must be positive. Received: kills={kills}")
    root = Path(out)
    root.mkdir(parents=True, exist_ok=True)
    plan = _train_straight(command, root / "straight", workers)
    plan["between"] = COVERED * plan["checkpoints"] / kills
    path = root / "kills.json"
    records = read_record(path, {"kills": list})["kills"] if path.exists() else []
    for number in itertools.count(1):
        folder = root / f"killed_{number}"
        while not read_state(folder).is_finished:
            rng = np.random.default_rng([seed, number, len(records)])
            moment = MOMENTS[len(records) % len(MOMENTS)]
            if len(records) >= kills:
                moment = "never"
            record = _attempt(
                command, folder, workers=workers, moment=moment, plan=plan, rng=rng
            )
            if record:
                records.append(record)
                write_json(path, {"kills": records})
                print(f"kill {len(records)} of {kills}: {record}", flush=True)
        if len(records) >= kills:
            break
    folders = [root / f"killed_{i + 1}" for i in range(number)]
    runs = {folder.name: compare(root / "straight", folder) for folder in folders}
    identical = not any(differences for differences in runs.values())
    result = {"kills": records, "runs": runs, "identical": identical}
    write_json(root / "result.json", result)
    return result


def compare(one: Path, other: Path) -> list[str]:
    """Differences between two finished runs; nothing but seconds may differ.

    Compared are the newest checkpoint's position and arrays, bit by bit, the lines of
    ``metrics.jsonl`` and ``steps.jsonl``, and ``eval.json``.
    """
    differences = []
    (position, arrays), (position_2, arrays_2) = (
        read_newest(folder / "checkpoints") for folder in (one, other)
    )
    if position != position_2 or set(arrays) != set(arrays_2):
        differences.append(f"checkpoints of {position} and {position_2}")
    differences += [
        name
        for name in sorted(set(arrays) & set(arrays_2))
        if arrays[name].tobytes() != arrays_2[name].tobytes()
    ]
    for name in ("metrics.jsonl", "steps.jsonl"):
        pairs = itertools.zip_longest(_lines(one / name), _lines(other / name))
        differences += [
            f"{name}, line {i + 1}" for i, (a, b) in enumerate(pairs) if a != b
        ]
    if (one / "eval.json").read_bytes() != (other / "eval.json").read_bytes():
        differences.append("eval.json")
    return differences


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without the seconds that a step took."""
    lines = read_metrics(path)
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def _train_straight(
    command: Sequence[str], folder: Path, workers: int
) -> dict[str, float]:
    """Trains without interruption: seconds to the first checkpoint, and how many."""
    path = folder.with_name("straight.json")
    if path.exists():
        return read_record(path, {"seconds_to_first": float, "checkpoints": int})
    shutil.rmtree(folder, ignore_errors=True)  # it was interrupted
    started = time.monotonic()
    processes = local_cluster.start([*command, f"--workdir={folder}"], workers)
    seen: dict[str, float] = {}
    while processes[0].poll() is None:
        _look(folder, seen)
        time.sleep(POLL)
    _check_ended_well(local_cluster.wait(processes), command)
    first = min(seen.values()) - started
    plan = {"seconds_to_first": first, "checkpoints": len(seen)}
    write_json(path, plan)
    print(f"without interruption: {time.monotonic() - started:.0f} s", flush=True)
    return plan


def _attempt(
    command: Sequence[str],
    folder: Path,
    *,
    workers: int,
    moment: str,
    plan: dict[str, float],
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    """Starts, or resumes, a training and kills it; None where it ended before."""
    before = set(_checkpoints(folder))
    processes = local_cluster.start([*command, f"--workdir={folder}"], workers)
    victim = processes[rng.integers(workers)]
    started = time.monotonic()
    wanted = 1 + int(2 * plan["between"] * rng.random())
    share = rng.random()
    seen: dict[str, float] = {}
    while victim.poll() is None:
        _look(folder, seen)
        new = sorted(at for name, at in seen.items() if name not in before)
        # some way into the time between two checkpoints
        gap = new[-1] - new[-2] if len(new) > 1 else 0.1
        far = len(new) >= wanted and time.monotonic() > new[wanted - 1] + share * gap
        early = time.monotonic() > started + share * plan["seconds_to_first"]
        writing = (folder / "checkpoints" / SCRATCH).exists()
        now = {"training": far, "saving": far and writing, "starting": early}
        if now.get(moment):
            break
        time.sleep(POLL)
    if victim.poll() is not None:
        _check_ended_well(local_cluster.wait(processes), command)
        return None
    victim.kill()
    killed = time.monotonic()
    status = local_cluster.wait(processes)
    return {
        "moment": moment,
        "worker": processes.index(victim),
        "seconds": round(killed - started, 3),
        "checkpoints": sorted(_checkpoints(folder)),
        "was_writing": (folder / "checkpoints" / SCRATCH).exists(),
        "status": status,
        "seconds_to_end": round(time.monotonic() - killed, 3),
    }


def _look(folder: Path, seen: dict[str, float]) -> None:
    """Notes when each checkpoint was first there."""
    for name in _checkpoints(folder):
        seen.setdefault(name, time.monotonic())


def _checkpoints(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("checkpoints/ckpt-*.index")]


def _check_ended_well(status: int, command: Sequence[str]) -> None:
    if status:
        raise ValueError(
            f"the training ended with status {status}. Received: {' '.join(command)}"
        )
