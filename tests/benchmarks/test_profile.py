from collections import Counter

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.profile import Trace, read_trace, table


@pytest.fixture
def workdir(tmp_path):
    """A run with a trace of two threads, made by hand."""
    space = xplane_pb2.XSpace()
    plane = space.planes.add(name="/host:CPU")
    names = {
        1: "cnf/while/PartitionedCall_2/dynamics/Conv2D_1:Conv2D",
        2: "gradient_tape/dynamics/Conv2D:Conv2DBackpropInput",
        3: "adam/Mul:Mul",
        4: "cnf/while/dynamics/call:PartitionedCall",  # holds others
        5: "EagerExecute",
        6: "my_dynamics/Add:Mul",
        7: "ExecutorState::Process",  # holds others too
    }
    for i, name in names.items():
        plane.event_metadata[i].name = name
    for events in (
        [(1, 3.0), (1, 2.0), (4, 9.0)],
        [(2, 1.0), (3, 1.5), (5, 9), (6, 0.5), (7, 9)],
    ):
        line = plane.lines.add()
        for i, seconds in events:
            line.events.add(metadata_id=i, duration_ps=int(seconds * 1e12))
    for time, content in [("2026_1", b""), ("2026_2", space.SerializeToString())]:
        folder = tmp_path / "tensorboard" / "plugins" / "profile" / time
        folder.mkdir(parents=True)
        (folder / "host.xplane.pb").write_bytes(content)
    return tmp_path


def test_operations_and_the_share_of_the_dynamics_are_counted(workdir):
    trace = read_trace(str(workdir))
    assert trace.seconds == {"Conv2D": 5.0, "Conv2DBackpropInput": 1.0, "Mul": 2.0}
    assert trace.counts == {"Conv2D": 2, "Conv2DBackpropInput": 1, "Mul": 2}
    assert trace.in_dynamics == 6.0
    assert table(trace, rows=2) == (
        "| operation | times | seconds | share |\n"
        "| --- | --- | --- | --- |\n"
        "| Conv2D | 2 | 5.000 | 62.5% |\n"
        "| Mul | 2 | 2.000 | 25.0% |\n"
        "\n"
        "Evaluations of the dynamics: 75.0% of 8.00 s."
    )


def test_a_run_without_a_trace_or_with_a_damaged_one_is_refused(workdir, tmp_path):
    with pytest.raises(ValueError, match=r"no trace; .* Received: workdir="):
        read_trace(str(tmp_path / "none"))
    (path,) = workdir.glob("tensorboard/plugins/profile/2026_2/*")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="damaged"):
        read_trace(str(workdir))
    with pytest.raises(ValueError, match="no operations"):
        table(Trace(Counter(), Counter(), 0.0))
