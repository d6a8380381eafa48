"""Failed steps stop the training, are skipped, or send it back."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.pipeline import training_batches
from tfcnf.data.source import DataSource, Split
from tfcnf.models.finite import DivergenceError
from tfcnf.models.infocnf import InfoCNF
from tfcnf.ode.status import SolverError
from tfcnf.records import read_lines
from tfcnf.seeds import next_seed
from tfcnf.training.checkpoints import Checkpoints, Position, SaveCheckpoints
from tfcnf.training.loop import run_epochs
from tfcnf.training.recovery import EVENT, Recovery
from tfcnf.training.schedules import WarmupPiecewise
from tfcnf.training.strategy import get_strategy


@pytest.fixture(scope="module")
def poisoned():
    """Twelve points, one of which makes the loss infinite."""
    x = np.linspace(0.1, 1.2, 12, dtype=np.float32)[:, None]
    x[3] = 1e30
    split = Split(x, np.arange(12, dtype=np.int32)[:, None] % 2)
    return DataSource("poisoned", split, split, (2,), 1)


def position(source, batch_size, seed, epoch):
    """Step, from 0, of the poisoned batch in an epoch."""
    batches = training_batches(source, batch_size, seed=seed, epoch=epoch)
    return next(i for i, (x, _) in enumerate(batches) if x.numpy().max() > 2)


def without(source, batch_size, epochs, rate=0.1, seed=0):
    """The weight after a training that leaves out the poisoned batches."""
    w = 0.0
    for epoch in range(epochs):
        for x, y in training_batches(source, batch_size, seed=seed, epoch=epoch):
            x, y = x.numpy()[:, 0].astype(float), y.numpy()[:, 0]
            if x.max() < 2:
                w -= rate * np.mean(2 * x * (w * x - y))
    return w


def events(folder):
    path = folder / "divergence.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def strategies(mirrored):
    return {"one_device": get_strategy("one_device"), "mirrored": mirrored}


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_a_step_that_fails_stops_with_a_report_and_the_state_before_it(
    name, parts, strategies, make_line, poisoned, tmp_path
):
    scope = strategies[name]
    with scope.scope():
        model = make_line(0.1)
    bad = position(poisoned, 4, 0, 0)
    with pytest.raises(DivergenceError, match="the loss is not finite") as failure:
        run_epochs(
            *(model, poisoned, scope, 4, 3),
            accumulation_steps=parts,
            recovery=Recovery(folder=tmp_path),
        )
    assert str(failure.value).startswith(f"epoch 1, step {bad + 1}: ")
    assert "Received: loss=" in str(failure.value)
    assert int(model.optimizer.iterations.numpy()) == bad
    (event,) = events(tmp_path)
    assert (event["epoch"], event["step"]) == (1, bad + 1)
    assert (event["error"], event["action"]) == ("DivergenceError", "stop")
    assert event["learning_rate"] == pytest.approx(0.1)
    assert event["message"] in str(failure.value)
    batch = np.load(tmp_path / "last_good" / "batch.npz")
    assert batch["00"].shape == (4 // scope.num_replicas_in_sync, 1)
    last, weight = tmp_path / "last_good", float(model.w.numpy())
    assert np.isfinite(weight)
    if bad == 0:  # then it is that of the start
        assert [path.name for path in last.iterdir()] == ["batch.npz"]
        return
    model.w.assign(9.0)
    assert Checkpoints(last, model).restore() == (0, bad)
    assert float(model.w.numpy()) == weight


def test_another_worker_than_the_first_leaves_a_report_of_its_own(
    make_line, poisoned, tmp_path
):
    recovery = Recovery(folder=tmp_path, rank=2)
    with pytest.raises(DivergenceError, match="epoch 1, step"):
        run_epochs(make_line(), poisoned, get_strategy(), 4, 1, recovery=recovery)
    assert [path.name for path in tmp_path.iterdir()] == ["divergence-2.jsonl"]
    (event,) = read_lines(tmp_path / "divergence-2.jsonl", EVENT)
    assert event["action"] == "stop"


@pytest.mark.parametrize("parts", [1, 2])
def test_failed_batches_can_be_skipped(parts, make_line, poisoned, tmp_path):
    model = make_line(0.1)
    logs = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, values: logs.append(dict(values))
    )
    run_epochs(
        *(model, poisoned, get_strategy(), 4, 3),
        callbacks=[record],
        accumulation_steps=parts,
        recovery=Recovery("skip", 3, folder=tmp_path),
    )
    assert model.w.numpy() == pytest.approx(without(poisoned, 4, 3), rel=1e-5)
    assert all(np.isfinite(log["loss"]) for log in logs)
    found = [(e["epoch"], e["step"], e["action"]) for e in events(tmp_path)]
    assert found == [
        (epoch + 1, position(poisoned, 4, 0, epoch) + 1, "skip") for epoch in range(3)
    ]


def test_no_more_batches_are_skipped_than_allowed(make_line, poisoned, tmp_path):
    recovery = Recovery("skip", 2, folder=tmp_path)
    with pytest.raises(DivergenceError, match=r"^epoch 3, step"):
        run_epochs(make_line(), poisoned, get_strategy(), 4, 9, recovery=recovery)
    assert [e["action"] for e in events(tmp_path)] == ["skip", "skip", "stop"]


def explosive(make_line, rate):
    """Descent on x^2 at a rate that overshoots until it is lowered."""
    model = make_line(WarmupPiecewise(rate))
    model.w.assign(1e18)
    return model


def test_a_lower_rate_is_tried_from_the_start_of_the_epoch(make_line, points, tmp_path):
    # the rate must be below 2 / E[2 x^2], about 2.6
    model, logs = explosive(make_line, 40.0), []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, values: logs.append(dict(values))
    )
    recovery = Recovery("restore", 10, 0.25, tmp_path)
    run_epochs(
        model, points, get_strategy(), 1, 3, callbacks=[record], recovery=recovery
    )
    failures = events(tmp_path)
    assert {e["action"] for e in failures} == {"restore"}
    rates = [e["learning_rate"] for e in failures]
    np.testing.assert_allclose(rates, 40.0 * 0.25 ** np.arange(len(rates)))
    assert len(logs) == 3  # each epoch is logged once
    last = 40.0 * 0.25 ** len(rates)
    assert logs[-1]["learning_rate"] == pytest.approx(last)
    assert int(model.optimizer.iterations.numpy()) == 30  # the others were taken back
    # a run that is resumed goes on with the lower rate
    again = explosive(make_line, 40.0)
    Recovery("restore", 10, 0.25, tmp_path).begin(again)
    assert float(again.optimizer.learning_rate) == pytest.approx(last)


@pytest.fixture
def mixed():
    """Keras' policy under which losses are scaled."""
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("schedule", [float, WarmupPiecewise])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_any_rate_is_lowered_once_a_failure_and_a_resumed_run_has_it(
    name, scaled, schedule, strategies, make_line, tmp_path, mixed
):
    def make():
        with strategies[name].scope():
            model = make_line()
            inner = keras.optimizers.SGD(schedule(0.5))
            wrap = keras.optimizers.LossScaleOptimizer if scaled else lambda x: x
            model.compile(wrap(inner))
            return model, Checkpoints(tmp_path / "checkpoints", model)

    def rate(model):
        return float(tf.convert_to_tensor(model.optimizer.learning_rate))

    def resumed():
        model, checkpoints = make()
        start = checkpoints.restore()
        Recovery("restore", folder=tmp_path).begin(model, start)
        return rate(model)

    (model, checkpoints), recovery = make(), Recovery("restore", folder=tmp_path)
    recovery.begin(model)
    recovery.remember(0, 0)
    recovery.handle(DivergenceError("x"), 0, 1, None)
    assert rate(model) == 0.25
    assert resumed() == 0.25  # from the start
    checkpoints.save(Position(1))
    assert resumed() == 0.25
    recovery.remember(1, 0)
    recovery.handle(DivergenceError("x"), 1, 1, None)
    recovery.handle(DivergenceError("x"), 1, 1, None)
    assert resumed() == rate(model) == 0.0625  # from before both failures
    checkpoints.save(Position(1, 1))
    assert resumed() == 0.0625  # from after them
    checkpoints.save(Position(2))
    assert resumed() == 0.0625


