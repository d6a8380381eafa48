"""The step suite: a training step of one network, new or trained, here and elsewhere.

Every contender has the same weights, input and noise and runs in a process of its own.
Before anything is timed their codes, log-determinants and gradients are compared with
a solution in float64 at a hundredth of the tolerance; a contender that disagrees is
not timed. Then they run in turns, so that what else the machine does falls on all.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import modules
from benchmarks.network import Size, make_arrays
from benchmarks.trained import load_arrays

SHAPES = ((256, 8, 8, 1), (50, 28, 28, 1), (16, 32, 32, 3))
SIZES = tuple(Size(*shape, full) for full in (False, True) for shape in SHAPES)
OURS = ("tfcnf:adjoint", "tfcnf:checkpoint", "tfcnf:store")
PEERS = ("torch", "torch:seminorm", "diffrax")
# largest error a contender may have: of codes and log-determinants in tolerances, of
# the gradient relative to its norm
AGREE_STATE, AGREE_GRADIENT = 100.0, 0.05
PATIENCE = 180.0  # seconds for a contender's first outputs, compilation included
Log = Callable[[str], None]


class Process:
    """A contender's process.

    Args:
        contender: its name.
        command: from `modules.command`.
        environment: variables that are different from this process' own.
    """

    def __init__(
        self,
        contender: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ):
        self.name = contender
        # a file: nobody reads a pipe, which would be full one day
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close
        self.process: Any = subprocess.Popen(
            command,
            cwd=modules.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **(environment or {})},
        )

    def ask(self, command: str, patience: float | None = None) -> dict[str, Any]:
        """The answer to a command.

        Args:
            command: a line that its module understands.
            patience: seconds to wait for it; for ever if None.

        Raises:
            RuntimeError: with the last line of its error output, if it stopped, or if
                there is no answer in time.
        """
        try:
            print(command, file=self.process.stdin, flush=True)
            ready, _, _ = select.select([self.process.stdout], [], [], patience)
        except BrokenPipeError:
            ready = [self.process.stdout]
        if not ready:
            raise RuntimeError(f"no answer within {patience:.0f} s")
        answer = ready[0].readline()
        if not answer:
            self.process.wait()
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines()
            raise RuntimeError((lines or ["no message"])[-1])
        return json.loads(answer)

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def run(
    log: Log,
    sizes: Sequence[Size] = SIZES,
    *,
    contenders: Sequence[str] = (*OURS, *PEERS),
    tol: float = 1e-5,
    rounds: int = 3,
    seed: int = 0,
    checkpoint: str | None = None,
) -> dict[str, Any]:
    """Errors, evaluations and seconds of each contender at each size.

    Args:
        log: takes a line of progress.
        sizes: batches.
        contenders: names, see `benchmarks.worker.make`.
        tol: tolerance of all solves.
        rounds: timings of each contender.
        seed: of weights, input and noise.
        checkpoint: run of images whose weights and test images are taken, in place of
            those of ``sizes``.

    Raises:
        ValueError: for a folder without a run, or whose data are no images.
    """
    if checkpoint:
        cases = [load_arrays(checkpoint, seed)]
    else:
        cases = [(size, make_arrays(size, seed)) for size in sizes]
    results = [
        _run_size(size, made, contenders, tol=tol, rounds=rounds, log=log)
        for size, made in cases
    ]
    return {"tol": tol, "rounds": rounds, "seed": seed, "sizes": results}


def _run_size(
    size: Size,
    made: dict[str, np.ndarray],
    contenders: Sequence[str],
    *,
    tol: float,
    rounds: int,
    log: Log,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder, "arrays.npz")
        np.savez(arrays, allow_pickle=False, **made)
        truth = _truth(arrays, size, tol=tol, folder=folder, log=log)
        rows, processes = [], []
        for name in contenders:
            process = Process(name, _worker(name, arrays, size, tol))
            try:
                row = _compare(process, truth, tol, Path(folder, "outputs.npz"))
            except RuntimeError as error:
                row = {"contender": name, "skipped": str(error)}
            rows.append(row)
            log(f"{size.name}: {row}")
            if "skipped" in row:
                process.close()
            else:
                processes.append((row, process))
        for number in range(rounds):
            for row, process in processes:
                for command in ("forward", "step"):
                    answer = process.ask(command)
                    row.setdefault(command, []).append(answer["seconds"])
                    row.setdefault(f"{command}_cpu", []).append(answer["cpu"])
            log(f"{size.name}: round {number + 1} of {rounds}")
        for _, process in processes:
            process.close()
        overhead = None
        if not size.is_multiscale:
            overhead = modules.answer("overhead", arrays, json.dumps(size), tol, rounds)
            log(f"{size.name}: {overhead}")
    return {"name": size.name, "rows": rows, "overhead": overhead}


def _worker(contender: str, arrays: Path, size: Size, tol: float) -> list[str]:
    return modules.command("worker", contender, arrays, json.dumps(size), tol)


def _truth(
    arrays: Path, size: Size, *, tol: float, folder: str, log: Log
) -> dict[str, np.ndarray]:
    """Outputs in float64 at tol / 100, by torch if it is there, else by ourselves."""
    path = Path(folder, "truth.npz")
    for name in ("torch:float64", "tfcnf:float64"):
        process = Process(name, _worker(name, arrays, size, tol / 100))
        try:
            process.ask(f"outputs {path}")
        except RuntimeError as error:
            log(f"{size.name}: no truth from {name}: {error}")
            continue
        finally:
            process.close()
        with np.load(path) as outputs:
            return dict(outputs)
    raise RuntimeError(f"no float64 solution at {size.name}")


def _compare(
    process: Process, truth: dict[str, np.ndarray], tol: float, path: Path
) -> dict[str, Any]:
    """Evaluations and errors, and why the contender is not timed if it disagrees."""
    answer = process.ask(f"outputs {path}", PATIENCE)
    with np.load(path) as outputs:
        found = dict(outputs)
    errors = {
        name: float(np.sqrt(np.mean(((found[name] - x) / (1 + np.abs(x))) ** 2)))
        for name, x in truth.items()
        if name != "gradient"
    }
    gap = np.linalg.norm(found["gradient"] - truth["gradient"])
    errors["gradient"] = float(gap / np.linalg.norm(truth["gradient"]))
    row = {"contender": process.name, "errors": errors, "first": answer["seconds"]}
    row |= {name: answer[name] for name in ("nfe_forward", "nfe_backward")}
    limit = AGREE_STATE * tol
    if (
        max(errors["z"], errors["log_det"]) > limit
        or errors["gradient"] > AGREE_GRADIENT
    ):
        row["skipped"] = "disagrees with the float64 solution"
    return row


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each size and contender, with the ratio of its step to ``torch``'s.

    ``step_s`` is by the clock, ``step_cpu_s`` the CPU time of all threads.

    For tfcnf's adjoint also ``overhead``, the time of a forward solve over that of its
    evaluations, and ``conv_share``, the time of an evaluation's convolutions over its
    own.
    """
    summary = []
    for size in results["sizes"]:
        timed = [row for row in size["rows"] if "step" in row]
        medians = {
            row["contender"]: {
                name: statistics.median(row[name])
                for name in ("forward", "step", "step_cpu")
            }
            for row in timed
        }
        torch = medians.get("torch", {})
        for row in timed:
            own = medians[row["contender"]]
            entry = {"size": size["name"], "contender": row["contender"]}
            entry |= {key: row[key] for key in ("nfe_forward", "nfe_backward")}
            entry |= {f"error_{k}": v for k, v in row["errors"].items()}
            entry |= {f"{name}_s": seconds for name, seconds in own.items()}
            for name, kind in [("ratio", "step"), ("cpu_ratio", "step_cpu")]:
                entry[name] = own[kind] / torch[kind] if torch else None
            if size["overhead"] and row["contender"] == OURS[0]:
                cost = size["overhead"]
                bare = cost["nfe"] * cost["evaluation"]
                entry["overhead"] = cost["solve"] / bare
                entry["conv_share"] = cost["convolutions"] / cost["evaluation"]
            summary.append(entry)
    return summary
