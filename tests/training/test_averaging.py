"""The average of the weights that Keras keeps, with the package's own steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CNF
from tfcnf.data.pipeline import training_batches
from tfcnf.training.averaging import averaged, use_weights
from tfcnf.training.checkpoints import Checkpoints, Position
from tfcnf.training.loop import run_epochs
from tfcnf.training.strategy import get_strategy

MOMENTUM = 0.8


def by_hand(source, epochs):
    """The last weight and its moving average, which begins with the first."""
    w, average = 0.0, None
    for epoch in range(epochs):
        for x, y in training_batches(source, 4, seed=0, epoch=epoch):
            x, y = x.numpy()[:, 0].astype(float), y.numpy()[:, 0]
            w -= 0.1 * np.mean(2 * x * (w * x - y))
            average = w if average is None else MOMENTUM * average + (1 - MOMENTUM) * w
    return w, average


@pytest.fixture
def strategies(mirrored):
    return {"one_device": get_strategy("one_device"), "mirrored": mirrored}


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_average_is_kept_and_given_for_a_while(
    name, parts, strategies, make_line, points, tmp_path
):
    scope = strategies[name]
    with scope.scope():
        model = make_line(0.1, ema=MOMENTUM)
    run_epochs(model, points, scope, 4, 3, accumulation_steps=parts)
    last, average = by_hand(points, 3)
    assert abs(last - average) > 1e-2
    exact = model.w.numpy()
    assert exact == pytest.approx(last, rel=1e-5)
    with averaged(model):
        assert model.w.numpy() == pytest.approx(average, rel=1e-5)
    assert model.w.numpy() == exact
    # checkpoints hold both
    with scope.scope():
        Checkpoints(tmp_path, model).save(Position(3))
        twin = make_line(0.1, ema=MOMENTUM)
        assert Checkpoints(tmp_path, twin).restore() == Position(3)
    assert twin.w.numpy() == exact
    use_weights(twin, "last")
    assert twin.w.numpy() == exact
    use_weights(twin, None)
    assert twin.w.numpy() == pytest.approx(average, rel=1e-5)


def test_without_an_average_the_weights_stay(make_line, points):
    model = make_line(0.1)
    run_epochs(model, points, get_strategy(), 4, 1)
    last = model.w.numpy()
    with averaged(model):
        assert model.w.numpy() == last
    use_weights(model, None)
    assert model.w.numpy() == last
    with pytest.raises(ValueError, match=r"no average .* Received: weights='average'"):
        use_weights(model, "average")
    with pytest.raises(ValueError, match="average, last"):
        use_weights(model, "best")


def test_an_optimizer_that_scales_the_loss_has_the_average_of_the_one_it_wraps(
    make_line, points
):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make_line()
    finally:
        keras.config.set_dtype_policy("float32")
    inner = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=MOMENTUM)
    model.compile(keras.optimizers.LossScaleOptimizer(inner))
    run_epochs(model, points, tf.distribute.get_strategy(), 4, 3)
    last, average = by_hand(points, 3)
    with averaged(model):
        assert model.w.numpy() == pytest.approx(average, rel=1e-5)
    use_weights(model, "average")
    assert model.w.numpy() == pytest.approx(average, rel=1e-5)
    assert abs(last - average) > 1e-2


def test_the_average_of_the_gates_is_of_the_same_step_as_that_of_the_flow():
    options = {"flows_per_block": 1, "filters": 4, "hidden_layers": 1, "tol": 1e-2}
    reinforce = {"baseline": "none", "price": 1.0}
    model = CNF((2,), seed=0, policy="learned", reinforce=reinforce, **options)
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=MOMENTUM))
    before = [weight.numpy() for weight in model.gate_weights]
    model.train_on_batch(np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2))
    pairs = zip(model.gate_weights, before, strict=True)
    assert max(np.abs(weight.numpy() - old).max() for weight, old in pairs) > 1e-3
    last = model.get_weights()  # the average begins with the first step
    with averaged(model):
        for average, weight in zip(model.get_weights(), last, strict=True):
            np.testing.assert_array_equal(average, weight)
