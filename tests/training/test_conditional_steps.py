"""A step on examples with contexts is one step, however the batch is divided."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcnf
from tfcnf.training.accumulation import make_step
from tfcnf.training.strategy import get_strategy

RNG = np.random.default_rng(0)
X, C = (RNG.normal(size=(4, n)).astype(np.float32) for n in (2, 3))


def stepped(strategy, parts=1):
    """Weights of a model after a step on one batch."""
    with strategy.scope():
        embedding = keras.Sequential(
            [keras.layers.Input((3,)), keras.layers.Dense(2, "tanh", use_bias=False)]
        )
        embedding.layers[0].kernel.assign([[0.5, -1.0], [1.0, 0.3], [-0.2, 0.8]])
        model = tfcnf.CNF(
            (2,), context=3, embedding=embedding, hidden_layers=1, filters=4,
            flows_per_block=1, trace="exact", tol=1e-6, seed=0,
        )  # fmt: skip
        model.compile(keras.optimizers.SGD(1.0))
    batches = tf.data.Dataset.from_tensors(({"x": X, "context": C},)).unbatch()
    batches = batches.batch(4, drop_remainder=True)
    step = make_step(model, strategy, parts)
    for batch in strategy.experimental_distribute_dataset(batches):
        step(batch)
    return [np.array(weight) for weight in model.trainable_variables]


@pytest.fixture(scope="module")
def alone():
    return stepped(get_strategy("one_device"))


def test_two_replicas_take_the_step_of_one(alone, mirrored):
    for found, expected in zip(stepped(mirrored), alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_two_parts_take_the_step_of_the_whole(alone):
    found = stepped(get_strategy("one_device"), parts=2)
    for part, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-5)


def test_the_embedding_moved(alone):
    kernel = next(weight for weight in alone if weight.shape == (3, 2))
    assert np.abs(kernel - [[0.5, -1.0], [1.0, 0.3], [-0.2, 0.8]]).min() > 1e-5
