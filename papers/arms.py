"""The runs of a comparison, read from their folders and grouped into arms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.records import read_record
from tfcnf.reporting.read import (
    MODELS,
    read_epochs,
    read_numbers,
    read_results,
    read_tolerances,
)
from tfcnf.run_state import EARLIER, read_state

PARTITIONS = {"code": "partitioned", "head": "linear head", "none": "no labels"}
CONFIG = {  # what is told of a configuration
    "data": str,
    "model_name": str,
    "seed": int,
    "model.tol": float,
    "optimizer.learning_rate": float,
    "training.batch_size": int,
    "training.epochs": int,
    "evaluation.tol": float,
}
BITS = ("bits_per_dim", "marginal_bits_per_dim")
DISTANCES = tuple(f"rmse_{part}" for part in ("window", "forward", "backward"))


@dataclass(frozen=True)
class Run:
    """Record of what a finished run left behind.

    It has no ``tolerances`` where they are constants, and no ``labels`` where it had
    the label of every example.
    """

    folder: Path
    config: dict[str, Any]
    metrics: list[dict[str, Any]]
    results: dict[str, Any]
    tolerances: dict[str, Any]
    labels: dict[str, Any]

    def mean(self, name: str) -> float:
        """A measure of ``metrics.jsonl`` averaged over the epochs."""
        return float(np.mean([line[name] for line in self.metrics if name in line]))


@dataclass(frozen=True)
class Arm:
    """Runs that differ in nothing but the seed.

    ``note`` is said behind the label where that alone does not tell arms apart.
    """

    folder: str
    runs: list[Run]
    note: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of its first run."""
        return self.runs[0].config

    @property
    def model(self) -> str:
        """``"infocnf"``, ``"ccnf"``, ``"cnf"`` or ``"latent_ode"``."""
        return self.config["model_name"]

    @property
    def policy(self) -> str:
        """Policy of the tolerances; latent ODEs have constant ones."""
        return self.config["model"].get("policy", "fixed")

    @property
    def tol(self) -> float:
        """The constant tolerance, or what the policy starts from."""
        return self.config["model"]["tol"]

    @property
    def rate(self) -> float:
        """Its largest learning rate."""
        return self.config["optimizer"]["learning_rate"]

    @property
    def flows(self) -> int:
        """CNFs in each half of a scale; 1 of a latent ODE."""
        return self.config["model"].get("flows_per_block", 1)

    @property
    def dropout(self) -> float:
        """Of the classifier's input; 0 of a latent ODE."""
        return self.config["model"].get("dropout", 0.0)

    @property
    def batch(self) -> int:
        """Examples of a training step."""
        return self.config["training"]["batch_size"]

    @property
    def num_labels(self) -> int:
        """Labels of each class; 0 for all."""
        return self.config["training"].get("labels", 0)

    @property
    def is_alone(self) -> bool:
        """True where it was trained on the labelled examples alone."""
        part = self.config["training"].get("labelled_part", 1.0)
        return bool(self.num_labels) and part == 1

    @property
    def penalties(self) -> str:
        """Running costs and a random end time, in words; empty without either."""
        options = self.config["model"]
        costs = ["costs"] * any(options.get("costs", {}).values())
        return " and ".join(costs + ["random end"] * bool(options.get("steer")))

    @property
    def label(self) -> str:
        """Model, policy, penalties, gradient if not the adjoint's, number of labels.

        Of a latent ODE: what its labels are for.
        """
        note = f" ({self.note})" if self.note else ""
        if self.model == "latent_ode":
            return PARTITIONS[self.config["model"].get("partition", "code")] + note
        constant = f" {self.tol:.0e}" if self.policy == "fixed" else ""
        labels = f", {self.num_labels} labels" if self.num_labels else ""
        alone = " alone" if self.is_alone else ""
        gradient = self.config["model"].get("gradient", "adjoint")
        exact = "" if gradient == "adjoint" else f", {gradient}"
        priced = f", {self.penalties}" if self.penalties else ""
        about = f"{constant}{priced}{exact}{labels}{alone}{note}"
        return f"{MODELS[self.model]}, {self.policy}{about}"

    @property
    def regime(self) -> str:
        """Data set and batch size; only arms of one regime are compared."""
        return f"{self.config['data']}, batch {self.batch}"

    def each(self, measure: Callable[[Run], float]) -> np.ndarray:
        """A measure of every run."""
        return np.array([measure(run) for run in self.runs])

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs ``[n]`` and a measure of ``metrics.jsonl``, ``[runs, n]``."""
        points = [
            {line["epoch"]: line[name] for line in run.metrics if name in line}
            for run in self.runs
        ]
        epochs = sorted(set.intersection(*(set(p) for p in points)))
        return np.array(epochs), np.array([[p[e] for e in epochs] for p in points])

    def elapsed(self, unit: str, epochs: Iterable[int]) -> np.ndarray:
        """Cost of training up to some epochs, the mean of the runs.

        Args:
            unit: ``"epoch"``; ``"minutes"``; or ``"evaluations"``, forward and
                backward, all layers and steps.
            epochs: counted from 1.
        """
        totals = [dict(_totals(run, unit)) for run in self.runs]
        return np.array([np.mean([total[e] for total in totals]) for e in epochs])


def load_arms(folder: str) -> tuple[list[Arm], list[str]]:
    """The arms below a folder, and the folders of runs that are not, and why.

    Runs ``ARM/seed_N`` make up one arm; any other run folder is an arm of its own.

    Raises:
        ValueError: where there is no finished run, or runs of one arm differ in more
            than the seed.
    """
    root = Path(folder)
    groups: dict[Path, list[Run]] = {}
    unfinished = []
    for path in sorted(root.rglob("config.json")):
        run = path.parent
        if any(p.startswith(EARLIER) for p in run.relative_to(root).parts):
            continue
        state = read_state(run)
        if not state.is_finished:
            reason = f" (failed: {state.reason})" if state.reason else ""
            unfinished.append(f"{run}{reason}")
            continue
        place = run.parent if re.fullmatch(r"seed_\d+", run.name) else run
        groups.setdefault(place, []).append(_read(run))
    if not groups:
        raise ValueError(f"no finished run in this folder. Received: runs={folder!r}")
    arms = [Arm(str(path), runs) for path, runs in groups.items()]
    for arm in arms:
        if any(
            run.config | {"seed": 0} != arm.config | {"seed": 0} for run in arm.runs
        ):
            raise ValueError(
                "the runs of an arm must differ in the seed alone. "
                f"Received: {arm.folder}"
            )
    count = Counter((arm.regime, arm.label) for arm in arms)
    told_apart = [
        replace(arm, note=Path(arm.folder).name)
        if count[arm.regime, arm.label] > 1
        else arm
        for arm in arms
    ]
    return sorted(told_apart, key=_order), unfinished


def regimes(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """The arms of each regime."""
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        groups.setdefault(arm.regime, []).append(arm)
    return groups


def _totals(run: Run, unit: str) -> Iterator[tuple[int, float]]:
    """(epoch, what was spent until its end)."""
    total, step = 0.0, 0
    for line in run.metrics:
        if unit == "minutes":
            total += line["seconds"] / 60
        elif unit == "evaluations":
            each = line["nfe_forward"] + line["nfe_backward"]
            total, step = total + each * (line["step"] - step), line["step"]
        else:
            total = line["epoch"]
        yield line["epoch"], total


def _order(arm: Arm) -> Any:
    place = list(MODELS)[::-1].index(arm.model)
    return (
        *(arm.config["data"], arm.batch, -place),
        *(arm.policy != "fixed", arm.policy, arm.tol),
        *(arm.num_labels or np.inf, arm.is_alone),
    )


def _read(folder: Path) -> Run:
    config = read_record(folder / "config.json", CONFIG)
    path = folder / "config.json"
    for key, is_known in {
        "model_name": tuple(MODELS).__contains__,
        "model.policy": lambda name: isinstance(name, str),  # it may be the user's own
        "model.partition": tuple(PARTITIONS).__contains__,
    }.items():
        group, _, name = key.rpartition(".")
        values = config[group] if group else config
        if name in values and not is_known(values[name]):
            raise ValueError(
                f"config.json is damaged ({key} is {values[name]!r}). Received: {path}"
            )
    is_series = config["model_name"] == "latent_ode"
    needed = DISTANCES if is_series else BITS
    return Run(
        folder,
        config,
        read_epochs(folder),
        read_results(folder, *needed, has_rows=False),
        read_tolerances(folder),
        read_numbers(folder / "labels.json"),
    )
