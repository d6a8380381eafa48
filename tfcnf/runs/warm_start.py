"""A new training that begins with the weights of another one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfcnf.runs.build import build_model
from tfcnf.runs.run import Run
from tfcnf.training.averaging import use_weights
from tfcnf.training.checkpoints import Checkpoints
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


def take_weights(model: Any, init_from: str) -> None:
    """Gives a model the weights of a run: their average where the run keeps one.

    They are those of the best epoch of a run with a validation split.

    Optimizer, seeds and running baselines begin anew, and so do learned tolerances
    where the run has none.

    Args:
        model: compiled.
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
    _copy(other.flow_weights, model.flow_weights, init_from)
    if other.gate_weights and model.gate_weights:
        _copy(other.gate_weights, model.gate_weights, init_from)
    print(f"weights of {init_from} after epoch {position.epoch}, step {position.step}")


def _copy(theirs: Sequence[Any], mine: Sequence[Any], init_from: str) -> None:
    shapes = [[tuple(weight.shape) for weight in weights] for weights in (theirs, mine)]
    if shapes[0] != shapes[1]:
        pairs = itertools.zip_longest(*shapes)
        (i, (old, new)) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
        raise ValueError(
            "the run has weights of other shapes; give the same config.model and data "
            f"of the same kind. Received: init_from={init_from!r} with weight {i} of "
            f"shape {old}, here {new}"
        )
    for weight, value in zip(mine, theirs, strict=True):
        weight.assign(value.numpy())
