"""zuko's neural spline flow and CNF as contenders of the tables suite."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import zuko

HIDDEN = (64, 64)
LOOSE = 1e-3  # tolerance of the solves of "zuko cnf 1e-3", in training alone


class ZukoContender:
    """A flow of zuko with its own defaults, but for the width of its networks.

    Args:
        name: ``"zuko nsf"``, ``"zuko cnf"`` or ``"zuko cnf 1e-3"``, which is trained at
            the tolerance that tfcnf is trained at.
        dims: D.
        conditions: C.
        seed: of the initial weights.
    """

    def __init__(self, name: str, dims: int, conditions: int, seed: int):
        torch.manual_seed(seed)
        kind = zuko.flows.NSF if name == "zuko nsf" else zuko.flows.CNF
        self.flow = kind(dims, conditions, hidden_features=HIDDEN)
        loose = {"atol": LOOSE, "rtol": LOOSE} if name == "zuko cnf 1e-3" else {}
        solves = [part for part in self.flow.modules() if hasattr(part, "rtol")]
        self.training = [(part, loose) for part in solves]
        self.judging = [(part, _tolerances(part)) for part in solves]
        self.num_parameters = sum(p.numel() for p in self.flow.parameters())
        self.initial = self.state()
        self.reset(1e-3)

    def reset(self, rate: float) -> None:
        """Back to the initial weights, with a new Adam."""
        self.restore(self.initial)
        self.optimizer = torch.optim.Adam(self.flow.parameters(), rate)

    def step(self, x: np.ndarray, c: np.ndarray) -> None:
        """One step of Adam."""
        _set(self.training)
        loss = -self._log_prob(x, c).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        _set(self.judging)

    def log_prob(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log p(x | c) in nats."""
        with torch.no_grad():
            return self._log_prob(x, c).numpy()

    def codes(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Codes of the rows."""
        with torch.no_grad():
            flow = self.flow(torch.from_numpy(c))
            return flow.transform(torch.from_numpy(x)).numpy()

    def state(self) -> Any:
        """A copy of the weights."""
        return copy.deepcopy(self.flow.state_dict())

    def restore(self, state: Any) -> None:
        """Sets the weights."""
        self.flow.load_state_dict(state)

    def _log_prob(self, x: np.ndarray, c: np.ndarray) -> Any:
        return self.flow(torch.from_numpy(c)).log_prob(torch.from_numpy(x))


def _tolerances(part: Any) -> dict[str, float]:
    """Both tolerances of a part that is solved."""
    return {"atol": part.atol, "rtol": part.rtol}


def _set(tolerances: Sequence[tuple[Any, Mapping[str, float]]]) -> None:
    """Gives each part its tolerances."""
    for part, values in tolerances:
        for name, value in values.items():
            setattr(part, name, value)
