"""The train suite: InfoCNF on the digits to the same quality, here and in torch.

All contenders have the same network, initial weights, batches, optimizer and learning
rates: the papers' settings, and for ``tfcnf:default`` those of the package. Each has a
process and one thread of its own; they train an epoch each in turns, and after it the
weights of all are measured in one way: the test images at tolerance 1e-5, with the same
noise. The time is that of training alone, building and tracing included.
"""

from __future__ import annotations

import functools
import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import modules
from benchmarks.network import trained_weights
from benchmarks.step import Process
from tfcnf.files import write_json
from tfcnf.runs.build import build_model, read_source
from tfcnf.runs.config import check_config, complete
from tfcnf.tasks import Task

TARGETS = (
    *(("bits_per_dim", limit) for limit in (2.2, 2.1, 2.05)),
    *(("test_error", limit) for limit in (5.0, 3.0)),
)
UNITS = {"bits_per_dim": "bits/dim", "test_error": "% error"}
TIGHT = 1e-5  # the papers' tolerance
DRAWS = 3  # of the judge's noise: bits/dim then have a deviation of some 0.003
FIXED = "papers,policy=fixed"
CONTENDERS = {  # variants of configs/digits.py
    "tfcnf:default": "policy=learned",
    "tfcnf:learned": "papers,policy=learned",
    "tfcnf:1e-5": FIXED,
    "torch": FIXED,
    "torch:seminorm": FIXED,
}
SIZES = {"digits": "", "smoke": ",smoke"}  # what is added to them
Log = Callable[[str], None]
Fit = dict[str, Any]


def make_config(contender: str, size: str = "digits") -> dict[str, Any]:
    """The configuration that a contender is trained with."""
    variant = CONTENDERS[contender]
    path = modules.ROOT / "configs" / "digits.py"
    config = runpy.run_path(str(path))["get_config"](variant + SIZES[size]).to_dict()
    if variant == FIXED:
        config["model"]["tol"] = TIGHT
    check_config(config)
    return config


class Judge:
    """Measures weights on the test images.

    Args:
        config: of a run; its tolerances are not looked at.
    """

    def __init__(self, config: dict[str, Any]):
        source = read_source(config, None)
        self.model = build_model(config, source)
        batch = config["evaluation"]["batch_size"]
        self.evaluator = Task.of(source).evaluator(self.model, source, batch, "test")

    def measure(self, weights: Sequence[np.ndarray]) -> dict[str, float]:
        """Measures of `TARGETS` by name.

        Args:
            weights: in the order of `trained_weights`.
        """
        for variable, value in zip(trained_weights(self.model), weights, strict=True):
            variable.assign(value)
        found = dict(self.evaluator.run(TIGHT, DRAWS))
        return {name: float(found[name]) for name in UNITS}


def run(
    log: Log,
    *,
    sizes: Sequence[str] = ("digits",),
    contenders: Sequence[str] = tuple(CONTENDERS),
    budget: float = 3600.0,
    folder: Path,
) -> dict[str, Any]:
    """Measures by epoch and time of each contender, until all targets are reached.

    Args:
        log: takes a line of progress.
        sizes: names, see `SIZES`.
        contenders: names, see `CONTENDERS`.
        budget: CPU seconds of a training.
        folder: of checkpoints and epochs; a training that is there is gone on with.

    Raises:
        ValueError: for a budget that is not positive, or a folder that holds other
            trainings.
    """
    if not budget > 0:
        raise ValueError(f"budget must be positive. Received: budget={budget}")
    fits = []
    for size in sizes:
        trainings = [Training(name, size, folder / size) for name in contenders]
        fits += _take_turns(trainings, budget, log)
    asked = {"budget": budget, "tol": TIGHT, "targets": TARGETS, "units": UNITS}
    return asked | {"fits": fits}


