"""Asks a SavedModel about many images, a batch at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfcnf.checks import check_choice
from tfcnf.records import read_json, read_record
from tfcnf.serving.answer_files import Answer, check_table, open_table
from tfcnf.serving.export import IMAGES, TABLE
from tfcnf.serving.module import LEVELS
from tfcnf.serving.question_files import open_images
from tfcnf.serving.requests import requested
from tfcnf.tolerances.policy import check_tolerance

QUESTIONS = (
    *("classify", "log_prob", "marginal_log_prob", "ood_score"),
    *("encode", "reconstruct"),
)
DEFAULT = ("classify", "marginal_log_prob")
ABSENT = {
    "classify": "the model has no label of classes",
    "marginal_log_prob": "the model has a label of no stated distribution, so that it "
    "has no log p(x)",
    "ood_score": "the export was made without the training data, or of a model without "
    "log p(x), or with a context",
}


def predict(
    saved_model: str,
    images: str,
    *,
    out: str,
    questions: Sequence[str] | None = None,
    batch_size: int = 32,
    tol: float | None = None,
    steps: str | None = None,
) -> int:
    """Writes the answers for every image of a folder or file into a table.

    Classes have the names that the export has of them: a column ``..._class_name``
    beside each ``..._class``, and the names at the heads of the probabilities' columns.
    Memory holds a batch, whatever the number of images. Answers to several questions
    whose names are the same are kept apart by the question's name in front.

    Args:
        saved_model: folder that `launch/export.py` made.
        images: see `tfcnf.serving.question_files.open_images`.
        out: new file that ends in .csv or .npz.
        questions: of `QUESTIONS`; ``"log_prob"`` of a model with labels needs them: an
            array in the .npz, or a folder for each class, with its name. If None, those
            of `DEFAULT` that the export answers.
        batch_size: images asked about at a time.
        tol: solver tolerance instead of the export's.
        steps: ``"shared"`` or ``"each"``; the export's default if None.

    Returns:
        The number of images.

    Raises:
        ValueError: for a bad argument or a bad image; then no file is left.
        SolverError: where a solve fails; then no file is left either.
    """
    wanted = DEFAULT if questions is None else questions
    for question in wanted:
        check_choice("questions", question, QUESTIONS)
    if batch_size < 1 or not wanted:
        raise ValueError(
            "there must be a question and a positive batch size. "
            f"Received: questions={list(wanted)}, batch_size={batch_size}"
        )
    options: dict[str, Any] = {}
    if tol is not None:
        options["tol"] = tf.constant(check_tolerance("tol", tol))
    if steps is not None:
        options["steps"] = tf.constant(steps)
    check_table(out)
    module, config, names = _load(saved_model)
    if questions is None:
        wanted = [name for name in DEFAULT if hasattr(module, name)] or DEFAULT
    classes = names[0] if len(names) == 1 else ()
    source = open_images(images, config["num_levels"], classes)
    asked = _functions(module, wanted, source.dtype)
    kind = _label_kind(module) if "log_prob" in wanted else None
    if kind and not source.labelled:
        raise ValueError(
            "log_prob needs labels: an array `label` in an .npz, or all images in "
            "folders that have the names of the export's classes. "
            f"Received: questions={list(wanted)}"
        )
    bar = keras.utils.Progbar(len(source), unit_name="image", verbose=_verbosity())
    done, shape = 0, tuple(config["event_shape"])
    named = [factor for factor in names if factor]  # numbers have no names
    with open_table(out, source.names, _heads(named)) as table:
        for batch in source.batches(shape, batch_size, kind):
            table.add(_name(_ask(asked, batch, options, done), named))
            done += len(batch["image"])
            bar.update(done)
    return done


def _verbosity() -> int:
    return 1 if sys.stdout.isatty() else 2


def _load(saved_model: str) -> tuple[Any, dict[str, Any], list[list[str]]]:
    """The module, what it says of its images, and the names of the classes."""
    folder = Path(saved_model)
    path = folder / "assets" / IMAGES
    if not (path.is_file() and (folder / "saved_model.pb").is_file()):
        table = "; one of vectors answers about a --table"
        raise ValueError(
            "the folder must be what launch/export.py made"
            f"{table * path.with_name(TABLE).is_file()}. "
            f"Received: saved_model={saved_model!r}"
        )
    config = read_record(path, {"event_shape": list, "num_levels": int})
    names = read_json(path.with_name("labels.json"))
    return tf.saved_model.load(saved_model), config, names


def _factors(names: Sequence[Sequence[str]]) -> Iterator[tuple[str, Sequence[str]]]:
    """The ending of a factor's answers, as in `Answers.classify`, and its names."""
    for i, factor in enumerate(names):
        yield f"_{i}" if len(names) > 1 else "", factor


def _heads(names: Sequence[Sequence[str]]) -> dict[str, Sequence[str]]:
    """Names of the entries of vectors, by the ending of the vectors' names."""
    return {f"_probability{end}": factor for end, factor in _factors(names)}


def _name(answers: Answer, names: Sequence[Sequence[str]]) -> Answer:
    """The answers, with the names of classes behind their numbers, "" behind -1."""
    named: Answer = {}
    for title, value in answers.items():
        named[title] = value
        for end, factor in _factors(names):
            if title.endswith(f"_class{end}"):
                start = title.removesuffix(f"_class{end}")
                name = np.where(value < 0, "", np.array(factor)[value])
                named[f"{start}_class_name{end}"] = name
    return named


def _functions(module: Any, questions: Sequence[str], dtype: Any) -> dict[str, Any]:
    """The function of each question for images of this type."""
    end = LEVELS if dtype == np.uint8 else ""
    for question, reason in ABSENT.items():
        if question in questions and not hasattr(module, question):
            raise ValueError(f"{reason}. Received: questions={list(questions)}")
    return {question: getattr(module, question + end) for question in questions}


def _label_kind(module: Any) -> Any:
    """The dtype of the labels of log_prob; None of a model without labels."""
    _, given = module.signatures["log_prob"].structured_input_signature
    return given["label"].dtype.as_numpy_dtype if "label" in given else None


def _ask(
    asked: dict[str, Any], batch: dict[str, Any], options: dict[str, Any], done: int
) -> Answer:
    answers: Answer = {}
    for question, function in asked.items():
        given = {"image": tf.constant(batch["image"])}
        if question == "log_prob" and "label" in batch:
            given["label"] = tf.constant(batch["label"])
        where = f"images {done} to {done + len(batch['image']) - 1}"
        with requested(where):
            found = function(**given, **options)
        for name in sorted(found):
            title = f"{question}/{name}" if len(asked) > 1 else name
            answers[title] = found[name].numpy()
    return answers
