"""A model without an ODE, for tests of the loop in which the flow does not matter."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.source import DataSource, Split
from tfcnf.models.base import FlowModel
from tfcnf.types import FlowOutput


class Line(FlowModel):
    """y = w x by gradient descent on the mean square, with gradient 2 x (w x - y)."""

    def __init__(self, rate=0.1, clipnorm=None, ema=None):
        super().__init__()
        self.w = self.add_weight(shape=(), initializer="zeros", name="w")
        self.flow = types.SimpleNamespace(num_solves=1, policies=[])
        self.is_supervised = False
        self._track_metrics()
        self.built = True
        average = {"use_ema": True, "ema_momentum": ema} if ema else {}
        self.compile(keras.optimizers.SGD(rate, global_clipnorm=clipnorm, **average))

    def terms(self, x, y, control, training):
        error = x[:, 0] * self.w.value - tf.cast(y[:, 0], tf.float32)
        square = error**2
        if control.nfe_backward_probe is not None:
            square += 0.0 * control.nfe_backward_probe[0]
        nfe = tf.constant([5.0])
        out = FlowOutput(x, error, nfe, tf.constant([1e-3]), tf.zeros([1]))
        return {"loss": square, "bits_per_dim": 2.0 * square}, out


@pytest.fixture(scope="session")
def make_line():
    """A function that makes a `Line`."""
    return Line


@pytest.fixture
def model(make_line):
    """A `Line` with w = 0.75 after 12 steps."""
    line = make_line()
    line.optimizer.build(line.trainable_variables)
    line.optimizer.iterations.assign(12)
    line.w.assign(0.75)
    return line


@pytest.fixture(scope="session")
def points():
    """Ten examples x = 0.1 .. 1.0 with labels 0 and 1."""
    x = np.linspace(0.1, 1, 10, dtype=np.float32)[:, None]
    split = Split(x, np.arange(10, dtype=np.int32)[:, None] % 2)
    return DataSource("points", split, split, (2,), 1)
