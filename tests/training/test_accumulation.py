"""A batch computed in parts gives the step of the batch computed at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.source import DataSource, Split
from tfcnf.models.infocnf import InfoCNF
from tfcnf.training.loop import run_epochs
from tfcnf.training.strategy import get_strategy

TINY = {
    "num_levels": 17,
    "alpha": 0.05,
    "num_scales": 1,
    "flows_per_block": 2,
    "filters": 2,
    "hidden_layers": 1,
    "costs": {"kinetic_energy": 0.1},
    "seed": 0,
}


class Logs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.all = []

    def on_epoch_end(self, epoch, logs=None):
        self.all.append(dict(logs))


@pytest.fixture
def strategies(mirrored):
    return {"one_device": get_strategy("one_device"), "mirrored": mirrored}


@pytest.fixture(scope="module")
def images():
    """Images that are dequantized already, so that no noise enters the model."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.9, [8, 4, 4, 1]).astype(np.float32)
    split = Split(x, rng.integers(0, 3, [8, 1], np.int32))
    return DataSource("floats", split, split, (3,), 17)


@pytest.mark.parametrize("clipnorm", [None, 0.01])
@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_accumulated_steps_are_the_whole_batchs(
    name, clipnorm, strategies, make_line, points
):
    found = []
    for parts in (1, 2):
        scope, record = strategies[name], Logs()
        with scope.scope():
            model = make_line(0.1, clipnorm)
        run_epochs(
            model, points, scope, 8, 3, callbacks=[record], accumulation_steps=parts
        )
        assert int(model.optimizer.iterations.numpy()) == 3
        logged = [[log["loss"], log["gradient_norm"]] for log in record.all]
        found.append((model.w.numpy(), logged))
    assert abs(found[0][0]) > 1e-3
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-6)


@pytest.fixture
def mixed():
    """Keras' policy under which losses are scaled."""
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("scale", [None, 2.0**10, 2.0**127])
@pytest.mark.parametrize("kind", ["clipnorm", "clipvalue", "global_clipnorm"])
@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_clipping_is_of_the_whole_batch_and_hides_no_overflow(
    name, kind, scale, strategies, make_line, points, mixed
):
    scope = strategies[name]
    with scope.scope():
        model = make_line()
        optimizer = keras.optimizers.SGD(1.0, **{kind: 0.01})
        if scale:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, scale)
        model.compile(optimizer)
    x, y = 10 * points.train.x, points.train.y
    steep = DataSource("steep", Split(x, y), points.test, (2,), 1)
    run_epochs(model, steep, scope, 8, 3)
    steps = int(optimizer.iterations.numpy())
    assert (steps < 3) == (scale == 2.0**127)
    assert model.w.numpy() == pytest.approx(0.01 * steps, rel=1e-4)


def step_of(source, parts):
    """The change of a flow's weights by a step at rate 1, and the logs."""
    record = Logs()
    model = InfoCNF((4, 4, 1), 3, **TINY, trace="exact", dropout=0.0, tol=1e-6)
    model.compile(keras.optimizers.SGD(1.0))
    before = [w.numpy() for w in model.trainable_variables]
    scope = get_strategy()
    run_epochs(model, source, scope, 8, 1, callbacks=[record], accumulation_steps=parts)
    pairs = zip(before, model.trainable_variables, strict=True)
    return np.concatenate([(a - b.numpy()).ravel() for a, b in pairs]), record.all[0]


def test_a_flows_gradient_is_that_of_the_whole_batch(images):
    whole, logs = step_of(images, 1)
    parts, part_logs = step_of(images, 4)
    assert np.linalg.norm(whole) > 0.1
    assert np.linalg.norm(parts - whole) < 1e-4 * np.linalg.norm(whole)
    for name in ("loss", "bits_per_dim", "cross_entropy", "kinetic_energy"):
        assert part_logs[name] == pytest.approx(logs[name], rel=1e-4)
    # evaluations are the mean of the parts', not their sum
    assert part_logs["nfe_forward"] <= 1.5 * logs["nfe_forward"]


@pytest.mark.parametrize(
    "baseline", ["running", pytest.param("leave_one_out", marks=pytest.mark.slow)]
)
def test_one_decision_serves_all_parts(baseline, images, monkeypatch):
    model = InfoCNF(
        (4, 4, 1),
        3,
        **TINY,
        tol=1e-3,
        dropout=0.0,
        policy="learned",
        reinforce={"baseline": baseline, "price": 0.1},
    )
    model.compile(keras.optimizers.SGD(0.1))
    learned, learn = [], model.reinforce.learn
    log_pi = tf.Variable([0.0, 0.0])

    def watch(decision, gates, **measured):
        learned.append(decision.tolerance.shape)
        log_pi.assign(decision.log_pi[0])
        learn(decision, gates, **measured)

    monkeypatch.setattr(model.reinforce, "learn", watch)
    before = [w.numpy() for w in model.gate_weights]
    record = Logs()
    # the running baseline learns from the second step on
    run_epochs(
        model, images, get_strategy(), 8, 2, callbacks=[record], accumulation_steps=4
    )
    passes = 2 if baseline == "leave_one_out" else 1
    assert set(learned) == {(passes, 2)}
    moved = [
        np.abs(new.numpy() - old).max()
        for new, old in zip(model.gate_weights, before, strict=True)
    ]
    assert max(moved) > 0
    logged = [record.all[-1][f"log_pi/cnf_{i:02d}"] for i in range(2)]
    np.testing.assert_allclose(logged, log_pi, rtol=1e-6)
    if baseline == "running":
        # what REINFORCE remembers are the loss and evaluations of the whole batch
        costs = [
            log["loss"]
            + 0.1
            / 2
            * np.cumsum([log["nfe_forward/cnf_01"], log["nfe_forward/cnf_00"]])[::-1]
            for log in record.all
        ]
        expected = 0.1 * costs[1] + 0.9 * 0.1 * costs[0]
        np.testing.assert_allclose(model.reinforce.past_costs, expected, rtol=1e-5)


def test_tolerances_do_not_change_between_the_parts(images):
    model = InfoCNF((4, 4, 1), 3, **TINY, tol=1e-3, policy="random")
    x, y = images.train.x, images.train.y
    _, first = model.differentiate((x[:4], y[:4]))
    part, second = model.differentiate((x[4:], y[4:]), first.tolerance)
    np.testing.assert_array_equal(second.tolerance, first.tolerance)
    _, other = model.differentiate((x[4:], y[4:]))
    assert np.abs(np.log(other.tolerance / first.tolerance)).min() > 1e-4
    assert part.nfe.shape == (1, 2)


def test_a_batch_that_the_parts_do_not_divide_is_refused(make_line, points):
    with pytest.raises(ValueError, match="3 accumulation steps") as failure:
        run_epochs(make_line(), points, get_strategy(), 8, 1, accumulation_steps=3)
    assert "Received: batch_size=8" in str(failure.value)
