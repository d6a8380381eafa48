"""Several workers on this machine, to try out what runs on several machines."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import IO

from tfcnf.training.preemption import PREEMPTED, RESTART

PATIENCE = 180.0  # seconds that workers have to end after the first that failed
# Reads "+number" and "-number" of processes; when the one that writes them is gone,
# ends those that are left. They may save first, and are killed after some seconds.
GUARD = """
import os, signal, sys, time
left = set()
for line in sys.stdin:
    (left.add if line[0] == "+" else left.discard)(int(line[1:]))
for number in (signal.SIGTERM, signal.SIGKILL):
    for process in left:
        try:
            os.kill(process, number)
        except OSError:
            pass
    if left and number == signal.SIGTERM:
        time.sleep(30)
"""


def start(command: Sequence[str], workers: int) -> list[subprocess.Popen[bytes]]:
    """Starts a command once for each worker, with ``TF_CONFIG`` in the environment.

    A single worker is started without it. Where this process is killed before `wait`
    returns, the workers are told to end too.

    Args:
        command: program and arguments.
        workers: how many.

    Raises:
        ValueError: for fewer than one worker, or no command.
    """
    if workers < 1:
        raise ValueError(f"workers must be positive. Received: workers={workers}")
    if not command:
        raise ValueError("a command must follow --. Received: nothing")
    if workers == 1:
        return [_start(command, {})]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
    tasks = [{"type": "worker", "index": i} for i in range(workers)]
    settings = [json.dumps({"cluster": cluster, "task": task}) for task in tasks]
    return [_start(command, {"TF_CONFIG": text}) for text in settings]


def run(command: Sequence[str], workers: int) -> None:
    """Starts workers, hands signals on to them, and exits with their status.

    It is 0 where all were well; else that of the first of these that happened: bad
    input (2), another failure, stopped by SIGTERM (143), a lost worker (75).
    """
    processes = start(command, workers)
    with _hand_on(processes):
        sys.exit(wait(processes))


def wait(
    processes: Sequence[subprocess.Popen[bytes]], patience: float = PATIENCE
) -> int:
    """Waits for the workers and returns the status of the whole, see `run`.

    Args:
        processes: from `start`.
        patience: seconds that the others have to end after one failed; they are then
            killed.
    """
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.poll() for process in processes):
            deadline = time.monotonic() + patience
        if deadline is not None and time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    for process in processes:
        _guard().write(f"-{process.pid}\n")
    # a worker that a signal killed is a lost one
    states = [p.returncode if p.returncode >= 0 else RESTART for p in processes]
    failures = [state for state in states if state not in (0, PREEMPTED, RESTART)]
    if failures:
        return min(failures, key=lambda state: state != 2)
    return max((state for state in (PREEMPTED, RESTART) if state in states), default=0)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 at which nobody listens."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _start(
    command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    guard = _guard()
    process = subprocess.Popen(command, env={**os.environ, **environment})
    guard.write(f"+{process.pid}\n")
    return process


@functools.cache
def _guard() -> IO[str]:
    """The way to a process that ends the workers if this one is killed."""
    guard = subprocess.Popen(
        [sys.executable, "-S", "-c", GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
        bufsize=1,
    )
    assert guard.stdin
    return guard.stdin


@contextlib.contextmanager
def _hand_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def send(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, send) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
