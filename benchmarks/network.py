"""The network that the contenders of the step suite share: weights, input, noise.

It is written as a plan, a list of operations that every contender follows:
``("cnf", k)``, ``("squeeze", None)`` and ``("split", None)``, as in the multiscale flow
of InfoCNF App. B. Arrays are channels last; kernels are ``[3, 3, C_in + 1, C_out]``
with the time channel first.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.multiscale import default_num_scales

HIDDEN = (64, 64, 64)


class Size(NamedTuple):
    """A batch of images, and the flow that they go through.

    Attributes:
        batch: images.
        height: of an image, as the next two.
        width: see above.
        channels: see above.
        is_multiscale: a multiscale flow in place of one CNF.
        num_scales: its scales; as `default_num_scales` has them if None.
        flows_per_block: CNFs before, and after, each squeeze.
    """

    batch: int
    height: int
    width: int
    channels: int
    is_multiscale: bool
    num_scales: int | None = None
    flows_per_block: int = 2

    @property
    def name(self) -> str:
        """For instance ``"32x32x3 batch 16, multiscale"``."""
        kind = "multiscale" if self.is_multiscale else "one CNF"
        shape = f"{self.height}x{self.width}x{self.channels}"
        return f"{shape} batch {self.batch}, {kind}"


def plan(size: Size) -> tuple[list[tuple[str, Any]], list[tuple[int, int, int]]]:
    """The operations in order, and the shape ``(H, W, C)`` of each CNF's state."""
    h, w, c = size.height, size.width, size.channels
    if not size.is_multiscale:
        return [("cnf", 0)], [(h, w, c)]
    operations: list[tuple[str, Any]] = []
    shapes: list[tuple[int, int, int]] = []

    def add_cnfs() -> None:
        for _ in range(size.flows_per_block):
            operations.append(("cnf", len(shapes)))
            shapes.append((h, w, c))

    scales = size.num_scales or default_num_scales((h, w, c))
    for scale in range(scales):
        add_cnfs()
        if scale < scales - 1:
            operations.append(("squeeze", None))
            h, w, c = h // 2, w // 2, 4 * c
            add_cnfs()
            operations.append(("split", None))
            c //= 2
    return operations, shapes


def make_arrays(size: Size, seed: int) -> dict[str, np.ndarray]:
    """Input, and for each CNF its noise and weights, by name, float64.

    Weights are drawn as the reference does, U(-1/sqrt(fan_in), 1/sqrt(fan_in)); the
    input is the logit of uniform grey levels.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.05, 0.95, (size.batch, size.height, size.width, size.channels))
    arrays = {"input": np.log(x) - np.log1p(-x)}
    for k, shape in enumerate(plan(size)[1]):
        arrays[f"noise_{k}"] = rng.choice([-1.0, 1.0], (size.batch, *shape))
        widths = [shape[-1], *HIDDEN, shape[-1]]
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            bound = (9 * (n_in + 1)) ** -0.5
            kernel = rng.uniform(-bound, bound, (3, 3, n_in + 1, n_out))
            arrays[f"kernel_{k}_{i}"] = kernel
            arrays[f"bias_{k}_{i}"] = rng.uniform(-bound, bound, n_out)
    return arrays


def size_of(model: Any, batch: int) -> Size:
    """The flow of a model of images with `batch` of them."""
    options = model.flow_options
    height, width, channels = model.event_shape
    return Size(
        *(batch, height, width, channels),
        is_multiscale=True,
        num_scales=options.get("num_scales"),
        flows_per_block=options.get("flows_per_block", 2),
    )


def layers_of(model: Any) -> list[CNFLayer]:
    """The CNFs of a model of images, in order."""
    _, multiscale = model.flow.layers
    layers = [layer for scale in multiscale.scales for layer in scale.layers]
    return [layer for layer in layers if isinstance(layer, CNFLayer)]


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """The weights of a model's CNFs by their names in `make_arrays`, float64."""
    arrays: dict[str, np.ndarray] = {}
    for k, layer in enumerate(layers_of(model)):
        weights = layer.dynamics.get_weights()
        pairs = zip(weights[::2], weights[1::2], strict=True)
        for i, (kernel, bias) in enumerate(pairs):
            arrays[f"kernel_{k}_{i}"] = np.asarray(kernel, np.float64)
            arrays[f"bias_{k}_{i}"] = np.asarray(bias, np.float64)
    return arrays


def trained_weights(model: Any) -> list[Any]:
    """Weights of a model with one label: of its CNFs, of q_phi and of q_theta."""
    (label,) = model.labels
    parts = [layer.dynamics for layer in layers_of(model)]
    return [w for part in (*parts, label.q_phi, label.q_theta) for w in part.weights]


def weight_names(arrays: Any, k: int) -> list[str]:
    """The weights of CNF k: kernel and bias of each layer in turn."""
    count = sum(name.startswith(f"kernel_{k}_") for name in arrays)
    return [f"{kind}_{k}_{i}" for i in range(count) for kind in ("kernel", "bias")]
