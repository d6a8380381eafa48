"""A new training that begins with the weights of another one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfcnf.runs.build import build_model
from tfcnf.runs.run import Run
from tfcnf.training.averaging import use_weights
from tfcnf.training.checkpoints import Checkpoints, Position
from tfcnf.training.recovery import LAST_GOOD


def find_run(path: str) -> tuple[Path, Path]:
    """The folders of a run and of its checkpoints.

    Args:
        path: a run folder, or ``last_good`` in one, see
            `tfcnf.training.recovery.Recovery`.

    Raises:
        ValueError: for anything else.
    """
    folder = Path(path)
    run, checkpoints = folder, folder / "checkpoints"
    if folder.name == LAST_GOOD:
        run, checkpoints = folder.parent, folder
    if not (run / "config.json").is_file() or not any(checkpoints.glob("*.index")):
        raise ValueError(
            f"init_from must be a run with a checkpoint. Received: init_from={path!r}"
        )
    return run, checkpoints


class FirstWeights(NamedTuple):
    """Weights that a new run begins with.

    Attributes:
        source: run that they are of.
        position: where in its training.
        values: of the flow's weights, and of the gates' or of none.
    """

    source: str
    position: Position
    values: list[np.ndarray]

    def give(self, model: Any) -> None:
        """Gives them to a model; optimizer, seeds and running baselines begin anew."""
        weights = [*model.flow_weights, *model.gate_weights]
        for weight, value in zip(weights, self.values, strict=False):
            weight.assign(value)
        place = f"epoch {self.position.epoch}, step {self.position.step}"
        print(f"weights of {self.source} after {place}")


def read_weights(model: Any, init_from: str) -> FirstWeights:
    """The weights of a run that fit a model: their average where the run keeps one.

    They are those of the best epoch of a run with a validation split. Learned
    tolerances begin anew where the run has none.

    Args:
        model: compiled; it is left as it is.
        init_from: see `find_run`.

    Raises:
        ValueError: for a run of another architecture.
    """
    folder, checkpoints = find_run(init_from)
    run = Run(str(folder))
    other = build_model(run.config, run.data)
    best = None if checkpoints.name == LAST_GOOD else run.chosen_epoch
    position = Checkpoints(checkpoints, other).restore(best)
    use_weights(other, None)
    pairs = [(other.flow_weights, model.flow_weights)]
    if other.gate_weights and model.gate_weights:
        pairs.append((other.gate_weights, model.gate_weights))
    for theirs, mine in pairs:
        _check_shapes(theirs, mine, init_from)
    values = [weight.numpy() for theirs, _ in pairs for weight in theirs]
    return FirstWeights(init_from, position, values)


def _check_shapes(theirs: Sequence[Any], mine: Sequence[Any], init_from: str) -> None:
    shapes = [[tuple(weight.shape) for weight in weights] for weights in (theirs, mine)]
    if shapes[0] != shapes[1]:
        pairs = itertools.zip_longest(*shapes)
        (i, (old, new)) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
        raise ValueError(
            "the run has weights of other shapes; give the same config.model and data "
            f"of the same kind. Received: init_from={init_from!r} with weight {i} of "
            f"shape {old}, here {new}"
        )
