"""The beginning of a training: checks, its folder, the state it starts from."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfcnf.data.record import DataRecord
from tfcnf.runs.data import check_data, renew_folder
from tfcnf.runs.folder import check_folder, hold_folder, open_folder
from tfcnf.runs.warm_start import FirstWeights
from tfcnf.training.accumulation import check_compiled, check_parts
from tfcnf.training.agreement import check_agreement, facts_of_code
from tfcnf.training.checkpoints import START, Checkpoints, Position
from tfcnf.training.strategy import cluster_of


def check_start(
    scope: tf.distribute.Strategy,
    config: Mapping[str, Any],
    *,
    workdir: str,
    init_from: str | None,
    changed_data: bool,
) -> None:
    """Checks that all workers were started for the same run, before any other thing."""
    check_agreement(
        scope,
        config=json.loads(json.dumps(config)),
        workdir=os.path.abspath(workdir),
        init_from=init_from and os.path.abspath(init_from),
        changed_data=changed_data,
        code=facts_of_code(),
    )


def check_batches(scope: tf.distribute.Strategy, config: Mapping[str, Any]) -> None:
    """Checks that a batch can be divided, and that its failures can be dealt with.

    Raises:
        ValueError: where replicas and parts do not divide a batch, or XLA is to compile
            a step of several of them, or one of several workers is asked to recover
            from a failed step.
    """
    training = config["training"]
    replicas, parts = scope.num_replicas_in_sync, training["accumulation_steps"]
    check_parts(training["batch_size"], replicas, parts)
    if training.get("jit_compile"):
        check_compiled(replicas, parts)
    workers, action = len(cluster_of(scope).addresses), training["recovery"]["action"]
    if workers > 1 and action != "stop":
        raise ValueError(
            "a worker cannot recover from a failed step while the others wait for it. "
            f"Received: recovery.action={action!r} with {workers} workers"
        )


@contextlib.contextmanager
def run_folder(
    config: Mapping[str, Any],
    workdir: str,
    *,
    leads: bool,
    data: DataRecord,
    init_from: str | None,
    changed_data: bool,
) -> Iterator[Path]:
    """The folder of a run; the first worker makes it and keeps others out of it."""
    if not leads:
        if check_folder(config, workdir) and not changed_data:
            check_data(workdir, data)
        yield Path(workdir)
        return
    folder = open_folder(config, workdir, init_from=init_from)
    with hold_folder(folder):
        renew_folder(config, workdir, data=data, changed_data=changed_data)
        yield folder


def find_start(
    scope: tf.distribute.Strategy,
    model: Any,
    *,
    checkpoints: Checkpoints,
    first: FirstWeights | None,
) -> Position:
    """Restores the newest checkpoint; a new run takes the weights it begins with."""
    with scope.scope():
        start = checkpoints.restore()
    check_agreement(scope, checkpoint=start._asdict())
    if start == START and first is not None:
        with scope.scope():
            first.give(model)
    return start
