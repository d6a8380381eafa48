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
from pathlib import Path
from typing import Any, NamedTuple

from tfcnf import experiment
from tfcnf.configuration import check_config
from tfcnf.files import file_name
from tfcnf.ode.status import SolverError
from tfcnf.run_folder import check_folder


class Run(NamedTuple):
    """One arm with one seed."""

    arm: str
    folder: Path
    config: dict[str, Any]

    @property
    def is_finished(self) -> bool:
        """Whether its results are there; they are written last."""
        return (self.folder / "eval.json").is_file()

    @property
    def seconds(self) -> float:
        """How long it took, of a finished run."""
        started = (self.folder / "metadata.json").stat().st_mtime
        return (self.folder / "eval.json").stat().st_mtime - started


def run(
    arms: Mapping[str, Mapping[str, Mapping[str, Any]]],
    seeds: Sequence[int],
    out: str,
    data_dir: str | None = None,
) -> None:
    """Trains every arm with every seed into ``out/REGIME/ARM/seed_N``.

    All arms are trained with the first seed before the second is begun. Finished runs
    are skipped, unfinished ones are resumed. A run whose solver fails is reported at
    the end and does not stop the others. Each has a process of its own, so that none
    inherits the memory or the random state of another.

    Args:
        arms: configurations by regime and name.
        seeds: takes the place of the configurations' seed.
        out: folder of the sweep.
        data_dir: of tensorflow-datasets.

    Raises:
        ValueError: before anything is trained, for a bad configuration or a folder
            that holds a run with another one.
        SolverError: after the last run, where solves failed.
    """
    runs = _plan(arms, seeds, Path(out))
    for item in runs:
        check_config(item.config)
        check_folder(item.config, str(item.folder))
    failures = []
    for i, item in enumerate(runs):
        name = f"{item.folder} ({i + 1} of {len(runs)})"
        if item.is_finished:
            print(f"{name}: finished before")
            continue
        print(f"{name}: {_remaining(runs[i:], runs)} left", flush=True)
        try:
            _train(item.config, str(item.folder), data_dir)
        except SolverError as failure:
            print(f"{name}: {failure}", flush=True)
            failures.append(str(item.folder))
    if failures:
        raise SolverError(f"solves failed in {', '.join(failures)}")


def _plan(
    arms: Mapping[str, Mapping[str, Mapping[str, Any]]],
    seeds: Sequence[int],
    out: Path,
) -> list[Run]:
    return [
        Run(
            f"{regime}/{arm}",
            out / file_name(regime) / file_name(arm) / f"seed_{seed}",
            {**config, "seed": seed},
        )
        for seed in seeds
        for regime, members in arms.items()
        for arm, config in members.items()
    ]


def _train(config: Mapping[str, Any], folder: str, data_dir: str | None) -> None:
    run_apart(experiment.train, config, folder, data_dir)


def run_apart(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in a process of its own, which ends when this one does."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _end_with_parent) as pool:
        return pool.submit(function, *args).result()


def _end_with_parent() -> None:
    """Ends this process with SIGTERM when its parent is gone, even by SIGKILL.

    A training that heard the signal saves and returns; the next one ends the process,
    which would wait for work.
    """
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is None:
            return
        parent.join()
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    threading.Thread(target=wait, daemon=True).start()


def _remaining(todo: Sequence[Run], runs: Sequence[Run]) -> str:
    """The time the unfinished runs will take if they take as long as those before."""
    done: dict[str, list[float]] = {}
    for item in runs:
        if item.is_finished:
            done.setdefault(item.arm, []).append(item.seconds)
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
