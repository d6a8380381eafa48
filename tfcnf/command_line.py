"""Start of the launch scripts: one-line errors, exit status 2, quiet TensorFlow."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from tfcnf.checks import unframed
from tfcnf.data.extras import MissingExtra
from tfcnf.registry import import_own
from tfcnf.training.preemption import (
    RESTART,
    Preempted,
    WorkerLost,
    insist_on_signals,
)

IMPORTS_FLAG: tuple[str, list[str], str] = (
    "imports",
    [],
    "Modules or .py files with classes of your own, by commas.",
)
flags.DEFINE_list(*IMPORTS_FLAG)
BAD_INPUT = 2
FAILED = 1
# what flags and the configuration files that they name raise
BAD_FLAGS = (
    *(flags.Error, AttributeError, LookupError, OSError, SyntaxError, ValueError),
)


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls ``main``.

    A `ValueError` (bad input), an extra that is not installed, a full disk or too
    little memory ends with its message and exit status 2, a failed solve or a loss that
    is not finite with its message and exit status 1; `Preempted` with 143 and
    `WorkerLost` with 75. None shows a traceback.
    """
    logging.set_verbosity(logging.WARNING)
    app.run(lambda _: _call(main), flags_parser=_parse)


def run_with_arguments(main: Callable[[list[str]], None]) -> None:
    """As `run`; ``main`` gets the arguments behind the flags."""
    logging.set_verbosity(logging.WARNING)
    app.run(
        lambda arguments: _call(functools.partial(main, arguments[1:])),
        flags_parser=_parse_flags,
    )


def _parse(arguments: Sequence[str]) -> list[str]:
    rest = _parse_flags(arguments)
    if len(rest) > 1:
        _exit(ValueError(f"unexpected arguments. Received: {rest[1:]}"), BAD_INPUT)
    return rest


def numbers(name: str, texts: Sequence[str]) -> list[float]:
    """The numbers of a flag that lists them.

    Raises:
        ValueError: for anything else.
    """
    try:
        return [float(text) for text in texts]
    except ValueError:
        raise ValueError(
            f"{name} must be numbers, with commas between them. "
            f"Received: {name}={','.join(texts)!r}"
        ) from None


def _parse_flags(arguments: Sequence[str]) -> list[str]:
    try:
        import_own(_imports(arguments))  # configurations may name their classes
        return flags.FLAGS(arguments)
    except BAD_FLAGS as failure:
        _exit(_unknown_key(failure, arguments) or failure, BAD_INPUT)


def _imports(arguments: Sequence[str]) -> list[str]:
    """The values of ``--imports``, of flags that are not parsed yet."""
    early = flags.FlagValues()
    flags.DEFINE_list(*IMPORTS_FLAG, flag_values=early)
    early(arguments, known_only=True)
    return early.imports


def _unknown_key(failure: Exception, arguments: Sequence[str]) -> ValueError | None:
    """The failure of a key that the configuration lacks, in whole words; else None."""
    if not isinstance(failure, (AttributeError, LookupError)):
        return None
    said = re.match(r"\W*(\w+)\W*(?:(Did you mean) \W*(\w+))?", _one_line(failure))
    if said is None:
        return None
    for given in arguments:
        if said[1] in given.partition("=")[0].split(".")[1:]:
            near = f" {said[2]} {said[3]!r}?" if said[2] else ""
            return ValueError(
                f"the configuration has no such key.{near} Received: {given}"
            )
    return None


def _call(main: Callable[[], None]) -> None:
    insist_on_signals()
    try:
        main()
    except (ValueError, OSError, MissingExtra) as failure:
        _exit(failure, BAD_INPUT)
    except WorkerLost as failure:
        _exit(failure, RESTART)
    except Preempted as stopped:
        print(stopped, file=sys.stderr)
        raise
    except KeyboardInterrupt:
        _exit(RuntimeError("interrupted"), 130)
    except Exception as failure:
        if "tensorflow" in sys.modules:
            _end_graph(failure)
        raise


def _end_graph(failure: Exception) -> None:
    """Exits after a failure of a graph; returns after any other."""
    import tensorflow as tf

    from tfcnf.models.failures import FAILURES, RunsFailed, named_failures

    try:
        with named_failures():
            raise failure
    except ValueError as named:
        _exit(named, BAD_INPUT)
    except tf.errors.ResourceExhaustedError as named:
        _exit(_shortage(named), BAD_INPUT)
    except (*FAILURES, RunsFailed) as named:
        _exit(named, FAILED)
    except Exception:
        return


def _exit(failure: Exception, status: int) -> NoReturn:
    print(f"error: {_one_line(failure)}", file=sys.stderr)
    sys.exit(status)


def _shortage(failure: Any) -> OSError:
    received = re.sub(r"\{\{.*?\}\} | \[Op:\w+\]", "", failure.message)
    if "No space left" in received:
        advice = "the disk is full; with more space the same command goes on"
    else:
        advice = "too little memory; try a smaller batch or more accumulation_steps"
    return OSError(f"{advice}. Received: {received}")


def _one_line(failure: BaseException) -> str:
    """The message alone: without quoted tracebacks, wrapped errors or line breaks."""
    inner = failure.args[0] if len(failure.args) == 1 else failure
    if isinstance(inner, BaseException) and inner is not failure:
        return _one_line(inner)
    text = unframed(str(inner))
    if "Traceback" in text:
        text = re.findall(r"^\w+: (.+)", text, re.MULTILINE)[-1]
    return " ".join(text.split())
