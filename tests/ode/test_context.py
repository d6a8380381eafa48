import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import solve_ivp

import tfcnf
from tfcnf.ode import solve as solving
from tfcnf.types import Control

B, E, TOL = 3, 2, 1e-9


class Pulled(tfcnf.Dynamics):
    """dz/dt = a tanh(z) + W c, a field of a user's own."""

    def build(self, shape):
        self.rate = self.add_weight(name="rate", shape=(), initializer="ones")
        self.pull = self.add_weight(name="pull", shape=(E, shape[-1]))
        self.built = True

    def call(self, t, z, context):
        return self.rate * tf.tanh(z) + tf.matmul(context, self.pull)


KINDS = {
    "dense": (lambda **k: tfcnf.DenseDynamics((4,), seed=1, **k), (2,)),
    "squash": (
        lambda **k: tfcnf.DenseDynamics((4,), time="concatsquash", seed=1, **k),
        (2,),
    ),
    "conv": (lambda **k: tfcnf.ConvDynamics((2,), seed=1, **k), (2, 2, 1)),
    "own": (lambda **k: Pulled(**k), (2,)),
}


def make_layer(kind, gradient="adjoint", solver="dopri5"):
    make, event = KINDS[kind]
    dynamics = make(context_dims=E, dtype="float64")
    layer = tfcnf.CNFLayer(
        dynamics,
        tfcnf.FixedTolerance(TOL, dtype="float64"),
        trace="exact",
        gradient=gradient,
        solver=solver,
        dtype="float64",
    )
    layer.build((None, *event))
    rng = np.random.default_rng(2)
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(size=weight.shape) / 2)
    x = tf.constant(rng.normal(size=(B, *event)))
    return layer, x, tf.constant(rng.normal(size=(B, E)))


def objective(layer, x, c, control=None):
    """A scalar in which every example's state and log-determinant has its weight."""
    out = layer(x, control=control or Control(context=c))
    weights = tf.constant([0.5, 1.0, 1.5], tf.float64)
    each = tf.reduce_sum(tf.sin(out.z), range(1, len(x.shape))) + out.log_det
    return tf.reduce_sum(weights * each)


def difference(function, value, step=1e-2):
    """The gradient of a function of an array by differences of fourth order."""
    found = np.zeros(value.shape)
    for index in np.ndindex(*value.shape):
        unit = np.zeros(value.shape)
        unit[index] = step
        near = function(value + unit) - function(value - unit)
        far = function(value + 2 * unit) - function(value - 2 * unit)
        found[index] = (8 * near - far) / (12 * step)
    return found


@functools.cache
def differences(kind):
    """Gradients in the context and in the last layer's maps of it, by differences."""
    layer, x, c = make_layer(kind)
    run = tf.function(lambda c: objective(layer, x, c))
    found = [difference(lambda v: float(run(tf.constant(v))), c.numpy())]
    for weights in last_maps(layer):
        start = weights.numpy()

        def of_map(values, weights=weights):
            weights.assign(values)
            return float(run(c))

        found.append(difference(of_map, start))
        weights.assign(start)
    return found


def last_maps(layer):
    return [w for w in layer.trainable_variables if w.shape[:1] == (E,)][-2:]


