"""A long training: memory stays flat and nothing is traced again."""

from pathlib import Path

import pytest
from tensorflow.python.framework import func_graph

from tfcnf.runs import experiment
from tfcnf.training import callbacks

EPOCHS = 50


def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_is_flat_and_nothing_is_traced_again(
    config, data_dir, tmp_path, monkeypatch
):
    memory, graphs, built = [], [], []
    begin, report = func_graph.FuncGraph.__init__, callbacks.Progress.on_epoch_end

    def count(graph, name, *args, **kwargs):
        graphs.append(name)
        begin(graph, name, *args, **kwargs)

    def watch(progress, epoch, logs=None):
        report(progress, epoch, logs)
        memory.append(resident_pages())
        built.append(len(graphs))

    monkeypatch.setattr(func_graph.FuncGraph, "__init__", count)
    monkeypatch.setattr(callbacks.Progress, "on_epoch_end", watch)
    config["training"]["epochs"] = EPOCHS
    experiment.train(config, str(tmp_path / "run"), data_dir=data_dir)
    print(f"resident memory, pages: {memory[1]} after 2 epochs, {memory[-1]} after 50")
    print(f"graphs built: {built[0]}, then {built[-1] - built[0]}")
    assert len(memory) == EPOCHS
    assert built[0] > 10
    assert built[-1] == built[0]
    assert memory[-1] < 1.02 * memory[1]
