"""How the launch scripts start: one-line errors, exit status 2, quiet TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from tfcnf.ode.solver import SolverError

BAD_INPUT = 2
FAILED = 1


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls ``main``.

    A `ValueError` (bad input) ends with its message and exit status 2, a failed
    solve with its message and exit status 1; neither shows a traceback.
    """
    logging.set_verbosity(logging.WARNING)
    app.run(lambda _: _call(main), flags_parser=_parse)


def _parse(arguments: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(arguments)
    except (flags.Error, AttributeError, KeyError, ValueError, TypeError) as failure:
        _exit(failure, BAD_INPUT)
    except OSError as failure:
        _exit(ValueError(f"cannot read {failure.filename}"), BAD_INPUT)
    if len(rest) > 1:
        _exit(ValueError(f"unexpected arguments. Received: {rest[1:]}"), BAD_INPUT)
    return rest


def _call(main: Callable[[], None]) -> None:
    try:
        main()
    except ValueError as failure:
        _exit(failure, BAD_INPUT)
    except SolverError as failure:
        _exit(failure, FAILED)
    except KeyboardInterrupt:
        _exit(RuntimeError("interrupted; the same command resumes"), 130)


def _exit(failure: Exception, status: int) -> None:
    text = str(failure.args[0] if failure.args else failure)
    print(f"error: {text.strip()}", file=sys.stderr)
    sys.exit(status)
