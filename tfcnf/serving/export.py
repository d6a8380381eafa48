"""From a finished run to a SavedModel that needs TensorFlow alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfcnf.checks import check_choice
from tfcnf.data.record import DataRecord
from tfcnf.data.source import Split
from tfcnf.diagnostics.typicality import kept_entropy
from tfcnf.evaluation.solves import cnf_layers, interpolates
from tfcnf.files import temporary_folder, write_json
from tfcnf.models.infocnf import InfoCNF
from tfcnf.models.passes import STEPS
from tfcnf.ode.solver import check_keeps_steps
from tfcnf.records import read_record
from tfcnf.reporting.read import read_results
from tfcnf.serving.answers import Answers, has_marginal
from tfcnf.serving.bounds import Bounds
from tfcnf.serving.image_answers import ImageAnswers
from tfcnf.serving.model_card import CARD, model_card
from tfcnf.serving.module import FlowModule
from tfcnf.serving.worst import measure_worst
from tfcnf.tolerances.policy import check_tolerance

TRACES = ("auto", "exact", "estimate")
EXACT_DIMS = 64  # largest D at which "auto" takes the exact trace
DRAWS = 8
IMAGES, TABLE = "images.json", "table.json"  # what is known of the examples
METADATA = {"command": list, "date": str, "machine": str, "versions": dict}


def make_module(
    model: InfoCNF,
    entropy: float | None,
    *,
    tol: float,
    trace: str = "auto",
    draws: int = DRAWS,
    bounds: Bounds = Bounds(),  # noqa: B008
    steps: Sequence[str] | None = None,
) -> FlowModule:
    """The module of a model, as it will be saved.

    Args:
        model: a flow of images or vectors.
        entropy: of its training data, nats, or None, see `Answers`.
        tol: default of the solver's tolerance.
        trace: ``"exact"``, ``"estimate"`` (the layers' own, averaged over the draws)
            or ``"auto"``: exact up to D = `EXACT_DIMS`.
        draws: see `Answers`.
        bounds: what a request may ask for.
        steps: of `STEPS`, what a request may choose from, the default first; all that
            the model's solvers can if None.

    Raises:
        ValueError: for a model that is no flow, or a keyword out of range.
    """
    check_export(model, tol=tol, trace=trace, draws=draws, bounds=bounds, steps=steps)
    exact = trace == "exact" or (trace == "auto" and model.num_dims <= EXACT_DIMS)
    kind = ImageAnswers if len(model.event_shape) == 3 else Answers
    answers = kind(
        model,
        exact=exact,
        draws=draws,
        entropy=entropy,
        bounds=bounds,
        steps=steps or (STEPS if interpolates(model.flow) else STEPS[:1]),
    )
    return FlowModule(answers, tol)


def check_export(
    model: Any,
    *,
    tol: float,
    trace: str,
    draws: int,
    bounds: Bounds,
    steps: Sequence[str] | None,
) -> None:
    """Checks what `make_module` is given.

    Raises:
        ValueError: as it does.
    """
    if check_tolerance("tol", tol) < bounds.min_tol:
        raise ValueError(
            "tol must be at least the bound min_tol. "
            f"Received: tol={tol:g}, min_tol={bounds.min_tol:g}"
        )
    check_choice("trace", trace, TRACES)
    if not isinstance(draws, int) or draws < 2:
        raise ValueError(f"draws must be at least 2. Received: draws={draws!r}")
    if not isinstance(model, InfoCNF):
        raise ValueError(
            "only flows of images and vectors can be exported. "
            f"Received: {type(model).__name__}"
        )
    if steps is not None and sorted(steps) not in (["each"], ["shared"], sorted(STEPS)):
        raise ValueError(
            f"steps must be {' or '.join(STEPS)}, or both. "
            f"Received: steps={','.join(map(str, steps))}"
        )
    if "each" in (steps or ()):
        for layer in cnf_layers(model.flow):
            check_keeps_steps("steps='each'", layer.solver)


def export_run(
    workdir: str,
    export_dir: str,
    *,
    config: dict[str, Any],
    model: InfoCNF,
    data: DataRecord,
    read: Callable[[], Split | None],
    tol: float = 1e-5,
    trace: str = "auto",
    draws: int = DRAWS,
    bounds: Bounds = Bounds(),  # noqa: B008
    steps: Sequence[str] | None = None,
    worst: bool = False,
    overwrite: bool = False,
) -> Path:
    """Writes the SavedModel of a run; the folder is whole or not there.

    Args:
        workdir: run folder; its measures go along, and ``entropy.json`` is kept there.
        export_dir: folder to make.
        config: of the run.
        model: the run's model.
        data: record of the run's data.
        read: see `kept_entropy`.
        tol: see `make_module`.
        trace: see `make_module`.
        draws: see `make_module`.
        bounds: see `make_module`.
        steps: see `make_module`.
        worst: whether the dearest requests are timed and told of in the model card, see
            `measure_worst`.
        overwrite: whether an older export at this place is replaced.

    Raises:
        ValueError: for a folder that exists, a keyword out of range, or requests to be
            timed without the training data.
    """
    target = Path(export_dir)
    _check_target(target, overwrite)
    options: Any = {"tol": tol, "trace": trace, "draws": draws}
    options |= {"bounds": bounds, "steps": steps}
    check_export(model, **options)  # before it measures
    size = config["evaluation"]["batch_size"]
    entropy = None
    if has_marginal(model):
        entropy = kept_entropy(workdir, model, read=read, tol=tol, batch_size=size)
    module = make_module(model, entropy and entropy.nats, **options)
    measures = _measures(Path(workdir))
    measures["entropy"] = entropy and entropy._asdict()
    if worst:
        measures["worst_request"] = _worst(module, read())
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(target.parent, ".export-") as folder:
        assets = folder / "assets"
        assets.mkdir()
        write_json(assets / "labels.json", data.class_names)
        _write_examples(assets, model)
        write_json(assets / "run_config.json", config)
        write_json(assets / "metrics.json", measures)
        (assets / CARD).write_text(
            model_card(module, config, measures=measures, data=data, tol=tol)
        )
        module.assets = [tf.saved_model.Asset(str(p)) for p in sorted(assets.iterdir())]
        saved = folder / "saved"
        tf.saved_model.save(
            module,
            str(saved),
            signatures=dict(module.functions),
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
        _forget_gradients(saved / "saved_model.pb")
        _move(saved, target)
    return target


def _worst(module: FlowModule, data: Split | None) -> dict[str, Any]:
    if data is None:
        raise ValueError(
            "the dearest requests are made of the training data, which are not here. "
            "Received: worst=True"
        )
    return measure_worst(module, data)._asdict()


def _write_examples(assets: Path, model: InfoCNF) -> None:
    """Writes what `launch/predict.py` needs to know of the examples."""
    if len(model.event_shape) == 3:
        images = {"event_shape": model.event_shape, "num_levels": model.num_levels}
        write_json(assets / IMAGES, images)
        return
    units = model.condition and model.condition.units
    context = [column.record() for column in units.columns] if units else []
    table = {
        "columns": [column.record() for column in model.columns],
        "context": context,
        "labels": [label.record() for label in model.labels],
    }
    write_json(assets / TABLE, table)


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise ValueError(
            f"the folder exists; choose another. Received: export_dir={str(target)!r}"
        )
    if not (target / "assets" / CARD).is_file():
        raise ValueError(
            "only an older export is overwritten, and this is something else. "
            f"Received: export_dir={str(target)!r}"
        )


def _forget_gradients(path: Path) -> None:
    """Removes the names of gradients that were left out.

    Nobody trains what is served, and each name is a line of warning when it is loaded.
    """
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
            for node in nodes:
                node.attr.pop("_gradient_op_type", None)
    path.write_bytes(saved.SerializeToString(deterministic=True))


def _move(saved: Path, target: Path) -> None:
    """Puts an export in the place of an older one, which is there until then."""
    older = target.with_name(f".{target.name}-older")
    if target.exists():
        shutil.rmtree(older, ignore_errors=True)
        os.rename(target, older)
    os.rename(saved, target)
    shutil.rmtree(older, ignore_errors=True)


def _measures(workdir: Path) -> dict[str, Any]:
    """Measures and origin of the run, from the files that are there."""
    measures = {}
    if (workdir / "eval.json").is_file():
        measures["evaluation"] = read_results(workdir, "tolerance")
    path = workdir / "metadata.json"
    if path.is_file():
        measures["metadata"] = read_record(path, METADATA)
    path = workdir / "certificate.json"
    if path.is_file():
        measures["certificate"] = read_record(path, {}, float)
    return measures
