"""zuko's neural spline flow and CNF as contenders of the tables suite."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import zuko

HIDDEN = (64, 64)


class ZukoContender:
    """A flow of zuko with its own defaults, but for the width of its networks.

    Args:
        name: ``"zuko nsf"`` or ``"zuko cnf"``.
        dims: D.
        conditions: C.
        seed: of the initial weights.
    """

    def __init__(self, name: str, dims: int, conditions: int, seed: int):
        torch.manual_seed(seed)
        kind = {"zuko nsf": zuko.flows.NSF, "zuko cnf": zuko.flows.CNF}[name]
        self.flow = kind(dims, conditions, hidden_features=HIDDEN)
        self.num_parameters = sum(p.numel() for p in self.flow.parameters())
        self.initial = self.state()
        self.reset(1e-3)

    def reset(self, rate: float) -> None:
        """Back to the initial weights, with a new Adam."""
        self.restore(self.initial)
        self.optimizer = torch.optim.Adam(self.flow.parameters(), rate)

    def step(self, x: np.ndarray, c: np.ndarray) -> None:
        """One step of Adam."""
        loss = -self._log_prob(x, c).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

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
