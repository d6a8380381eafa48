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
    """The process was told to stop and has lost nothing.

    Its exit status is 143, or 130 after Ctrl-C.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(128 + number)
        self.number = number

    def __reduce__(self) -> tuple[type[Preempted], tuple[int]]:
        return Preempted, (self.number,)  # as another process may raise it again

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        return f"stopped by {name}; the same command goes on from here"


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
    """Makes `Preempted` of SIGTERM, and of Ctrl-C, where everything was saved.

    SIGTERM elsewhere is `Preempted` at once. Ctrl-C is a KeyboardInterrupt elsewhere,
    and the second time.

    Attributes:
        received: whether a signal came within `deferred`.
        number: of that signal.
    """

    def __init__(self) -> None:
        self.received, self.number = False, int(signal.SIGTERM)
        self._at_once = True

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Handles the signals; a thread that is not the main one cannot."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # in the background
            numbers.append(signal.SIGINT)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only notes a signal; at the end everything must have been saved."""
        self._at_once = False
        try:
            yield
        finally:
            self._at_once = True
        if self.received:
            raise Preempted(self.number)

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if number == signal.SIGINT and (self._at_once or self.received):
            raise KeyboardInterrupt
        self.received, self.number = True, number
        if self._at_once:
            raise Preempted(number)
        if number == signal.SIGINT:
            print("saving; Ctrl-C again ends at once", file=sys.stderr)
