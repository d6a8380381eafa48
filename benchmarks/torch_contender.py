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


class TorchFlow:
    """The CNFs of a plan with torchdiffeq's ``dopri5`` and adjoint.

    Args:
        size: the plan's.
        arrays: weights, see `benchmarks.network.make_arrays`.
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
        self.dtype = getattr(torch, dtype)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.operations, shapes = plan(size)
        self.fields = []
        for k in range(len(shapes)):
            weights = [arrays[name] for name in weight_names(arrays, k)]
            field = Field(weights, self.dtype).to(memory_format=self.layout)
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

    def image(self, array: Any) -> Any:
        """A tensor of an array of images whose channels are last."""
        x = torch.tensor(array, dtype=self.dtype).permute(0, 3, 1, 2)
        return x.contiguous(memory_format=self.layout)

    def encode(self, x: Any, noise: Any = None) -> tuple[Any, Any]:
        """Codes ``[B, D]`` and log-determinants ``[B]`` of images.

        Args:
            x: images.
            noise: draws a field's noise of the state that reaches it; it keeps the one
                that it has if None.
        """
        codes = []
        log_det = torch.zeros(len(x), dtype=x.dtype)
        times = torch.tensor([0.0, 1.0], dtype=x.dtype)
        for operation, k in self.operations:
            if operation == "squeeze":
                x = functional.pixel_unshuffle(x, 2)
            elif operation == "split":
                x, factored = x.chunk(2, 1)
                codes.append(factored.flatten(1))
            else:
                field = self.fields[k]
                field.noise = field.noise if noise is None else noise(x)
                state = (x, torch.zeros_like(log_det))
                z, increment = odeint_adjoint(field, state, times, **self.options)
                x, log_det = z[-1], log_det + increment[-1]
        return torch.cat([*codes, x.flatten(1)], 1), log_det

    def take_nfe(self) -> int:
        """Evaluations since this was asked last."""
        nfe = sum(field.nfe for field in self.fields)
        for field in self.fields:
            field.nfe = 0
        return nfe


def as_arrays(parameters: Any) -> list[np.ndarray]:
    """Weights, or their gradients, as TensorFlow has them."""
    arrays = [p.detach().numpy() for p in parameters]
    return [a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for a in arrays]


class TorchContender:
    """A `TorchFlow` on an input with noise that is given.

    Args:
        size: the batch.
        arrays: see `benchmarks.network.make_arrays`.
        **options: see `TorchFlow`.
    """

    def __init__(self, size: Size, arrays: Any, **options: Any):
        self.flow = TorchFlow(size, arrays, **options)
        self.x = self.flow.image(arrays["input"])
        for k, field in enumerate(self.flow.fields):
            field.noise = self.flow.image(arrays[f"noise_{k}"])
        self.optimizer = torch.optim.Adam(self.flow.parameters, lr=1e-12)

    def forward(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Codes ``[B, D]``, log-determinants ``[B]``, evaluations."""
        with torch.no_grad():
            z, log_det = self.flow.encode(self.x)
        return z.numpy(), log_det.numpy(), self.flow.take_nfe()

    def step(self) -> tuple[list[np.ndarray], int]:
        """Gradients of one training step, evaluations of its backward solves."""
        self.optimizer.zero_grad()
        z, log_det = self.flow.encode(self.x)
        self.flow.take_nfe()
        (0.5 * (z**2).sum(1) - log_det).mean().backward()
        self.optimizer.step()
        return as_arrays(p.grad for p in self.flow.parameters), self.flow.take_nfe()
