import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfcnf.training.board import TensorBoardLog
from tfcnf.training.loop import run_epochs
from tfcnf.training.strategy import get_strategy


def prepare(callback, model=None, **params):
    callback.set_params({"epochs": 4, "steps": 2} | params)
    callback.set_model(model)
    return callback


def test_tensorboard_has_scalars_histograms_and_images_now_and_then(model, tmp_path):
    drawn = []

    def draw():
        drawn.append(model.optimizer.iterations.numpy())
        return {"samples": np.stack([np.zeros([5, 4, 1]), np.ones([5, 4, 1])])}

    def solves():
        return {"nfe_forward": np.array([[14.0, 20.0]] * 3)}

    log = TensorBoardLog(
        tmp_path, draw, every=2, solves=solves, config={"data": "digits"}
    )
    prepare(log, model, epochs=6)
    log.on_train_begin()
    for epoch in range(6):
        model.optimizer.iterations.assign(10 * (epoch + 1))
        log.on_epoch_end(epoch, {"loss": epoch / 4, "test/error": 7.0})
    assert drawn == [10, 30, 50, 60]
    events = EventAccumulator(str(tmp_path), {"tensors": 0}).Reload()
    read = {
        tag: [(e.step, tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
    nfe = {f"nfe_forward/cnf_{i:02d}" for i in range(2)}
    expected = {"loss", "test/error", model.w.path, "samples", "config"}
    assert set(read) == expected | nfe
    assert b'"data": "digits"' in read["config"][0][1].item()
    for _, histogram in read["nfe_forward/cnf_01"]:
        assert histogram[:, 2].sum() == 3  # three batches
    assert [step for step, _ in read["nfe_forward/cnf_01"]] == [10, 30, 50, 60]
    assert [(step, float(v)) for step, v in read["loss"]] == [
        (10, 0),
        (20, 0.25),
        (30, 0.5),
        (40, 0.75),
        (50, 1),
        (60, 1.25),
    ]
    assert [float(v) for _, v in read["test/error"]] == [7.0] * 6
    for _, histogram in read[model.w.path]:
        assert histogram[:, 2].sum() == 1  # one weight,
        bucket = histogram[histogram[:, 2] > 0][0]
        assert bucket[0] <= 0.75 <= bucket[1]  # of this value
    assert [step for step, _ in read["samples"]] == [10, 30, 50, 60]
    for _, image in read["samples"]:
        assert image[:2].tolist() == [b"4", b"5"]  # width and height
        pixels = [tf.io.decode_png(png).numpy() for png in image[2:]]
        assert [p.mean() for p in pixels] == [0, 255]


def test_tensorboard_without_a_drawing_function_has_no_images(model, tmp_path):
    prepare(TensorBoardLog(tmp_path), model, epochs=1).on_epoch_end(0, {"l": 1.0})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["tensors"]) == {"l", model.w.path}


def test_tensorboard_has_the_graph_of_a_step(make_line, points, tmp_path):
    log = TensorBoardLog(tmp_path)
    run_epochs(make_line(), points, get_strategy(), 5, 2, callbacks=[log])
    events = EventAccumulator(str(tmp_path)).Reload()
    (event,) = events.Tensors("training_step")
    found = tf.compat.v1.RunMetadata.FromString(
        tf.make_ndarray(event.tensor_proto).item()
    )
    graphs = [item.pre_optimization_graph for item in found.function_graphs]
    operations = [node.op for graph in graphs for node in graph.node]
    assert "ReadVariableOp" in operations
    assert len(operations) > 50