class Training:
    """One contender's training, which may have begun before.

    Args:
        name: the contender.
        size: see `SIZES`.
        folder: of all contenders.

    Raises:
        ValueError: for a folder that holds another training.
    """

    def __init__(self, name: str, size: str, folder: Path):
        self.folder = folder / name.replace(":", "_")
        self.config = make_config(name, size)
        self.epochs = self.config["training"]["epochs"]
        self.path = self.folder / "fit.json"
        self.fit: Fit = {"contender": name, "size": size, "curve": []}
        self.process: Process | None = None
        if not self.path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "config.json", self.config)
        self.fit |= json.loads(self.path.read_text()) if self.path.exists() else {}
        kept = complete(json.loads((self.folder / "config.json").read_text()))
        if kept != json.loads(json.dumps(self.config)):
            raise ValueError(
                "the folder holds a training with another configuration; choose "
                f"another file. Received: {self.folder}"
            )

    @functools.cached_property
    def judge(self) -> Judge:
        """Measures the weights."""
        return Judge(self.config)

    @property
    def seconds(self) -> float:
        """CPU seconds until now."""
        done = sum(row["cpu"] for row in self.fit["curve"])
        return float(self.fit.get("start", {}).get("cpu", 0.0) + done)

    def is_over(self, budget: float) -> bool:
        """True at the last epoch, beyond the budget or with all targets reached."""
        curve = self.fit["curve"]
        reached = all(_reached(curve, *target) is not None for target in TARGETS)
        done = len(curve) == self.epochs or self.seconds >= budget
        return reached or done or "skipped" in self.fit

    def begin(self) -> Process:
        """Starts the process, where it is to go on."""
        command = modules.command(
            "train_worker",
            self.fit["contender"],
            self.folder / "config.json",
            self.folder,
        )
        process = Process(self.fit["contender"], command, modules.ONE_THREAD)
        self.process = process
        start = process.ask(f"prepare {len(self.fit['curve'])}")
        self.fit.setdefault("start", start)
        return process

    def advance(self) -> None:
        """Trains an epoch and has it measured; says why where that fails."""
        weights = self.folder / "weights.npz"
        try:
            process = self.process or self.begin()
            row = process.ask(f"epoch {len(self.fit['curve'])} {weights}")
        except RuntimeError as error:
            self.fit["skipped"] = str(error)
            return
        with np.load(weights) as arrays:
            row |= self.judge.measure([arrays[name] for name in arrays.files])
        self.fit["curve"].append(row)
        write_json(self.path, self.fit)

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.close()
            self.process = None


def _take_turns(trainings: Sequence[Training], budget: float, log: Log) -> list[Fit]:
    going = [one for one in trainings if not one.is_over(budget)]
    try:
        while going:
            for one in going:
                one.advance()
                last = one.fit.get("skipped") or one.fit["curve"][-1]
                log(f"{one.fit['contender']}: {len(one.fit['curve'])} epochs, {last}")
            for one in going:
                if one.is_over(budget):
                    one.close()
            going = [one for one in going if not one.is_over(budget)]
    finally:
        for one in trainings:
            one.close()
    return [one.fit for one in trainings]


def _reached(curve: Sequence[dict[str, float]], name: str, limit: float) -> int | None:
    """Epochs until a measure is at most the limit for the first time."""
    passed = (i for i, row in enumerate(curve, 1) if row[name] <= limit)
    return next(passed, None)


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each size, contender and target.

    ``cpu_s`` and ``wall_s`` include those of building and tracing (``start_cpu_s``).
    ``ratio`` is the CPU time over that of ``torch``, ``nfe`` the mean evaluations of a
    step until then, forward and backward.
    """
    rows = []
    fits = [fit for fit in results["fits"] if "skipped" not in fit]
    for fit in fits:
        torch = _find(fits, fit["size"], "torch")
        for name, limit in TARGETS:
            own, theirs = _spent(fit, name, limit), torch and _spent(torch, name, limit)
            row = {"size": fit["size"], "contender": fit["contender"]}
            row |= {"target": f"{limit:g} {UNITS[name]}"} | own
            if own["state"] == "reached" and theirs and theirs["state"] == "reached":
                row["ratio"] = own["cpu_s"] / theirs["cpu_s"]
            rows.append(row)
    return rows


def _find(fits: Sequence[Fit], size: str, contender: str) -> Fit | None:
    return next(
        (f for f in fits if (f["size"], f["contender"]) == (size, contender)), None
    )


def _spent(fit: Fit, name: str, limit: float) -> dict[str, Any]:
    """Epochs, time and evaluations until a target, or that it was not reached."""
    epochs = _reached(fit["curve"], name, limit)
    done = fit["curve"][:epochs]
    spent = {
        f"{kind}_s": fit["start"][kind] + sum(row[kind] for row in done)
        for kind in ("cpu", "wall")
    }
    if epochs is None:
        return {"state": f"not reached in {spent['cpu_s']:.0f} s of CPU"}
    nfe = [row["nfe_forward"] + row["nfe_backward"] for row in done]
    return {
        "state": "reached",
        "epochs": epochs,
        **spent,
        "start_cpu_s": fit["start"]["cpu"],
        "nfe": float(np.mean(nfe)),
    }
