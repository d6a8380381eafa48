"""Early ends of a training: a signal to stop, or a worker that is gone."""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

PREEMPTED = 128 + signal.SIGTERM  # as of a process that the signal itself ended
RESTART = 75  # EX_TEMPFAIL of sysexits.h: try again


class Preempted(SystemExit):
    """The process was told to stop and has lost nothing; its exit status is 143."""

    def __init__(self) -> None:
        super().__init__(PREEMPTED)

    def __reduce__(self) -> tuple[type[Preempted], tuple[()]]:
        return Preempted, ()  # as another process may raise it again

    def __str__(self) -> str:
        return "stopped by SIGTERM; the same command goes on from here"


def insist_on_signals() -> None:
    """Makes Ctrl-C and SIGTERM come again where Python ignores what they raise.

    It ignores exceptions in ``__del__`` and in callbacks of the garbage collector.
    """
    before = sys.unraisablehook

    def hook(ignored: sys.UnraisableHookArgs) -> None:
        for error, number in (
            (KeyboardInterrupt, signal.SIGINT),
            (Preempted, signal.SIGTERM),
        ):
            if isinstance(ignored.exc_value, error):
                # later, as this hook runs where the exception was ignored
                again = threading.Timer(0.01, _thread.interrupt_main, [number])
                again.daemon = True
                again.start()
                return
        before(ignored)

    sys.unraisablehook = hook


class WorkerLost(RuntimeError):
    """Another worker is gone; the whole job is to be started again."""


class Preemption:
    """Makes `Preempted` of SIGTERM, at once or where it is convenient.

    Attributes:
        received: whether the signal came within `deferred`.
    """

    def __init__(self) -> None:
        self.received = False
        self._at_once = True

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Handles the signal; a thread that is not the main one cannot."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only notes the signal; at the end everything must have been saved."""
        self._at_once = False
        try:
            yield
        finally:
            self._at_once = True
        if self.received:
            raise Preempted

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        self.received = True
        if self._at_once:
            raise Preempted
