"""The model card of an export: what it is, what it answers, what it was measured at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tfcnf.data.columns import Column
from tfcnf.data.record import DataRecord
from tfcnf.diagnostics.certificate import Certificate
from tfcnf.labels.real import Real
from tfcnf.models.infocnf import InfoCNF
from tfcnf.reporting.tables import markdown, results_table
from tfcnf.serving.answers import INTERVAL, Answers, has_marginal
from tfcnf.serving.image_answers import ImageAnswers
from tfcnf.serving.module import BYTES, LEVELS, FlowModule
from tfcnf.tasks import Task

CARD = "MODEL_CARD.md"
SHOWN = 100  # classes whose names are listed
OF_IMAGES = """\
Only images like those of the training data have meaningful answers; `ood_score`, where
it is there, tells others. A high likelihood does not make an image usual: likelihoods
of flows are known to be high on simple images. The model puts some density on values a
little darker than black, 0, and a little brighter than white, 1: its samples reach
there, and are taken back. An image beyond this support has the log-probability -inf,
NaN for what is read from its code, and the class -1; the others of its request are
answered."""
OF_VECTORS = """\
Only examples like those of the training data have meaningful answers. A high likelihood
does not make an example usual. One outside the bounds of its columns has the
log-probability -inf, NaN for what is read from its code, and the class -1; the others
of its request are answered."""
SHARED = """\
With shared steps an answer moves with the others of its request by what the tolerance
allows; an odd example among many ordinary ones is diluted in the error norm and may be
off by more."""
LIMITS = """\
Where a solve does not succeed within its limit of steps the request fails, without a
number.

A SavedModel is a program: whoever loads it and asks it runs its graph, which may read
and write files. Load none of a source that you do not trust. A process that is forked
after the model was loaded hangs: start workers by `spawn` and load it in each."""


def model_card(
    module: FlowModule,
    config: dict[str, Any],
    *,
    measures: dict[str, Any],
    data: DataRecord,
    tol: float,
) -> str:
    """Markdown made of the run's configuration and measures.

    Args:
        module: what is saved.
        config: of the run.
        measures: ``"entropy"``, which may be None, and, of a finished run,
            ``"evaluation"``, ``"metadata"`` and, where it has one, ``"certificate"``;
            ``"worst_request"`` where it was measured.
        data: record of the run's data.
        tol: default tolerance.
    """
    model, evaluation = module.answers.model, measures.get("evaluation")
    images = len(model.event_shape) == 3
    sections = [
        f"# {type(model).__name__} on {config['data']}",
        f"{_subject(model)} It gives exact likelihoods, draws examples, encodes them "
        "invertibly and, where it has labels, predicts them. Trained on the training "
        f"split of `{config['data']}`, seed {config['seed']}, "
        f"{config['training']['epochs']} epochs of batches of "
        f"{config['training']['batch_size']}.",
        *_data(data),
        *_inputs(model),
        "## Measured on the test split",
        results_table(evaluation["evaluations"], Task.of(data).measures)
        if evaluation
        else "Not measured yet.",
        "## Certificate",
        *_certificate(measures.get("certificate")),
        "## How the answers are computed",
        *_computed(module, measures["entropy"], tol),
        "## Functions",
        _functions(module),
        "## Bounds",
        _bounds(module.answers),
        *_worst(measures.get("worst_request")),
        "## Limits",
        OF_IMAGES if images else OF_VECTORS,
        *([SHARED] if "shared" in module.answers.steps else []),
        LIMITS,
        "## Provenance",
        _provenance(measures.get("metadata")),
        "Configuration:",
        f"```json\n{json.dumps(config, indent=2)}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _subject(model: InfoCNF) -> str:
    """The kind of model in a sentence."""
    size = " x ".join(map(str, model.event_shape))
    labels = " and ".join(label.describe() for label in model.labels)
    of = f"{size} images with {model.num_levels} grey levels"
    if len(model.event_shape) == 1:
        of = f"vectors of {size} numbers"
    context = " and given a context" * bool(model.condition)
    return (
        f"A conditional continuous normalizing flow of {of}, with "
        f"{labels or 'no labels'}{context}."
    )


def _inputs(model: InfoCNF) -> Iterator[str]:
    """The entries of vectors, contexts and labels in their order, with their units."""
    if model.columns:
        yield _listed("Entries of `x`, in their own units", model.columns)
    if model.condition:
        units = model.condition.units
        if units is not None:
            head = "Entries of `context`, in their own units, categories by number"
            yield _listed(head, units.columns)
        else:
            shape = ", ".join(map(str, model.condition.shape))
            yield f"A context has shape [{shape}]; one for all examples will do."
    if any(label.title or not label.integer for label in model.labels):
        given = [
            f"{_plain(label.title or str(i))} ({label.describe()})"
            for i, label in enumerate(model.labels)
        ]
        yield f"Entries of `label`, in their own units: {', '.join(given)}."
    if any(isinstance(label, Real) for label in model.labels):
        yield (
            "`label_low_own_units` and `label_high_own_units` are the ends of an "
            f"interval of {INTERVAL:.0%}; they are NaN for labels that are no numbers."
        )


def _listed(head: str, columns: Sequence[Column]) -> str:
    lines = [f"{i}. {_plain(column.describe())}" for i, column in enumerate(columns)]
    return "\n".join([f"{head}:", "", *lines])


def _data(data: DataRecord) -> Iterator[str]:
    """The names of the classes, and whether the training's data stayed the same."""
    for names in filter(None, data.class_names):
        shown = [f"{i} {_plain(name)}" for i, name in enumerate(names[:SHOWN])]
        rest = ["more in `labels.json`"] if len(names) > SHOWN else []
        yield f"Classes: {', '.join(shown + rest)}."
    if data.exchanged:
        changes = _plain("; ".join(data.exchanged))
        yield f"The data were exchanged during the training: {changes}."


