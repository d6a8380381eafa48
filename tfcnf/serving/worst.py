"""The dearest requests that an export allows, and the seconds that they take."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcnf.data.source import Split
from tfcnf.serving.answers import Answers
from tfcnf.serving.module import FlowModule

PARTS = (1, 2, 4, 8)  # of the largest batch
WARM = 2  # examples of the first calls, which make kernels
CODE, TEMPERATURE = 100.0, 50.0  # scale of the codes, and of those of samples
TIGHT = 1.001  # of the tightest tolerance, which float32 may round
FUNCTIONS = ("log_prob", "sample", "decode")  # the others share their passes


class Worst(NamedTuple):
    """The slowest of the dearest requests of an export.

    Attributes:
        function: that was asked.
        steps: ``"shared"`` or ``"each"``.
        examples: of the request.
        answered: False where its solve failed, at the bound on work for instance.
        seconds: that it took.
        cpu_seconds: of all threads.
        requests: that were tried.
        machine: that they ran on.
    """

    function: str
    steps: str
    examples: int
    answered: bool
    seconds: float
    cpu_seconds: float
    requests: int
    machine: str


def dearest(
    answers: Answers, data: Split, count: int
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The dearest requests of so many examples: stiff ones, at the tightest tolerance.

    Entries of vectors and contexts are the least or the greatest of the data, each at
    random, pixels black or white.

    Args:
        answers: of the export.
        data: examples of the model.
        count: of examples.

    Yields:
        The name of a function, and its inputs by name.
    """
    rng = np.random.default_rng(0)
    model = answers.model
    rows = data.take(rng.integers(len(data), size=count))
    whole = all(label.integer for label in model.labels)
    ends = _ends(data.x) if len(model.event_shape) == 1 else (0.0, 1.0)
    given: dict[str, Any] = {
        answers.example: _extreme(rng, (count, *model.event_shape), ends),
        "code": (CODE * rng.normal(size=(count, model.num_dims))).astype(np.float32),
        "label": np.asarray(rows.y, np.int32 if whole else np.float32),
        "num": np.int32(count),
        "temperature": np.float32(TEMPERATURE),
        "tol": np.float32(TIGHT * answers.bounds.min_tol),
    }
    if model.condition:
        context = np.asarray(data.context)
        shape = (count, *context.shape[1:])
        given["context"] = _extreme(rng, shape, _ends(context))
    for name in FUNCTIONS:
        asked = answers.questions[name]
        inputs = {key: value for key, value in given.items() if key in asked}
        for steps in answers.steps:
            yield name, inputs | {"steps": np.array(steps)}


def measure_worst(module: FlowModule, data: Split) -> Worst:
    """Asks a module for the `dearest` requests, and tells of the slowest.

    Args:
        module: what will be saved.
        data: examples of the model.
    """
    for request in dearest(module.answers, data, WARM):
        _seconds(module, *request)
    taken = []
    for part in PARTS:
        count = max(1, module.answers.bounds.max_batch // part)
        for name, inputs in dearest(module.answers, data, count):
            found = _seconds(module, name, inputs)
            taken.append((*found, name, str(inputs["steps"]), count))
    seconds, cpu_seconds, answered, name, steps, count = max(taken)
    return Worst(
        function=name,
        steps=steps,
        examples=count,
        answered=answered,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        requests=len(taken),
        machine=f"{platform.platform()}, {os.cpu_count()} processors",
    )


def _seconds(
    module: FlowModule, name: str, inputs: dict[str, np.ndarray]
) -> tuple[float, float, bool]:
    """Seconds and CPU seconds of a request, and whether it was answered."""
    answered = True
    before = time.perf_counter(), time.process_time()
    try:
        module.functions[name](**{k: tf.constant(v) for k, v in inputs.items()})
    except tf.errors.InvalidArgumentError:
        answered = False
    after = time.perf_counter(), time.process_time()
    return after[0] - before[0], after[1] - before[1], answered


def _ends(x: Any) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest of each entry."""
    x = np.asarray(x)
    return x.min(0), x.max(0)


def _extreme(
    rng: np.random.Generator, shape: tuple[int, ...], ends: tuple[Any, Any]
) -> np.ndarray:
    """Entries at one of the two ends, each at random."""
    return np.where(rng.random(shape) < 0.5, *ends).astype(np.float32)
