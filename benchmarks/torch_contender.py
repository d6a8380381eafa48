"""torch + torchdiffeq as a contender of the step suite, written as FFJORD is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torchdiffeq import odeint_adjoint

from benchmarks.network import Size, plan, weight_names


class Field(torch.nn.Module):
    """dz/dt of a CNF and its divergence, time as the first channel of each layer."""

    def __init__(self, weights: list[np.ndarray], dtype: Any):
        super().__init__()
        tensors = [torch.tensor(w, dtype=dtype) for w in weights]
        self.kernels = torch.nn.ParameterList(
            [k.permute(3, 2, 0, 1).contiguous() for k in tensors[::2]]
        )
        self.biases = torch.nn.ParameterList(tensors[1::2])
        self.noise: Any = None
        self.nfe = 0

    def network(self, t: Any, z: Any) -> Any:
        """dz/dt."""
        last = len(self.kernels) - 1
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            time = torch.ones_like(z[:, :1]) * t
            z = functional.conv2d(torch.cat([time, z], 1), kernel, bias, padding=1)
            z = functional.softplus(z) if i < last else z
        return z

    def forward(self, t: Any, state: Any) -> Any:
        """Derivatives of z and of the log-determinant."""
        self.nfe += 1
        z = state[0]
        if not torch.is_grad_enabled():
            z = z.detach()
        with torch.enable_grad():
            z = z if z.requires_grad else z.requires_grad_(True)
            dz = self.network(t, z)
            (vjp,) = torch.autograd.grad(dz, z, self.noise, create_graph=True)
            return dz, (vjp * self.noise).flatten(1).sum(1)


class TorchContender:
    """The network of a plan with torchdiffeq's ``dopri5`` and adjoint.

    Args:
        size: the batch.
        arrays: see `benchmarks.network.make_arrays`.
        tol: tolerance of all solves.
        seminorm: whether parameter gradients are left out of the backward error test.
        channels_last: memory format.
        dtype: ``"float32"`` or ``"float64"``.
    """

    def __init__(
        self,
        size: Size,
        arrays: Any,
        *,
        tol: float,
        seminorm: bool = False,
        channels_last: bool = True,
        dtype: str = "float32",
    ):
        kind = getattr(torch, dtype)
        layout = torch.channels_last if channels_last else torch.contiguous_format

        def image(name: str) -> Any:
            x = torch.tensor(arrays[name], dtype=kind).permute(0, 3, 1, 2)
            return x.contiguous(memory_format=layout)

        self.operations, shapes = plan(size)
        self.x = image("input")
        self.fields = []
        for k in range(len(shapes)):
            weights = [arrays[name] for name in weight_names(arrays, k)]
            field = Field(weights, kind).to(memory_format=layout)
            field.noise = image(f"noise_{k}")
            self.fields.append(field)
        self.options = {"rtol": tol, "atol": tol, "method": "dopri5"}
        if seminorm:
            self.options["adjoint_options"] = {"norm": "seminorm"}
        self.parameters = [
            p
            for field in self.fields
            for pair in zip(field.kernels, field.biases, strict=True)
            for p in pair
        ]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-12)

    def forward(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Codes ``[B, D]``, log-determinants ``[B]``, evaluations."""
        with torch.no_grad():
            z, log_det = self._encode()
        return z.numpy(), log_det.numpy(), self._take_nfe()

    def step(self) -> tuple[list[np.ndarray], int]:
        """Gradients of one training step, evaluations of its backward solves."""
        self.optimizer.zero_grad()
        z, log_det = self._encode()
        self._take_nfe()
        (0.5 * (z**2).sum(1) - log_det).mean().backward()
        self.optimizer.step()
        gradients = [p.grad.numpy() for p in self.parameters]
        gradients = [g.transpose(2, 3, 1, 0) if g.ndim == 4 else g for g in gradients]
        return gradients, self._take_nfe()

    def _encode(self) -> Any:
        x, codes = self.x, []
        log_det = torch.zeros(len(x), dtype=x.dtype)
        times = torch.tensor([0.0, 1.0], dtype=x.dtype)
        for operation, k in self.operations:
            if operation == "squeeze":
                x = functional.pixel_unshuffle(x, 2)
            elif operation == "split":
                x, factored = x.chunk(2, 1)
                codes.append(factored.flatten(1))
            else:
                zeros = torch.zeros_like(log_det)
                z, increment = odeint_adjoint(
                    self.fields[k], (x, zeros), times, **self.options
                )
                x, log_det = z[-1], log_det + increment[-1]
        return torch.cat([*codes, x.flatten(1)], 1), log_det

    def _take_nfe(self) -> int:
        nfe = sum(field.nfe for field in self.fields)
        for field in self.fields:
            field.nfe = 0
        return nfe