def _certificate(measures: dict[str, Any] | None) -> Sequence[str]:
    """Sentences on the model as an ODE and a density."""
    if measures is None:
        return ["None: `launch/evaluate.py --certificate` makes one of the run."]
    return [_plain(line) for line in Certificate.verdict(measures)]


def _plain(text: str) -> str:
    """Text in one line that Markdown takes as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))


def _computed(
    module: FlowModule, entropy: dict[str, Any] | None, tol: float
) -> Sequence[str]:
    answers = module.answers
    draws = f"the mean over {answers.draws} fixed draws of noise"
    if answers.exact:
        floats, noise = (
            "without noise, the trace of the Jacobian exact",
            "dequantization",
        )
    else:
        floats = f"{draws} of Hutchinson's estimate of the trace"
        noise = "dequantization and of the estimated trace"
    return [
        f"Solver tolerance {tol:g} unless `tol` is given. The same request always gets "
        "the same answer; `sample` depends on its `seed`. Seeds, tolerances and "
        "temperatures are one number, or one for each example; the strictest "
        "tolerance holds for all.",
        _steps(answers.steps),
        _examples(answers, floats, f"{draws} of {noise}"),
        _score(answers, entropy),
    ]


def _steps(steps: Sequence[str]) -> str:
    """The ways to take steps that a request may choose from."""
    ways = {
        "shared": "one step size for all examples of the request",
        "each": "steps of its own for each example, whose answer is to the bit the "
        "same alone and in any request of this export on one kind of processor",
    }
    known = ", or ".join(f'`"{way}"`, {ways[way]}' for way in steps)
    return f"Steps of the solver (`steps`): {known}. The first is the default."


def _examples(answers: Answers, floats: str, dequantized: str) -> str:
    """The kind of examples, and the way to their log-probabilities."""
    means = "Means over draws have their standard error beside them."
    if not isinstance(answers, ImageAnswers):
        return (
            f"Log-probabilities are densities in the units of `x`, {floats}; with "
            f"whole numbers in columns of integers they are {dequantized}, at most "
            f"log P. {means} Codes have a noise of their own there."
            if any(column.kind == "integer" for column in answers.model.columns)
            else f"Log-probabilities are densities in the units of `x`, {floats}. "
            f"{means}"
        )
    return (
        "Images are floats, black 0 and white 1, or, in the functions that end in "
        f"`{LEVELS}`, grey levels 0..{answers.model.num_levels - 1}; those that end in "
        f"`{BYTES}` take image files, whose 8 bits are scaled to these levels (JSON: "
        '`{"b64": ...}`). Log-probabilities of floats '
        f"are {floats}; those of grey levels are {dequantized}. {means} "
        "Log-probabilities are densities "
        "of these floats in nats; bits/dim count the grey levels. Codes and classes "
        "of grey levels are those of the middle of each level."
    )


def _score(answers: Answers, entropy: dict[str, Any] | None) -> str:
    if not has_marginal(answers.model):
        return "There is no `ood_score`: the model has no p(x)."
    if entropy is None:
        return "There is no `ood_score`: the export was made without the training data."
    return (
        "`ood_score` compares with the entropy of the training data, "
        f"{entropy['nats']:.2f} nats (standard error "
        f"{entropy['standard_error_nats']:.2f}, standard deviation "
        f"{entropy['deviation_nats']:.2f} over {entropy['num_examples']} examples)."
    )


def _functions(module: FlowModule) -> str:
    rows = []
    for name, function in module.functions.items():
        inputs = ", ".join(
            f"`{spec.name}` {spec.dtype.name}" for spec in function.input_signature
        )
        outputs = function.get_concrete_function().structured_outputs
        answers = ", ".join(f"`{key}`" for key in sorted(outputs))
        rows.append([f"`{name}`", inputs, answers])
    return markdown([["function", "takes", "gives"], [""] * 3, *rows])


def _bounds(answers: Answers) -> str:
    bounds = answers.bounds
    return (
        f"A request may have {bounds.max_batch} examples (`max_batch`; where it "
        "interpolates, pairs times images), a tolerance down to "
        f"{bounds.min_tol:g} (`min_tol`), and in each of the model's solves a work of "
        f"{bounds.max_work} (`max_work`): examples times attempted steps, times 1 + P "
        "/ 3 where log-determinants take P directions, in all passes of an answer "
        f"together. What is beyond a bound is refused, or fails, in "
        "one line that names it."
    )


def _worst(worst: dict[str, Any] | None) -> Iterator[str]:
    """Seconds of the dearest requests, where they were measured."""
    if worst is None:
        return
    end = "was answered" if worst["answered"] else "failed in its solve"
    yield (
        f"Of {worst['requests']} requests made as dear as the bounds allow the slowest "
        f"took {worst['seconds']:.2g} s ({worst['cpu_seconds']:.2g} s of CPU): "
        f"`{worst['function']}` of {worst['examples']} examples with steps "
        f"`{worst['steps']}`, which {end}. Measured when this export was made, on "
        f"{_plain(worst['machine'])}."
    )


def _provenance(metadata: dict[str, Any] | None) -> str:
    if metadata is None:
        return "Unknown."
    versions = ", ".join(f"{k} {v}" for k, v in metadata["versions"].items())
    command = " ".join(map(str, metadata["command"]))
    return (
        f"Begun {metadata['date']} with `{command}`, commit "
        f"{metadata.get('commit')}; {versions}; {metadata['machine']}."
    )
