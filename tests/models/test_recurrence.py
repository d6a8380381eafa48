"""The recurrence written out, against Keras' loop."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.series import Series
from tfcnf.models.encoders.rnn import RNNEncoder

T, B = 7, 3


@pytest.fixture(scope="module")
def layer():
    return RNNEncoder(2, 4, units=5, seed=1, dtype="float64")


def series():
    rng = np.random.default_rng(0)
    mask = np.ones([B, T])
    mask[0, [0, 3]], mask[1, 4:] = 0, 0
    values, times = rng.normal(size=[B, T, 2]), np.tile(np.arange(T), [B, 1])
    return Series(values, times.astype(float), mask)


def gradients(function, x, weights):
    with tf.GradientTape() as tape:
        tape.watch(x)
        result = tf.reduce_sum(tf.sin(function(x)) * [1.0, 2.0, 3.0, 4.0, 5.0])
    return tape.gradient(result, [x, *weights])


@pytest.mark.parametrize("masked", [False, True])
def test_states_and_gradients_are_those_of_keras(layer, masked):
    x = series()
    seen = tf.constant(x.mask > 0) if masked else None
    values, weights = tf.constant(x.values), layer.rnn.trainable_variables

    def keras_loop(values):
        return layer.rnn(values, mask=seen)

    def written_out(values):
        return layer.read(values, None, seen)

    np.testing.assert_allclose(written_out(values), keras_loop(values), rtol=1e-12)
    ours = gradients(written_out, values, weights)
    theirs = gradients(keras_loop, values, weights)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_any_number_of_points_where_it_is_not_known(layer):
    x = series()
    specs = [tf.TensorSpec([None] * part.ndim, tf.float64) for part in x]
    specs[0] = tf.TensorSpec([None, None, 2], tf.float64)

    @tf.function(input_signature=[Series(*specs)])
    def run(x):
        return layer(x)

    free, known = run(Series(*map(tf.constant, x))), layer(x)
    for a, b in zip(free, known, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
