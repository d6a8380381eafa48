import json
import logging
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.pipeline import training_batches
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.categorical import Categorical
from tfcnf.models.infocnf import InfoCNF
from tfcnf.models.label_inputs import read_labels
from tfcnf.ode.status import STEP_LIMIT, SolverError, check_solved
from tfcnf.training.callbacks import MetricsLog, StepsLog, read_metrics
from tfcnf.training.checkpoints import Checkpoints, Position, SaveCheckpoints
from tfcnf.training.loop import run_epochs
from tfcnf.training.schedules import learning_rate
from tfcnf.training.strategy import get_strategy
from tfcnf.types import SolveStats

TINY = {
    "num_levels": 17,
    "alpha": 0.05,
    "num_scales": 1,
    "flows_per_block": 1,
    "filters": 2,
    "hidden_layers": 1,
    "seed": 0,
}


class Record(keras.callbacks.Callback):
    """What the loop tells its callbacks."""

    def __init__(self):
        super().__init__()
        self.events, self.logs = [], []

    def on_train_begin(self, logs=None):
        self.events.append("train")

    def on_train_end(self, logs=None):
        self.events.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(f"epoch {epoch}")

    def on_train_batch_begin(self, batch, logs=None):
        self.events.append(f"batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(f"epoch {epoch} done")
        self.logs.append(dict(logs))


def by_hand(source, batch_size, epochs, seed, rate=0.1, w=0.0):
    """The losses of `Line` and its weight, in NumPy."""
    losses = []
    for epoch in range(epochs):
        squares = []
        for x, y in training_batches(source, batch_size, seed=seed, epoch=epoch):
            x, y = x.numpy()[:, 0].astype(float), y.numpy()[:, 0]
            squares.append(np.mean((w * x - y) ** 2))
            w -= rate * np.mean(2 * x * (w * x - y))
        losses.append(np.mean(squares))
    return losses, w


@pytest.fixture
def strategies(mirrored):
    return {"one_device": get_strategy("one_device"), "mirrored": mirrored}


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_the_loop_descends_as_by_hand(name, strategies, make_line, points, tmp_path):
    scope, record = strategies[name], Record()
    with scope.scope():
        model = make_line(0.1)
    steps = StepsLog(tmp_path / "steps.jsonl", every=1)
    run_epochs(model, points, scope, 4, 3, seed=7, callbacks=[record, steps])
    losses, w = by_hand(points, 4, 3, seed=7)
    assert scope.num_replicas_in_sync == (2 if name == "mirrored" else 1)
    np.testing.assert_allclose([log["loss"] for log in record.logs], losses, rtol=1e-5)
    np.testing.assert_allclose(model.w.numpy(), w, rtol=1e-5)
    assert int(model.optimizer.iterations.numpy()) == 6
    for log, loss in zip(record.logs, losses, strict=True):
        assert log["bits_per_dim"] == pytest.approx(2 * loss, rel=1e-5)
        assert log["nfe_forward"] == log["nfe_forward/cnf_00"] == 5
        assert log["learning_rate"] == pytest.approx(0.1)
        assert log["seconds"] > 0
    of_steps = [line["loss"] for line in read_metrics(steps.path)]
    np.testing.assert_allclose(np.reshape(of_steps, [3, 2]).mean(1), losses, rtol=1e-5)


def test_callbacks_are_called_in_the_order_of_keras(make_line, points):
    record = Record()
    run_epochs(
        *(make_line(), points, get_strategy(), 5, 4),
        start=Position(2),
        callbacks=[record],
    )
    assert record.events == [
        "train",
        *("epoch 2", "batch 0", "batch 1", "epoch 2 done"),
        *("epoch 3", "batch 0", "batch 1", "epoch 3 done"),
        "end",
    ]
    assert record.params == {
        **{"epochs": 4, "steps": 2},
        **{"initial_epoch": 2, "initial_step": 0},
    }


def test_a_later_initial_epoch_sees_the_data_of_that_epoch(make_line, points):
    model, record = make_line(0.1), Record()
    _, before = by_hand(points, 5, 2, seed=1)
    losses, after = by_hand(points, 5, 3, seed=1)
    model.w.assign(before)
    run_epochs(
        *(model, points, get_strategy(), 5, 3),
        start=Position(2),
        seed=1,
        callbacks=[record],
    )
    np.testing.assert_allclose(record.logs[0]["loss"], losses[2], rtol=1e-5)
    np.testing.assert_allclose(model.w.numpy(), after, rtol=1e-5)


def test_a_callback_can_stop_the_training(make_line, points):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    record = Record()
    run_epochs(make_line(), points, get_strategy(), 5, 9, callbacks=[record, Stop()])
    assert len(record.logs) == 2
    assert record.events[-1] == "end"


def test_a_batch_that_the_replicas_do_not_divide_is_refused(
    mirrored, make_line, points
):
    with mirrored.scope():
        model = make_line()
    with pytest.raises(ValueError, match=r"2 replicas .* Received: batch_size=5"):
        run_epochs(model, points, mirrored, 5, 1)


def test_a_batch_larger_than_the_data_is_refused(make_line, points):
    with pytest.raises(ValueError, match=r"10 training .* Received: batch_size=11"):
        run_epochs(make_line(), points, get_strategy(), 11, 1)


@pytest.mark.parametrize("name", ["auto", "one_device"])
def test_one_device_is_used_where_there_is_no_gpu(name):
    strategy = get_strategy(name)
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert strategy.num_replicas_in_sync == 1


def test_a_process_has_one_mirrored_strategy():
    assert get_strategy("mirrored") is get_strategy("mirrored")


def test_an_unknown_strategy_names_the_known_ones():
    with pytest.raises(
        ValueError, match="auto, one_device, mirrored, multi_worker"
    ) as failure:
        get_strategy("two_devices")
    assert "Received: strategy='two_devices'" in str(failure.value)


def fails_with(check, make_line):
    """A `Line` whose graph makes a check of the package before each step."""

    class Checked(make_line):
        def train_step(self, data):
            check(*data)
            return super().train_step(data)

    return Checked()


def test_a_solve_that_fails_is_a_solver_error(make_line, points):
    stats = SolveStats(
        *(tf.constant(i) for i in (8, 0, 1, STEP_LIMIT)),
        *(tf.constant(x) for x in (0.5, -3.0, 4.25)),
    )
    model = fails_with(
        lambda x, y: check_solved(stats, "cnf_7", tf.constant(1e-6)), make_line
    )
    with pytest.raises(SolverError, match="try a larger `max_num_steps`") as failure:
        run_epochs(model, points, get_strategy(), 5, 1)
    message = str(failure.value)
    assert message.startswith("epoch 1, step 1: cnf_7: the step limit was ")
    assert message.endswith(
        "Received: tol=1e-06, step size=0.5, state from -3 to 4.25, evaluations=8"
    )
    assert "\n" not in message


def test_bad_values_in_the_graph_are_a_value_error(make_line, points):
    model = fails_with(
        lambda x, y: read_labels(y, [Categorical(1)], "float32"), make_line
    )
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.0\. Received: y="):
        run_epochs(model, points, get_strategy(), 5, 1)


def test_other_failures_of_the_graph_pass_through(make_line, points):
    model = fails_with(
        lambda x, y: tf.debugging.assert_less(x, 0.5, "not of the package"), make_line
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="not of the package"):
        run_epochs(model, points, get_strategy(), 5, 1)


# two replicas


@pytest.fixture(scope="module")
def float_images():
    """Images that are dequantized already, so that no noise enters the model."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.9, [8, 4, 4, 1]).astype(np.float32)
    split = Split(x, rng.integers(0, 3, [8, 1], np.int32))
    return DataSource("floats", split, split, (3,), 17)


def one_step(source, scope):
    """The change of the weights by a step at rate 1, and the logs."""
    record = Record()
    options = TINY | {"trace": "exact", "dropout": 0.0, "tol": 1e-6}
    with scope.scope():
        model = InfoCNF((4, 4, 1), 3, **options)
        model.compile(keras.optimizers.SGD(1.0))
    weights = [w.numpy() for w in model.trainable_variables]
    run_epochs(model, source, scope, 8, 1, callbacks=[record])
    change = [
        (old - new.numpy()).ravel()
        for old, new in zip(weights, model.trainable_variables, strict=True)
    ]
    return np.concatenate(change), record.logs[0]


@pytest.mark.slow  # test_replicas.py has it in float64, with gates
def test_two_replicas_take_the_step_of_one_device(float_images, strategies):
    single, logs = one_step(float_images, strategies["one_device"])
    double, double_logs = one_step(float_images, strategies["mirrored"])
    assert np.linalg.norm(single) > 0.1
    assert np.linalg.norm(double - single) < 1e-4 * np.linalg.norm(single)
    for name in ("loss", "bits_per_dim", "cross_entropy", "error"):
        assert double_logs[name] == pytest.approx(logs[name], rel=1e-4)


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_the_gradient_of_the_whole_batch_is_clipped(
    name, strategies, make_line, points
):
    scope = strategies[name]
    with scope.scope():
        model = make_line(rate=1.0, clipnorm=0.01)
    x, y = (
        v.numpy() for v in next(iter(training_batches(points, 10, seed=0, epoch=0)))
    )
    assert np.mean(2 * x * (0 * x - y)) < -0.2
    run_epochs(model, points, scope, 10, 1)
    assert model.w.numpy() == pytest.approx(0.01, rel=1e-5)


# exact resume

EPOCHS = 4


@pytest.fixture(scope="module")
def few_digits(digits):
    """96 digits, three steps an epoch."""
    train = Split(digits.train.x[:100], digits.train.y[:100])
    return DataSource("few digits", train, train, (10,), 17)


def fit(folder, source, *callbacks):
    """Trains, or resumes, with all the noise there is; returns the final state."""
    model = InfoCNF(source.event_shape, **TINY, tol=1e-2, dropout=0.5)
    rate = learning_rate(1e-2, 3 * EPOCHS, warmup_steps=2, decay="cosine")
    model.compile(keras.optimizers.Adam(rate))
    checkpoints = Checkpoints(folder / "checkpoints", model)
    done = checkpoints.restore()
    metrics = MetricsLog(folder / "metrics.jsonl", done.epoch)
    calls = [metrics, SaveCheckpoints(checkpoints), *callbacks]
    run_epochs(
        model, source, get_strategy(), 32, EPOCHS, start=done, seed=5, callbacks=calls
    )
    state = [*model.variables, *model.optimizer.variables]
    return done, {f"{i:04d}": v.numpy() for i, v in enumerate(state)}


@pytest.fixture(scope="module")
def straight(once, few_digits):
    """An uninterrupted run, and what it left behind after each of its epochs."""

    def fill(folder):
        run = folder / "run"
        run.mkdir(parents=True)

        class Snapshot(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                shutil.copytree(run, folder / f"after_{epoch + 1}")

        _, state = fit(run, few_digits, Snapshot())
        np.savez(folder / "state.npz", **state)

    return once("straight", fill)


def lines(folder):
    return [
        {key: value for key, value in line.items() if key != "seconds"}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def test_the_straight_run_learns_something_in_every_epoch(straight):
    losses = [line["loss"] for line in lines(straight / "run")]
    assert len(set(losses)) == EPOCHS
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("truncated", [False, True])
def test_a_killed_run_resumes_exactly(
    truncated, straight, few_digits, tmp_path, caplog
):
    folder = shutil.copytree(straight / "after_2", tmp_path / "run")
    # killed in the third epoch, with its line written and not its checkpoint
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": 3, "step": 9, "loss": 0.0}) + '\n{"epoch": 4')
    if truncated:
        end = "data-00000-of-00001"
        whole = straight / "after_3" / "checkpoints" / f"ckpt-3.{end}"
        half = folder / "checkpoints" / f"ckpt-3.{end}"
        half.write_bytes(whole.read_bytes()[:-100])
        shutil.copy(whole.with_name("ckpt-3.index"), half.with_name("ckpt-3.index"))
    with caplog.at_level(logging.WARNING):
        done, state = fit(folder, few_digits)
    assert done == Position(2)
    assert ("ckpt-3 is damaged" in caplog.text) == truncated
    with np.load(straight / "state.npz") as expected:
        assert set(state) == set(expected)
        for name, value in state.items():
            np.testing.assert_array_equal(value, expected[name])
    assert lines(folder) == lines(straight / "run")
