"""The serve suite: an exported run beside the same model in memory, in one process."""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.data import catalog
from tfcnf.flows.cnf import CNFLayer
from tfcnf.models.infocnf import InfoCNF
from tfcnf.ode.trace import Exact, NoTrace, Trace, value_and_divergence
from tfcnf.runs.folder import read_config
from tfcnf.runs.run import Run
from tfcnf.serving.bounds import Bounds
from tfcnf.serving.export import make_module
from tfcnf.types import Control, On, Tensor

BATCHES = (1, 64, 1000)
TRACES = {"classify": NoTrace(), "log_prob": Exact()}  # of log-determinants
TOL = 1e-5
BOUNDS = Bounds(max_work=1_000_000)
REPEATS = 8  # evaluations of a tight loop
SAVED, GRAPH, EAGER = "saved model", "graph in memory", "model in memory"

Log = Callable[[str], None]


def run(workdir: str | None, log: Log, rounds: int = 3) -> dict[str, Any]:
    """Seconds of each contender's calls, their evaluations, and how far they agree.

    Args:
        workdir: run folder of a model of images.
        log: takes a line of progress.
        rounds: timings of each contender, which take turns.

    Raises:
        ValueError: without a run folder.
    """
    if workdir is None:
        raise ValueError(
            "the serve suite needs the run folder of a model. Received: checkpoint=None"
        )
    source = catalog.get(read_config(workdir)["data"])
    model = Run(workdir).model
    with tempfile.TemporaryDirectory() as folder:
        exported = Run(workdir).export(
            str(Path(folder, "saved")), tol=TOL, trace="exact", bounds=BOUNDS
        )
        saved = tf.saved_model.load(str(exported))
    module = make_module(model, 0.0, tol=TOL, trace="exact", bounds=BOUNDS)
    cases = []
    for batch in BATCHES:
        levels = np.resize(source.test.x, (batch, *model.event_shape))
        image = tf.constant((levels + 0.5) / model.num_levels, tf.float32)
        label = tf.constant(np.resize(source.test.y[:, 0], batch), tf.int32)
        for question, trace in TRACES.items():
            inputs = [image] if question == "classify" else [image, label]
            contenders = {
                SAVED: getattr(saved, question),
                GRAPH: getattr(module, question),
                EAGER: _eager(model, question),
            }
            case = {"question": question, "batch": batch}
            case["difference"] = _difference(question, contenders, inputs)
            case["seconds"] = _alternate(contenders, inputs, rounds)
            case["floor"] = _floor(model, image, trace)
            log(f"{case}")
            cases.append(case)
    return {"cases": cases}


def _eager(model: InfoCNF, question: str) -> Callable[..., Tensor]:
    if question == "classify":
        return lambda image: model.classify(image, tol=TOL)
    return lambda image, label: model.log_prob(image, label, tol=TOL, exact=True)


def _difference(
    question: str, contenders: dict[str, Callable[..., Any]], inputs: Sequence[Tensor]
) -> float:
    """Largest between saved model and model in memory: nats, or a probability."""
    name = "discriminative_probability" if question == "classify" else "log_prob_nats"
    gap = contenders[SAVED](*inputs)[name] - contenders[EAGER](*inputs)
    return float(tf.reduce_max(tf.abs(gap)))


def _alternate(
    contenders: dict[str, Callable[..., Any]], inputs: Sequence[Tensor], rounds: int
) -> dict[str, list[float]]:
    """Seconds of the calls of each, in turns; the first call traces and is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, function in contenders.items():
            taken = _seconds(functools.partial(function, *inputs))
            if number:
                seconds[name].append(taken)
    return seconds


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    tf.nest.map_structure(np.asarray, function())
    return time.perf_counter() - start


def _floor(model: InfoCNF, image: Tensor, trace: Trace) -> dict[str, Any]:
    """Evaluations of each layer's solve, and the seconds of one in a tight loop."""
    control = Control(
        tol=tf.constant(TOL),
        seed=tf.constant([0, 0]),
        exact=On() if trace == Exact() else None,
        skip_log_det=On() if trace == NoTrace() else None,
    )
    nfe = model(image, control=control).nfe.numpy()
    layers = [x for x in model._flatten_layers() if isinstance(x, CNFLayer)]
    batch = int(image.shape[0])
    return {
        "nfe": [int(n) for n in nfe],
        "evaluation": [_evaluation(layer, batch, trace) for layer in layers],
    }


def _evaluation(layer: CNFLayer, batch: int, trace: Trace) -> float:
    """Median seconds of one evaluation of value and divergence."""
    shape = [batch, *layer.dynamics.state_shape[1:]]
    z = tf.random.stateless_normal(shape, [0, 0])
    probes = trace.draw(z, tf.constant([0, 0]), layer.dynamics.reach)

    @tf.function(autograph=False)
    def evaluations() -> Any:
        field, theta = layer.dynamics.prepare()

        def body(i: Tensor, z: Tensor, total: Tensor) -> Any:
            t = tf.cast(i, z.dtype) / REPEATS
            dz, divergence = value_and_divergence(field, theta, t=t, z=z, probes=probes)
            return i + 1, z + 0.1 * dz, total + divergence

        start = (tf.constant(0), z, tf.zeros(shape[:1], z.dtype))
        return tf.while_loop(lambda i, *_: i < REPEATS, body, start)[1:]

    times = [_seconds(evaluations) for _ in range(4)]
    return statistics.median(times[1:]) / REPEATS


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each question and batch: images a second, and ratios of the seconds.

    ``overhead`` is the time of the saved model over that of the model in memory, and
    ``over_floor`` over that of its evaluations alone; ``difference`` is the largest
    between the two, in nats or of a probability.
    """
    summary = []
    for case in results["cases"]:
        times = {k: statistics.median(v) for k, v in case["seconds"].items()}
        floor = float(np.dot(case["floor"]["nfe"], case["floor"]["evaluation"]))
        row = {"question": case["question"], "batch": case["batch"]}
        row["difference"] = case["difference"]
        row |= {f"{name} (images/s)": case["batch"] / s for name, s in times.items()}
        row["floor (images/s)"] = case["batch"] / floor
        row["overhead"] = times[SAVED] / times[EAGER]
        row["overhead of graph"] = times[SAVED] / times[GRAPH]
        row["over_floor"] = times[SAVED] / floor
        summary.append(row)
    return summary
