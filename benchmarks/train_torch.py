"""InfoCNF in torch + torchdiffeq as a contender of the train suite.

The network, initial weights, batches, order of the data, loss, optimizer and learning
rates are those of the configuration; the solves are the papers', ``dopri5`` at one
tolerance both ways with adjoint.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.network import arrays_of, size_of
from benchmarks.torch_contender import TorchFlow, as_arrays
from tfcnf.data.pipeline import steps_per_epoch, training_batches
from tfcnf.files import replace_file
from tfcnf.runs.build import build_model, read_source


class ZeroLinear(torch.nn.Module):
    """``(x W + b) * exp(3 s)``, see `tfcnf.labels.linear.ZeroLinear`."""

    def __init__(self, weights: Any):
        super().__init__()
        self.weights = torch.nn.ParameterList(
            [torch.tensor(np.asarray(w), dtype=torch.float32) for w in weights]
        )

    def forward(self, x: Any) -> Any:
        """``[B, n]`` to ``[B, units]``."""
        kernel, bias, log_scale = self.weights
        return (x @ kernel + bias) * torch.exp(3.0 * log_scale)


class TorchContender:
    """InfoCNF of images with one label, a class.

    Args:
        config: of a run.
        folder: of the checkpoints.
        seminorm: see `TorchFlow`.
    """

    def __init__(self, config: dict[str, Any], folder: Path, seminorm: bool = False):
        self.config, self.folder, self.seminorm = config, folder, seminorm
        self.source = read_source(config, None)
        self.model = build_model(config, self.source)  # initial weights, rates

    def prepare(self) -> None:
        """Builds the flow."""
        model, config = self.model, self.config
        torch.manual_seed(config["seed"])
        size = size_of(model, config["training"]["batch_size"])
        self.flow = TorchFlow(
            size,
            arrays_of(model),
            tol=model.flow_options["tol"],
            seminorm=self.seminorm,
        )
        (label,) = model.labels
        self.q_phi = ZeroLinear(label.q_phi.weights)
        self.q_theta = ZeroLinear(label.q_theta.weights)
        self.parameters = [
            *self.flow.parameters,
            *self.q_phi.parameters(),
            *self.q_theta.parameters(),
        ]
        self.optimizer = torch.optim.Adam(
            self.parameters, eps=config["optimizer"]["epsilon"]
        )

    def epoch(self, number: int) -> dict[str, float]:
        """Trains an epoch; mean evaluations of a step both ways."""
        batch = self.config["training"]["batch_size"]
        steps = steps_per_epoch(self.source.train, batch)
        batches = training_batches(
            self.source, batch, seed=self.config["seed"], epoch=number
        )
        rates = self.model.optimizer._learning_rate
        counts = []
        for i, (x, y) in enumerate(batches.as_numpy_iterator()):
            for group in self.optimizer.param_groups:
                group["lr"] = float(rates(number * steps + i))
            self.optimizer.zero_grad()
            loss = self.loss(self.flow.image(x), torch.tensor(y.reshape(-1)).long())
            forward = self.flow.take_nfe()
            loss.backward()
            counts.append((forward, self.flow.take_nfe()))
            self.optimizer.step()
        forward, backward = np.mean(counts, 0)
        return {"nfe_forward": float(forward), "nfe_backward": float(backward)}

    def loss(self, x: Any, y: Any, training: bool = True) -> Any:
        """Bits/dim and beta times the cross-entropy, a mean over grey levels x."""
        model = self.model
        z, log_det = self._codes(x)
        (dims,) = model.prior.partition.supervised
        z_y, z_u = z[:, :dims], z[:, dims:]
        one_hot = functional.one_hot(y, model.labels[0].num_classes).float()
        mean, log_scale = self.q_phi(one_hot).chunk(2, 1)
        log_prob = -log_scale.sum(1) - 0.5 * (
            (((z_y - mean) * torch.exp(-log_scale)) ** 2).sum(1)
            + (z_u**2).sum(1)
            + z.shape[1] * math.log(2 * math.pi)
        )
        bits = math.log2(model.num_levels) - (log_prob + log_det) / (
            z.shape[1] * math.log(2)
        )
        dropped = functional.dropout(z_y, model.dropout, training)
        entropy = functional.cross_entropy(self.q_theta(dropped), y)
        return bits.mean() + model.beta * entropy

    def _codes(self, x: Any) -> tuple[Any, Any]:
        """Codes and log-determinants of grey levels ``[B, C, H, W]``."""
        alpha = self.model.flow.layers[0].alpha
        u = (x + torch.rand_like(x)) / self.model.num_levels
        s = alpha + (1 - 2 * alpha) * u
        logs = torch.log(s), torch.log1p(-s)
        slope = (math.log1p(-2 * alpha) - logs[0] - logs[1]).flatten(1).sum(1)
        z, log_det = self.flow.encode(logs[0] - logs[1], _signs)
        return z, log_det + slope

    def weights(self) -> list[np.ndarray]:
        """In the order of `benchmarks.network.trained_weights`."""
        return as_arrays(self.parameters)

    def save(self, epochs: int) -> None:
        """Writes a checkpoint of so many epochs."""
        state = {
            "parameters": self.parameters,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        with replace_file(self._path(epochs)) as path:
            torch.save(state, path)
        self._path(epochs - 2).unlink(missing_ok=True)

    def restore(self, epochs: int) -> None:
        """Reads the checkpoint of so many epochs."""
        state = torch.load(self._path(epochs))
        with torch.no_grad():
            for own, saved in zip(self.parameters, state["parameters"], strict=True):
                own.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])

    def _path(self, epochs: int) -> Path:
        return self.folder / f"torch-{epochs}.pt"


def _signs(x: Any) -> Any:
    """Rademacher noise of the shape and layout of x."""
    return torch.randint_like(x, 2) * 2 - 1