@pytest.mark.parametrize(
    ("kind", "gradient"),
    [
        ("dense", "adjoint"),
        ("dense", "checkpoint"),
        ("dense", "store"),
        ("conv", "adjoint"),
        pytest.param("conv", "checkpoint", marks=pytest.mark.slow),
        pytest.param("conv", "store", marks=pytest.mark.slow),
        ("squash", "adjoint"),
        ("own", "checkpoint"),
    ],
)
def test_gradients_in_context_and_weights_equal_differences(kind, gradient):
    layer, x, c = make_layer(kind, gradient)
    with tf.GradientTape() as tape:
        tape.watch(c)
        value = tf.function(lambda c: objective(layer, x, c))(c)
    found = tape.gradient(value, [c, *(w.value for w in last_maps(layer))])
    for gradient, expected in zip(found, differences(kind), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("solver", ["reference", "tfp"])
def test_solvers_to_compare_with_have_the_same_gradient(solver):
    layer, x, c = make_layer("dense", solver=solver)
    with tf.GradientTape() as tape:
        tape.watch(c)
        control = Control(context=c, tol=tf.constant(1e-6, tf.float64))
        value = objective(layer, x, c, control)
    found = tape.gradient(value, c)
    np.testing.assert_allclose(found, differences("dense")[0], rtol=1e-3, atol=1e-4)


def test_each_example_moves_by_its_own_context():
    layer, x, c = make_layer("dense")
    out = layer(x, control=Control(context=c))
    for i in range(B):
        context = c[i : i + 1]

        def field(t, z, context=context):
            z = tf.constant(z[None])
            return layer.dynamics(tf.constant(t, tf.float64), z, context=context)[0]

        end = solve_ivp(field, (0, 1), x[i].numpy(), rtol=1e-10, atol=1e-10).y[:, -1]
        np.testing.assert_allclose(out.z[i], end, atol=1e-7)


def test_the_context_of_a_layer_is_the_time_map_of_a_concatenation():
    """A column of the context is one more input of each layer, constant in time."""
    make, _ = KINDS["dense"]
    plain, given = make(dtype="float64"), make(context_dims=1, dtype="float64")
    for dynamics in (plain, given):
        dynamics.build((None, 2))
    for layer, twin in zip(given.stack, plain.stack, strict=True):
        layer["context_kernel"].assign(twin["kernel"][:1])  # time is channel 0
    z, t = tf.constant([[0.3, -1.0]], tf.float64), tf.constant(0.25, tf.float64)
    moved = given(t, z, context=tf.constant([[0.5]], tf.float64))
    np.testing.assert_allclose(moved, plain(t + 0.5, z), rtol=1e-12)


def test_a_new_layer_is_at_context_zero_the_one_without():
    make, event = KINDS["conv"]
    x = tf.random.stateless_normal([B, *event], [0, 0], dtype=tf.float64)
    plain, given = make(dtype="float64"), make(context_dims=E, dtype="float64")
    t = tf.constant(0.5, tf.float64)
    moved = given(t, x, context=tf.zeros([B, E], tf.float64))
    np.testing.assert_array_equal(moved, plain(t, x))
    again = make(context_dims=E, dtype="float64")
    other = tf.ones([B, E], tf.float64)
    moved = given(t, x, context=other)
    np.testing.assert_array_equal(again(t, x, context=other), moved)
    assert np.abs(moved - plain(t, x)).min() > 1e-4


def test_positions_on_the_way_have_the_context():
    layer, x, c = make_layer("dense")
    whole = layer(x, control=Control(context=c)).z
    stop = Control(context=c, stop=tf.ones([B], tf.float64))
    np.testing.assert_allclose(layer(x, control=stop).z, whole, rtol=1e-7)


def test_layers_are_rebuilt_with_their_context():
    layer, x, c = make_layer("dense")
    twin = tfcnf.CNFLayer.from_config(layer.get_config())
    twin.build((None, *x.shape[1:]))
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(objective(twin, x, c), objective(layer, x, c))
    assert "context_dims" not in tfcnf.DenseDynamics((4,)).get_config()


def test_batches_of_any_size_share_a_graph():
    layer, x, c = make_layer("dense")
    objective(layer, x, c)
    before = solving._graph.cache_info().misses
    layer(x[:2], control=Control(context=c[:2]))
    assert solving._graph.cache_info().misses == before


class Blind(tfcnf.Dynamics):
    def call(self, t, z):
        return -z


class Open(tfcnf.Dynamics):
    def call(self, t, z, context):
        return z


@pytest.mark.parametrize(
    ("make", "context", "message"),
    [
        (Blind, [[1.0]], r"Blind takes no context.*\(3, 1\)"),
        (lambda: Blind(context_dims=1), [[1.0]], r"define call\(t, z, context\)"),
        (Open, [[1.0]], "need context_dims"),
        (lambda: Open(context_dims=-1), [[1.0]], "at least 0"),
        (lambda: Open(context_dims=2), None, r"needs a context, \[batch, 2\]"),
        (lambda: Open(context_dims=2), [[1.0]], r"shape \[batch, 2\].*\(3, 1\)"),
        (lambda: tfcnf.DenseDynamics((4,)), [[1.0]], "DenseDynamics takes no context"),
    ],
)
def test_contexts_that_do_not_fit_are_refused(make, context, message):
    context = None if context is None else tf.repeat(context, B, 0)
    with pytest.raises(ValueError, match=message):
        tfcnf.CNFLayer(make())(tf.ones([B, 2]), control=Control(context=context))


def test_keras_layers_of_own_fields_are_built_for_the_context():
    class Net(tfcnf.Dynamics):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.net = keras.layers.Dense(2)

        def call(self, t, z, context):
            return self.net(tf.concat([z, context], 1))

    layer = tfcnf.CNFLayer(Net(context_dims=E))
    layer(tf.ones([B, 2]), control=Control(context=tf.ones([B, E])))
    assert layer.dynamics.net.kernel.shape == (2 + E, 2)
