"""Time spent by a traced training, from the trace's file alone."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError
from tensorflow.tsl.profiler.protobuf import xplane_pb2

# path in the graph, kind; "ExecutorState::Process" is not one, but holds others
OPERATION = re.compile(r"(\S*[^:\s]):(\w+)(#.*)?")
CALLS = {"While", "StatelessWhile", "If", "PartitionedCall", "StatefulPartitionedCall"}
DYNAMICS = "dynamics"  # name scope of the evaluations in `tfcnf.ode`


class Trace(NamedTuple):
    """Time of the operations that TensorFlow's executor ran on the CPU.

    Attributes:
        seconds: by kind of operation; times of parallel threads add up.
        counts: how often each kind ran.
        in_dynamics: seconds of all kinds within evaluations of the dynamics and of
            their gradients.
    """

    seconds: Counter[str]
    counts: Counter[str]
    in_dynamics: float


def read_trace(workdir: str) -> Trace:
    """The newest trace of a run.

    Raises:
        ValueError: where there is none, or it is damaged.
    """
    folder = Path(workdir) / "tensorboard" / "plugins" / "profile"
    traces = sorted(folder.glob("*/*.xplane.pb"))
    if not traces:
        raise ValueError(
            "the run has no trace; train it with --profile=START:STOP. "
            f"Received: workdir={workdir!r}"
        )
    try:
        space = xplane_pb2.XSpace.FromString(traces[-1].read_bytes())
    except DecodeError as failure:
        raise ValueError(f"the trace is damaged. Received: {traces[-1]}") from failure
    seconds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    in_dynamics = 0.0
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            name = OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name)
            if not name or name[2] in CALLS:
                continue
            duration = event.duration_ps / 1e12
            seconds[name[2]] += duration
            counts[name[2]] += 1
            in_dynamics += duration * (DYNAMICS in name[1].split("/"))
    return Trace(seconds, counts, in_dynamics)


def table(trace: Trace, rows: int = 10) -> str:
    """The dearest kinds of operations as Markdown, and the dynamics' share.

    Args:
        trace: the trace.
        rows: kinds to show.

    Raises:
        ValueError: for a trace without operations.
    """
    total = sum(trace.seconds.values())
    if not total:
        raise ValueError("the trace has no operations. Received: an empty trace")
    lines = ["| operation | times | seconds | share |", "| --- | --- | --- | --- |"]
    for kind, seconds in trace.seconds.most_common(rows):
        cells = kind, trace.counts[kind], f"{seconds:.3f}", f"{seconds / total:.1%}"
        lines.append(f"| {' | '.join(map(str, cells))} |")
    share = trace.in_dynamics / total
    lines.append(f"\nEvaluations of the dynamics: {share:.1%} of {total:.2f} s.")
    return "\n".join(lines)
