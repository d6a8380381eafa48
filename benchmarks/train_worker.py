"""A contender of the train suite in a process of its own.

    python -m benchmarks.train_worker CONTENDER CONFIG.json FOLDER

It answers each line of its input with a line of JSON: ``prepare EPOCHS`` makes it
ready to train on after so many epochs, ``epoch NUMBER WEIGHTS.npz`` trains one, saves
and writes the weights. ``cpu`` and ``wall`` are the seconds that it took, all threads
together, without those of saving.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Contender(Protocol):
    """InfoCNF that is trained by epochs."""

    def prepare(self) -> None:
        """All that comes before the first step but imports and data."""

    def epoch(self, number: int) -> dict[str, float]:
        """Trains epoch ``number``, counted from 0; means of its measures."""

    def weights(self) -> list[np.ndarray]:
        """In the order of `benchmarks.network.trained_weights`."""

    def save(self, epochs: int) -> None:
        """Writes a checkpoint of so many epochs; the one before is kept too."""

    def restore(self, epochs: int) -> None:
        """Reads the checkpoint of so many epochs."""


def make(name: str, config: dict[str, Any], folder: Path) -> Contender:
    """A contender by name.

    Raises:
        ImportError: where its packages are not installed.
    """
    family, _, option = name.partition(":")
    if family == "tfcnf":
        from benchmarks.train_tfcnf import TfcnfContender

        return TfcnfContender(config, folder)
    from benchmarks.train_torch import TorchContender

    return TorchContender(config, folder, seminorm=option == "seminorm")


def answer(contender: Contender, line: str) -> dict[str, float]:
    """Does as a line of the input says; its measures and seconds."""
    command, number, *path = line.split(maxsplit=2)
    cpu, wall = time.process_time(), time.perf_counter()
    found: dict[str, float] = {}
    if command == "prepare":
        contender.prepare()
    else:
        found = contender.epoch(int(number))
    found |= {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    if command == "prepare" and int(number):
        contender.restore(int(number))
    if command == "epoch":
        contender.save(int(number) + 1)
        np.savez(path[0], *contender.weights())
    return found


def main(name: str, config: str, folder: str) -> None:
    """Answers lines until the input ends."""
    contender = make(name, json.loads(Path(config).read_text()), Path(folder))
    for line in sys.stdin:
        print(json.dumps(answer(contender, line.strip())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