def test_a_failed_solve_names_layer_tolerance_step_and_range(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    split = Split(x, np.zeros([8, 1], np.int32))
    source = DataSource("x", split, split, (1,), 1)
    model = InfoCNF(
        *((2,), 1),
        **{"flows_per_block": 2, "filters": 4, "hidden_layers": 1, "tol": 1e-4},
        solver="dopri5:max_num_steps=30",
        seed=0,
    )
    model.compile(keras.optimizers.SGD(1e-3))
    _, second = model.flow.layers
    for weight in second.trainable_variables:
        weight.assign(200.0 * weight)
    before = [w.numpy() for w in model.trainable_variables]
    with pytest.raises(SolverError) as failure:
        run_epochs(model, source, get_strategy(), 8, 1, recovery=Recovery())
    message = str(failure.value)
    assert f"step 1: {second.name}: the step" in message
    for part in ("tol=0.0001", "step size=", "state from ", "evaluations="):
        assert part in message
    for weight, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.fixture
def make_noisy(make_line):
    """A function that makes a `Line` whose loss is infinite where its noise is low."""

    class Noisy(make_line):
        def __init__(self, low):
            super().__init__(0.01)
            self.low, self.noise = low, keras.random.SeedGenerator(0)

        def terms(self, x, y, control, training):
            terms, out = super().terms(x, y, control, training)
            u = tf.random.stateless_uniform([], next_seed(self.noise))
            enough = tf.cast(u >= self.low, u.dtype)
            return terms | {"loss": terms["loss"] / enough}, out

    return Noisy


def run_noisily(model, points, folder, epochs, **options):
    """Trains, or resumes, with a checkpoint after every epoch; returns the state."""
    checkpoints = Checkpoints(folder / "checkpoints", model, keep=9)
    start, recovery = checkpoints.restore(), Recovery(**options, folder=folder)
    calls = [SaveCheckpoints(checkpoints)]
    run_epochs(
        *(model, points, get_strategy(), 1, epochs),
        start=start,
        callbacks=calls,
        recovery=recovery,
    )
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize(
    ("action", "low", "lost"), [("skip", 0.5, "[23]"), ("restore", 0.07, "3")]
)
def test_noise_is_new_after_a_failure_and_a_resumed_run_is_the_straight_one(
    action, low, lost, make_noisy, points, tmp_path
):
    straight, options = tmp_path / "straight", {"action": action, "limit": 30}
    straight.mkdir()
    state = run_noisily(make_noisy(low), points, straight, 3, **options)
    found = events(straight)
    assert {event["action"] for event in found} == {action}
    if action == "skip":  # 30 steps, each fails as a coin falls
        assert 8 <= len(found) <= 22
    # the last epochs are done again, and as many failures are allowed as there were
    for file in (straight / "checkpoints").glob(f"ckpt-{lost}*"):
        file.unlink()
    assert any(event["epoch"] > 1 for event in found)
    options["limit"] = len(found)
    again = run_noisily(make_noisy(low), points, straight, 3, **options)
    assert events(straight) == found
    for one, other in zip(again, state, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_epoch_of_skipped_steps_is_no_measure_and_said_once(
    make_noisy, points, tmp_path, caplog
):
    logs = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, values: logs.append(dict(values))
    )
    run_epochs(
        *(make_noisy(2.0), points, get_strategy(), 5, 2),
        callbacks=[record],
        recovery=Recovery("skip", 9),
    )
    for log in logs:
        assert np.isnan([log["loss"], log["bits_per_dim"], log["nfe_forward"]]).all()
    said = [r.getMessage() for r in caplog.records if "measured" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("epoch 1: nothing was measured of bits_per_dim, ")
    assert said[0].endswith("(no step was taken)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action": "ignore"}, "stop, skip, restore. Received: recovery.action="),
        ({"limit": -1}, "Received: limit=-1"),
        ({"limit": 1.5}, "Received: limit=1.5"),
        ({"rate_factor": 1.0}, "Received: rate_factor=1.0"),
        ({"rate_factor": 0.0}, "Received: rate_factor=0.0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match="Received: ") as failure:
        Recovery(**options)
    assert message in str(failure.value)
