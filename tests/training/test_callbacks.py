import io
import json
import time
import types

import keras
import pytest
import tensorflow as tf

from tfcnf.models.metrics import EpochMean
from tfcnf.training.board import TensorBoardLog
from tfcnf.training.callbacks import (
    Evaluate,
    MetricsLog,
    Progress,
    StepsLog,
    read_metrics,
)


def prepare(callback, model=None, **params):
    callback.set_params({"epochs": 4, "steps": 2} | params)
    callback.set_model(model)
    return callback


def test_evaluate_measures_when_due_and_after_the_last_epoch():
    calls = []

    def measure():
        calls.append(len(calls))
        yield "bits_per_dim", 2.5
        yield "nfe_forward", float(len(calls))

    callback, due = prepare(Evaluate(measure, every=3), epochs=5), []
    for epoch in range(5):
        logs = {"loss": 1.0}
        callback.on_epoch_end(epoch, logs)
        assert logs["loss"] == 1.0
        if len(logs) > 1:
            due.append(epoch + 1)
            assert logs["test/bits_per_dim"] == 2.5
            assert logs["test/nfe_forward"] == len(due)
    assert due == [3, 5]
    assert len(calls) == 2


def test_metrics_log_appends_a_line_an_epoch(model, tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = prepare(MetricsLog(path), model)
    log.on_epoch_end(0, {"loss": 0.1, "test/error": 50.0})
    log.on_epoch_end(1, {"loss": 1 / 3})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"epoch": 1, "step": 12, "loss": 0.1, "test/error": 50.0},
        {"epoch": 2, "step": 12, "loss": 1 / 3},
    ]
    assert read_metrics(path) == lines
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_log_removes_the_lines_of_epochs_to_be_repeated(model, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n{"epoch": 4, "lo')
    log = prepare(MetricsLog(path, epochs_done=2), model)
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    log.on_epoch_end(2, {})
    assert [line["epoch"] for line in read_metrics(path)] == [1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_log_completes_a_last_line_without_its_end(model, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}')
    prepare(MetricsLog(path, epochs_done=2), model).on_epoch_end(2, {})
    assert [line["epoch"] for line in read_metrics(path)] == [1, 2, 3]


def test_read_metrics_leaves_out_an_incomplete_last_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert read_metrics(path) == [{"epoch": 1}, {"epoch": 2}]


def take_steps(model, log, batches, first=0):
    """Steps of a `Line` on batches (x, y), as the loop takes them."""
    for step, (x, y) in enumerate(batches, first):
        log.on_train_batch_begin(step)
        model.train_step((tf.constant([[x]]), tf.constant([[y]])))
        log.on_train_batch_end(step)


BATCHES = [(1.0, 2), (2.0, 0), (1.0, 3), (0.5, 1)]


def test_steps_log_says_what_a_step_measured_alone(model, tmp_path):
    path, w, losses = tmp_path / "steps.jsonl", 0.75, []
    for x, y in BATCHES:
        losses.append((w * x - y) ** 2)
        w -= 0.1 * 2 * x * (w * x - y)
    log = prepare(StepsLog(path, every=2), model)
    log.on_epoch_begin(0)
    take_steps(model, log, BATCHES)
    lines = read_metrics(path)
    assert [line["step"] for line in lines] == [14, 16]
    for line, loss in zip(lines, losses[1::2], strict=True):
        assert line["loss"] == pytest.approx(loss, rel=1e-4)
        assert line["bits_per_dim"] == pytest.approx(2 * loss, rel=1e-4)
        assert line["nfe_forward"] == 5.0
        assert line["learning_rate"] == pytest.approx(0.1)


def test_steps_log_takes_the_root_of_what_is_shown_as_one(tmp_path):
    rmse = EpochMean("rmse", root=True)
    optimizer = keras.optimizers.SGD(0.1)
    model = types.SimpleNamespace(metrics=[rmse], optimizer=optimizer)
    log = StepsLog(tmp_path / "steps.jsonl", every=1)
    log.set_model(model)
    rmse.update_state(100.0, 2.0)
    log.on_train_batch_begin(0)
    rmse.update_state(9.0, 4.0)
    optimizer.iterations.assign_add(1)
    log.on_train_batch_end(0)
    (line,) = read_metrics(tmp_path / "steps.jsonl")
    assert line["rmse"] == pytest.approx(3.0)


def test_steps_log_has_the_learning_rate_of_its_own_step(make_line, tmp_path):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.01])
    log = prepare(StepsLog(tmp_path / "steps.jsonl", every=1), make_line(rate))
    take_steps(log.model, log, BATCHES[:2])
    rates = [line["learning_rate"] for line in read_metrics(log.path)]
    assert rates == pytest.approx([0.1, 0.01])


def test_steps_log_shows_its_lines_in_tensorboard(model, tmp_path):
    board = prepare(TensorBoardLog(tmp_path / "board"), model)
    log = prepare(StepsLog(tmp_path / "steps.jsonl", 2, board.writer), model)
    take_steps(model, log, BATCHES)
    board.writer.flush()
    (events,) = (tmp_path / "board").iterdir()
    shown = {
        (event.step, value.tag): float(tf.make_ndarray(value.tensor))
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    for line in read_metrics(log.path):
        step = line.pop("step")
        for name, measure in line.items():
            assert shown.pop((step, f"step/{name}")) == pytest.approx(measure)
    assert not shown


def test_steps_log_drops_lines_of_steps_that_are_done_again(model, tmp_path):
    path = tmp_path / "steps.jsonl"
    path.write_text('{"step": 11}\n{"step": 12}\n{"step": 13}\n{"step": 14, "l')
    log = prepare(StepsLog(path, every=1), model)
    log.on_epoch_begin(3)
    take_steps(model, log, BATCHES[:2])
    assert [line["step"] for line in read_metrics(path)] == [11, 12, 13, 14]
    assert "loss" in read_metrics(path)[2]


def test_steps_log_has_no_line_of_a_step_that_was_left_out(model, tmp_path):
    log = prepare(StepsLog(tmp_path / "steps.jsonl", every=1), model)
    log.on_train_batch_begin(0)
    log.on_train_batch_end(0)
    assert not log.path.exists()


def test_steps_that_the_loss_scale_leaves_out_have_no_gradient(make_line, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make_line()
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 2.0**127))
    model.optimizer.build(model.trainable_variables)
    log = prepare(StepsLog(tmp_path / "steps.jsonl", every=1), model)
    take_steps(model, log, [(2.0, 2)] * 4)  # gradient -8, which 2^125 times is too much
    (line,) = read_metrics(log.path)
    assert (line["step"], line["gradient_norm"]) == (1, 8.0)
    norms = {m.name: float(m.result()) for m in model.metrics}
    assert norms["gradient_norm"] == 8.0


def test_steps_log_can_be_switched_off(model, tmp_path):
    log = prepare(StepsLog(tmp_path / "steps.jsonl", every=0), model)
    take_steps(model, log, BATCHES)
    assert not log.path.exists()


def test_metrics_log_is_written_under_mirrored_strategy(mirrored, make_line, tmp_path):
    with mirrored.scope():
        model = make_line()
        model.optimizer.build(model.trainable_variables)
    path = tmp_path / "metrics.jsonl"
    prepare(MetricsLog(path), model).on_epoch_end(0, {"loss": 1.0})
    prepare(TensorBoardLog(tmp_path / "tb"), model).on_epoch_end(0, {"loss": 1.0})
    assert read_metrics(path) == [{"epoch": 1, "step": 0, "loss": 1.0}]
    assert len(list((tmp_path / "tb").iterdir())) == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


LOGS = {"bits_per_dim": 1.23456, "nfe_forward": 14.0, "nfe_backward": 20.0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_progress_prints_a_line_an_epoch_with_the_remaining_time(clock):
    stream = io.StringIO()
    progress = prepare(Progress(stream), epochs=3, steps=2)
    progress.on_train_begin()
    for epoch in range(3):
        progress.on_epoch_begin(epoch)
        for batch in range(2):
            clock[0] += 29
            progress.on_train_batch_end(batch)
        progress.on_epoch_end(epoch, dict(LOGS))
    assert stream.getvalue() == "".join(
        f"epoch {i}/3  bits/dim 1.235  nfe 14+20  {left} left\n"
        for i, left in [(1, "1:56"), (2, "0:58"), (3, "0:00")]
    )


def test_progress_shows_errors_and_test_measures_where_there_are_any(clock):
    stream = io.StringIO()
    progress = prepare(Progress(stream), epochs=1, steps=1)
    progress.on_train_begin()
    progress.on_epoch_begin(0)
    progress.on_train_batch_end(0)
    measured = {"error": 12.345, "test/bits_per_dim": 2.0, "test/test_error": 5.0}
    progress.on_epoch_end(0, LOGS | measured)
    assert stream.getvalue() == (
        "epoch 1/1  bits/dim 1.235  error 12.35 %  nfe 14+20  | test bits/dim 2.000"
        "  error 5.00 %  0:00 left\n"
    )


def test_progress_of_a_resumed_run_counts_only_what_is_left(clock):
    stream = io.StringIO()
    progress = prepare(Progress(stream), epochs=5, steps=2, initial_epoch=3)
    progress.on_train_begin()
    progress.on_epoch_begin(3)
    for batch in range(2):
        clock[0] += 25
        progress.on_train_batch_end(batch)
    progress.on_epoch_end(3, dict(LOGS))
    assert stream.getvalue().endswith("  0:50 left\n")


@pytest.fixture
def measured():
    """A model whose epoch has `LOGS` so far."""
    metrics = [
        types.SimpleNamespace(name=name, result=lambda value=value: value)
        for name, value in LOGS.items()
    ]
    return types.SimpleNamespace(metrics=metrics)


def test_progress_of_a_long_epoch_is_a_steady_log(clock, measured):
    stream = io.StringIO()
    progress = prepare(Progress(stream, seconds=60.0), measured, epochs=1, steps=4)
    progress.on_train_begin()
    progress.on_epoch_begin(0)
    for batch in range(4):
        clock[0] += 40
        progress.on_train_batch_end(batch)
    assert stream.getvalue() == (
        "epoch 1/1  step 2/4  bits/dim 1.235  nfe 14+20  1:20 left\n"
        "epoch 1/1  step 4/4  bits/dim 1.235  nfe 14+20  0:00 left\n"
    )


def test_progress_shows_steps_on_a_terminal_only(clock, measured):
    stream = Terminal()
    progress = prepare(Progress(stream), measured, epochs=1, steps=4)
    progress.on_train_begin()
    progress.on_epoch_begin(0)
    clock[0] += 10
    progress.on_train_batch_end(0)
    line = "epoch 1/1  step 1/4  bits/dim 1.235  nfe 14+20  0:30 left"
    assert stream.getvalue() == f"\r{line}\x1b[K"


def test_callbacks_share_the_logs_of_keras_callback_list(model, tmp_path):
    path = tmp_path / "metrics.jsonl"
    calls = keras.callbacks.CallbackList(
        [Evaluate(lambda: iter([("error", 3.0)])), MetricsLog(path)],
        model=model,
        epochs=1,
        steps=1,
    )
    calls.on_epoch_end(0, {"loss": 2.0})
    assert read_metrics(path) == [
        {"epoch": 1, "step": 12, "loss": 2.0, "test/error": 3.0}
    ]
