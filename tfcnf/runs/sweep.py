"""Many runs, one after another, that can be interrupted and resumed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from tfcnf.files import file_name
from tfcnf.models.failures import FAILURES, RunsFailed
from tfcnf.records import read_record
from tfcnf.registry import import_own
from tfcnf.reporting.tables import markdown
from tfcnf.run_state import RunState, note_failed, read_state
from tfcnf.runs import experiment
from tfcnf.runs.config import check_config
from tfcnf.runs.folder import check_folder
from tfcnf.training.preemption import insist_on_signals


class Planned(NamedTuple):
    """One arm with one seed."""

    arm: str
    folder: Path
    config: dict[str, Any]

    @property
    def state(self) -> RunState:
        """Its state, as its folder tells it."""
        return read_state(self.folder)

    @property
    def is_finished(self) -> bool:
        """True where it is, with as many epochs as are asked for."""
        if not self.state.is_finished:
            return False
        path, epochs = self.folder / "config.json", "training.epochs"
        done = read_record(path, {epochs: int})["training"]["epochs"]
        return done >= self.config["training"]["epochs"]


def run(
    arms: Mapping[str, Mapping[str, Mapping[str, Any]]],
    seeds: Sequence[int],
    *,
    out: str,
    data_dir: str | None = None,
) -> None:
    """Trains every arm with every seed into ``out/REGIME/ARM/seed_N``.

    All arms are trained with the first seed before the second is begun. Finished runs
    are skipped, unfinished ones are resumed. A run that fails, be it by bad input or
    because its process was killed, does not stop the others; the table that is printed
    at the end says why. Each has a process of its own, so that none inherits the memory
    or the random state of another.

    Args:
        arms: configurations by regime and name.
        seeds: takes the place of the configurations' seed.
        out: folder of the sweep.
        data_dir: of tensorflow-datasets.

    Raises:
        ValueError: before anything is trained, for a bad configuration or a folder
            that holds a run with another one.
        RunsFailed: after the last run, naming those that failed.
    """
    runs = _plan(arms, seeds, Path(out))
    for item in runs:
        check_config(item.config)
        check_folder(item.config, str(item.folder))
    failures = {}
    for i, item in enumerate(runs):
        name = f"{item.folder} ({i + 1} of {len(runs)})"
        if item.is_finished:
            print(f"{name}: finished before")
            continue
        print(f"{name}: {_remaining(runs[i:], runs)} left", flush=True)
        reason = _attempt(item, data_dir)
        if reason:
            print(f"{name}: {reason}", flush=True)
            failures[item.folder] = reason
    _print_table(runs, failures)
    if failures:
        names = ", ".join(map(str, failures))
        raise RunsFailed(f"{len(failures)} of {len(runs)} runs failed: {names}")


def _attempt(item: Planned, data_dir: str | None) -> str:
    """Trains a run; why that failed, in one line, and "" where it did not."""
    try:
        _train(item.config, str(item.folder), data_dir)
    except BrokenProcessPool:
        reason = "its process was killed"
    except (*FAILURES, ValueError, MemoryError, tf.errors.OpError) as failure:
        reason = " ".join(str(failure).split()) or type(failure).__name__
    else:
        return ""
    if (item.folder / "config.json").is_file():
        note_failed(item.folder, reason)
    return reason


def _print_table(runs: Sequence[Planned], failures: Mapping[Path, str]) -> None:
    rows = [["run", "state"], ["", ""]]
    for item in runs:
        reason = failures.get(item.folder)
        rows.append([str(item.folder), f"failed: {reason}" if reason else "finished"])
    print(markdown(rows), flush=True)


def _plan(
    arms: Mapping[str, Mapping[str, Mapping[str, Any]]],
    seeds: Sequence[int],
    out: Path,
) -> list[Planned]:
    return [
        Planned(
            f"{regime}/{arm}",
            out / file_name(regime) / file_name(arm) / f"seed_{seed}",
            {**config, "seed": seed},
        )
        for seed in seeds
        for regime, members in arms.items()
        for arm, config in members.items()
    ]


def _train(config: Mapping[str, Any], folder: str, data_dir: str | None) -> None:
    run_apart(experiment.train, config, folder, data_dir=data_dir)


def run_apart(function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Calls a function in a process of its own, which ends when this one does."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _begin_apart) as pool:
        try:
            return pool.submit(function, *args, **keywords).result()
        except KeyboardInterrupt:  # which the child need not have heard
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _begin_apart() -> None:
    import_own()
    _end_with_parent()


def _end_with_parent() -> None:
    """Ends this process with SIGTERM when its parent is gone, even by SIGKILL.

    A training that heard the signal saves and returns; the next one ends the process,
    which would wait for work.
    """
    insist_on_signals()
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is None:
            return
        parent.join()
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    threading.Thread(target=wait, daemon=True).start()


def _remaining(todo: Sequence[Planned], runs: Sequence[Planned]) -> str:
    """The time the unfinished runs will take if they take as long as those before."""
    done: dict[str, list[float]] = {}
    for item in runs:
        state = item.state
        if state.is_finished:
            done.setdefault(item.arm, []).append(state.ended - state.begun)
    if not done:
        return "unknown time"
    typical = statistics.median(s for seconds in done.values() for s in seconds)
    left = sum(
        statistics.median(done.get(item.arm, [typical]))
        for item in todo
        if not item.is_finished
    )
    hours, minutes = divmod(round(left / 60), 60)
    return f"about {hours}:{minutes:02d} h"
