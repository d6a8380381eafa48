"""The graph functions that a SavedModel holds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfcnf.serving import inputs
from tfcnf.serving.answers import Answers
from tfcnf.serving.passes import Answer
from tfcnf.types import Tensor

LEVELS = "_uint8"  # ends the names of the functions that take grey levels
BYTES = "_bytes"  # and of those that take image files
INTEGERS = {"num", "num_images", "seed"}
OPTIONS = {"context", "num_images", "seed", "steps", "temperature", "tol"}
NUM_IMAGES = 8  # of an interpolation where a request has none


class FlowModule(tf.Module):
    """The answers as graph functions with fixed names, dtypes and defaults.

    Every function takes any batch size and is traced once. Those of images are there
    three times: of floats, with `LEVELS` behind the name of grey levels, and with
    `BYTES` of the bytes of image files. What has a
    default, for instance the tolerance, may be left out: TensorFlow writes defaults
    that are tensors into the SavedModel, where servers find them.

    Args:
        answers: what the functions compute.
        tol: default of the tolerance.

    Attributes:
        answers: as given.
        functions: the functions by name; each is also an attribute.
    """

    def __init__(self, answers: Answers, tol: float):
        super().__init__()
        self.answers = answers
        self.weights = [weight.value for weight in answers.model.weights]
        defaults = {
            "num_images": tf.constant(NUM_IMAGES),
            "steps": tf.constant(answers.steps[0]),
            "seed": tf.constant(0),
            "temperature": tf.constant(1.0),
            "tol": tf.constant(tol),
        }
        functions: dict[str, Any] = {}
        for name, asked in answers.questions.items():
            functions |= _functions(answers, name, asked, defaults)
        self.functions = dict(sorted(functions.items()))
        for name, function in functions.items():
            setattr(self, name, function)


def _functions(
    answers: Answers, name: str, asked: Sequence[str], defaults: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The graphs of a question, one for each kind of examples that it takes."""
    whole = all(label.integer for label in answers.model.labels)
    dtypes = dict.fromkeys(asked, tf.float32)
    dtypes |= {key: tf.int32 for key in asked if key in INTEGERS}
    dtypes |= {"label": tf.int32 if whole else tf.float32, "steps": tf.string}
    shape, images = (
        answers.model.event_shape,
        [key for key in asked if key.startswith("image")],
    )

    def answer(*given: Tensor) -> Answer:
        named = dict(zip(asked, given, strict=True))
        options = {key: named.pop(key) for key in asked if key in OPTIONS}
        found: Answer = getattr(answers, name)(*named.values(), **options)
        return found

    def graph(function: Callable[..., Answer], dtype: tf.DType) -> Any:
        kinds = dtypes | dict.fromkeys(images, dtype)
        return _graph(function, {key: kinds[key] for key in asked}, defaults)

    made = {name: graph(answer, tf.float32)}
    if not images:
        return made
    of_levels = made[name + LEVELS] = graph(answer, tf.uint8)

    def of_files(*given: Tensor) -> Answer:
        levels, bounds = answers.model.num_levels, answers.bounds
        return of_levels(
            *(
                inputs.read_files(value, shape, levels, bounds)
                if key in images
                else value
                for key, value in zip(asked, given, strict=True)
            )
        )

    if inputs.can_decode(shape):
        made[name + BYTES] = graph(of_files, tf.string)
    return made


def _graph(
    function: Callable[..., Answer],
    dtypes: Mapping[str, tf.DType],
    defaults: Mapping[str, Tensor],
) -> Any:
    """The function as a graph; no input has a shape, see `tfcnf.serving.inputs`.

    What is not inlined keeps the options it was traced with, so that a server's graph
    optimizer leaves it alone: rounding decides about the step sizes of a solve.
    """
    kept = tf.function(
        function, autograph=False, experimental_attributes={"_noinline": True}
    )

    def call(*given: Tensor) -> Answer:
        return kept(*given)

    given = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=defaults.get(name, inspect.Parameter.empty),
        )
        for name in dtypes
    ]
    named: Any = call
    named.__signature__ = inspect.Signature(given)
    specs = [tf.TensorSpec(None, dtype, name) for name, dtype in dtypes.items()]
    return tf.function(named, input_signature=specs, autograph=False)
