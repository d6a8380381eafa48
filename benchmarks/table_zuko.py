"""zuko's neural spline flow and CNF as contenders of the tables suite."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import zuko

HIDDEN = (64, 64)
LOOSE_CNF, LOOSE = "zuko cnf 1e-3", 1e-3  # tolerance of its solves in training alone


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
        flows = zuko.flows
        kinds = {"zuko nsf": flows.NSF, "zuko cnf": flows.CNF, LOOSE_CNF: flows.CNF}
        self.flow = kinds[name](dims, conditions, hidden_features=HIDDEN)
        self.trained = self.flow
        if name == LOOSE_CNF:
            shared = {id(p): p for p in self.flow.parameters()}
            self.trained = copy.deepcopy(self.flow, shared)
            for part in self.trained.modules():
                if hasattr(part, "rtol"):
                    part.atol = part.rtol = LOOSE
        self.num_parameters = sum(p.numel() for p in self.flow.parameters())
        self.initial = self.state()
        self.reset(1e-3)

    def reset(self, rate: float) -> None:
        """Back to the initial weights, with a new Adam."""
        self.restore(self.initial)
        self.optimizer = torch.optim.Adam(self.flow.parameters(), rate)

    def step(self, x: np.ndarray, c: np.ndarray) -> None:
        """One step of Adam."""
        loss = -_log_prob(self.trained, x, c).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def log_prob(self, x: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log p(x | c) in nats."""
        with torch.no_grad():
            return _log_prob(self.flow, x, c).numpy()

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


def _log_prob(flow: Any, x: np.ndarray, c: np.ndarray) -> Any:
    return flow(torch.from_numpy(c)).log_prob(torch.from_numpy(x))
