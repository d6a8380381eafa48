"""The graph functions that a SavedModel holds."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcnf.serving import inputs
from tfcnf.serving.answers import Answer, Answers
from tfcnf.types import Tensor

LEVELS = "_uint8"  # ends the names of the functions that take grey levels
BYTES = "_bytes"  # and of those that take image files
INTEGERS = {"num", "seed", "steps"}
OF_AN_IMAGE = ("marginal_log_prob", "encode", "reconstruct")


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
        default = tf.constant(tol)
        whole = all(label.integer for label in answers.model.labels)
        label = tf.int32 if whole else tf.float32
        functions = {
            name: _graph(function, label)
            for name, function in _of_codes(answers, default).items()
        }
        for name, function in _of_images(answers, default).items():
            functions[name] = _graph(function, label)
            functions[name + LEVELS] = _graph(function, label, tf.uint8)
            if inputs.can_decode(answers.model.event_shape):
                of_files = _of_files(answers, function, functions[name + LEVELS])
                functions[name + BYTES] = _graph(of_files, label, tf.string)
        self.functions = dict(sorted(functions.items()))
        for name, function in functions.items():
            setattr(self, name, function)


def _of_codes(answers: Answers, tol: Tensor) -> dict[str, Any]:
    seed, warm = tf.constant(0), tf.constant(1.0)

    def of_labels(
        label: Tensor,
        seed: Tensor = seed,
        temperature: Tensor = warm,
        tol: Tensor = tol,
    ) -> Answer:
        return answers.sample(label, seed, temperature, tol)

    def of_none(
        num: Tensor, seed: Tensor = seed, temperature: Tensor = warm, tol: Tensor = tol
    ) -> Answer:
        return answers.sample(num, seed, temperature, tol)

    return {
        "decode": lambda code, tol=tol: answers.decode(code, tol),
        "sample": of_labels if answers.model.labels else of_none,
    }


def _of_images(answers: Answers, tol: Tensor) -> dict[str, Any]:
    steps = tf.constant(8)
    model = answers.model
    names = list(OF_AN_IMAGE)
    if model.labels:
        names.append("classify" if model.reader.of_classes else "predict_labels")
    if answers.entropy is not None:
        names.append("ood_score")
    conditional = {
        "log_prob": lambda image, label, tol=tol: answers.log_prob(
            image, label, tol=tol
        )
    }
    marginal = {
        "log_prob": lambda image, tol=tol: answers.marginal_log_prob(image, tol)
    }
    return (
        (conditional if model.labels else marginal)
        | {
            "interpolate": lambda image_a, image_b, steps=steps, tol=tol: (
                answers.interpolate(image_a, image_b, steps, tol)
            ),
        }
        | {name: _of_an_image(getattr(answers, name), tol) for name in names}
    )


def _of_an_image(answer: Callable[..., Answer], tol: Tensor) -> Callable[..., Answer]:
    return lambda image, tol=tol: answer(image, tol)


def _of_files(answers: Answers, function: Callable[..., Answer], of_levels: Any) -> Any:
    """The function of grey levels, for the bytes of image files."""
    model = answers.model

    @functools.wraps(function)  # its names and defaults
    def call(*given: Tensor) -> Answer:
        return of_levels(
            *(
                inputs.read_files(
                    x, model.event_shape, model.num_levels, answers.bounds
                )
                if x.dtype.is_compatible_with(tf.string)
                else x
                for x in given
            )
        )

    return call


def _graph(
    function: Callable[..., Answer], label: tf.DType, image: tf.DType = tf.float32
) -> Any:
    """The function as a graph; no input has a shape, see `tfcnf.serving.inputs`.

    What is not inlined keeps the options it was traced with, so that a server's graph
    optimizer leaves it alone: rounding decides about the step sizes of a solve.
    """

    def dtype(name: str) -> tf.DType:
        if name.startswith("image"):
            return image
        if name == "label":
            return label
        return tf.int32 if name in INTEGERS else tf.float32

    names = inspect.signature(function).parameters
    specs = [tf.TensorSpec(None, dtype(name), name) for name in names]
    kept = tf.function(
        function, autograph=False, experimental_attributes={"_noinline": True}
    )

    @functools.wraps(function)  # its names and defaults
    def call(*given: Tensor) -> Answer:
        return kept(*given)

    return tf.function(call, input_signature=specs, autograph=False)
