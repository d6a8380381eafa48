import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.ode.divergence import Exact, Hutchinson, NoTrace, value_and_divergence
from tfcnf.ode.dynamics import ConvDynamics, DenseDynamics, Dynamics
from tfcnf.ode.fields import LayerField

T = tf.constant(0.3, tf.float64)


class Swirl(Dynamics):
    """A user's own dynamics: only `call` and weights."""

    def build(self, shape):
        self.matrix = self.add_weight(
            shape=(shape[-1], shape[-1]), initializer="orthogonal", name="matrix"
        )
        self.built = True

    def call(self, t, z):
        return tf.tanh(tf.matmul(z, self.matrix.value)) * tf.cos(t)


def make(kind, **options):
    """Dynamics of a kind, built, with a state for it."""
    keras.utils.set_random_seed(0)
    shape = (3, 4, 4, 2) if kind == "conv" else (3, 5)
    classes = {"conv": ConvDynamics, "dense": DenseDynamics, "own": Swirl}
    if kind != "own":
        options = {"hidden": (7, 6), "init": "uniform"} | options
    dynamics = classes[kind](dtype="float64", **options)
    dynamics.build((None, *shape[1:]))
    return dynamics, tf.constant(np.random.default_rng(1).normal(size=shape))


CASES = [
    ("conv", {}),
    ("conv", {"activation": "tanh"}),
    ("conv", {"activation": "elu"}),
    ("conv", {"time": "concatsquash"}),
    ("dense", {}),
    ("dense", {"time": "concatsquash", "activation": "tanh"}),
    ("own", {}),
]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_jvp_equals_forward_mode_autodiff(kind, options):
    dynamics, z = make(kind, **options)
    field, theta = dynamics.prepare()
    probes = tf.random.stateless_normal((2, *z.shape), [1, 2], dtype=tf.float64)
    value, tangents = field.jvp(theta, T, z, probes)
    for i in range(2):
        with tf.autodiff.ForwardAccumulator(z, probes[i]) as forward:
            expected = dynamics(T, z)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(tangents[i], forward.jvp(expected), rtol=1e-9)


def test_time_is_the_first_channel_of_every_convolution():
    dynamics, z = make("conv", hidden=(7,))
    h = z
    for i, layer in enumerate(dynamics.stack):
        time = tf.fill([*h.shape[:-1], 1], T)
        h = tf.nn.conv2d(tf.concat([time, h], -1), layer["kernel"].value, 1, "SAME")
        h += layer["bias"].value
        h = tf.nn.softplus(h) if i == 0 else h
    np.testing.assert_allclose(dynamics(T, z), h, rtol=1e-12)


def test_concatsquash_formula():
    dynamics, z = make("dense", time="concatsquash", hidden=())
    (layer,) = dynamics.stack
    linear = z.numpy() @ layer["kernel"].numpy() + layer["bias"].numpy()
    gate_input = 0.3 * layer["gate_kernel"].numpy() + layer["gate_bias"].numpy()
    expected = linear / (1 + np.exp(-gate_input)) + 0.3 * layer["time_kernel"].numpy()
    np.testing.assert_allclose(dynamics(T, z), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_uniform_init_is_the_references(kind):
    dynamics, _ = make(kind, hidden=(64, 64))
    window = 9 if kind == "conv" else 1
    channels = 2 if kind == "conv" else 5
    for layer, n_in in zip(dynamics.stack, (channels, 64, 64), strict=True):
        bound = (window * (n_in + 1)) ** -0.5
        largest = np.abs(layer["kernel"].numpy()).max()
        assert 0.9 * bound < largest <= bound
        assert np.abs(layer["bias"].numpy()).max() <= bound


def test_zero_output_starts_as_the_identity():
    dynamics, z = make("conv", init="zero_output")
    assert not dynamics(T, z).numpy().any()
    assert dynamics.stack[0]["kernel"].numpy().any()


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_exact_divergence_is_the_trace_of_the_jacobian(kind, options):
    dynamics, z = make(kind, **options)
    field, theta = dynamics.prepare()
    probes = Exact().draw(z, [0, 0])
    _, divergence = value_and_divergence(field, theta, T, z, probes)
    with tf.GradientTape() as tape:
        tape.watch(z)
        dz = dynamics(T, z)
    dims = z[0].shape.num_elements()
    jacobian = tf.reshape(tape.batch_jacobian(dz, z), [-1, dims, dims])
    np.testing.assert_allclose(divergence, tf.linalg.trace(jacobian), rtol=1e-9)


@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_hutchinson_estimate_is_unbiased(noise):
    dynamics, z = make("dense")
    field, theta = dynamics.prepare()
    exact = Exact().draw(z, [0, 0])
    _, expected = value_and_divergence(field, theta, T, z, exact)
    probes = Hutchinson(1000, noise).draw(z, [7, 0]).directions
    _, tangents = field.jvp(theta, T, z, probes)
    draws = np.sum(probes * tangents, -1)
    error = np.mean(draws, 0) - expected.numpy()
    standard_error = np.std(draws, 0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(error) < 3 * standard_error).all()
    assert (standard_error > 0).all()


def test_more_probes_are_averaged():
    dynamics, z = make("dense")
    field, theta = dynamics.prepare()
    probes = Hutchinson(4, "gaussian").draw(z, [3, 4])
    _, together = value_and_divergence(field, theta, T, z, probes)
    single = [
        value_and_divergence(
            field, theta, T, z, probes._replace(directions=d[None], weight=1.0)
        )[1]
        for d in probes.directions
    ]
    np.testing.assert_allclose(together, np.mean(single, 0), rtol=1e-12)


def test_unknown_choices_are_named():
    for options in ({"activation": "relu6"}, {"time": "none"}, {"init": "x"}):
        with pytest.raises(ValueError, match=r"must be one of .* Received: "):
            ConvDynamics(**options)
    with pytest.raises(ValueError, match="hidden must be positive"):
        ConvDynamics(hidden=(0,))


def test_own_dynamics_use_the_general_field():
    dynamics, _ = make("own")
    assert isinstance(dynamics.prepare()[0], LayerField)


@pytest.mark.parametrize(
    ("shape", "hidden", "directions"),
    [((8, 8, 2), (3,), 9 * 2), ((9, 7, 1), (3, 3), 16), ((2, 6, 1), (3,), 2 * 3)],
)
def test_pixels_out_of_reach_share_a_direction(shape, hidden, directions):
    dynamics = ConvDynamics(hidden, seed=0, dtype="float64")
    dynamics.build((None, *shape))
    field, theta = dynamics.prepare()
    z = tf.constant(np.random.default_rng(0).normal(size=(3, *shape)))
    few = Exact().draw(z, [0, 0], dynamics.reach)
    assert few.directions.shape[0] == directions
    np.testing.assert_array_equal(tf.reduce_sum(few.directions, 0), tf.ones_like(z))
    all_units = Exact().draw(z, [0, 0])
    assert all_units.directions.shape[0] == np.prod(shape)
    _, expected = value_and_divergence(field, theta, T, z, all_units)
    _, found = value_and_divergence(field, theta, T, z, few)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # one pixel less of reach would not do
    wrong = Exact().draw(z, [0, 0], dynamics.reach - 1)
    _, found = value_and_divergence(field, theta, T, z, wrong)
    assert np.abs(found - expected).max() > 1e-6


def test_no_directions_no_divergence():
    for kind in ("conv", "own"):
        dynamics, z = make(kind)
        field, theta = dynamics.prepare()
        probes = NoTrace().draw(z, [0, 0])
        dz, divergence = value_and_divergence(field, theta, T, z, probes)
        np.testing.assert_allclose(dz, field.value(theta, T, z), rtol=1e-12)
        assert divergence.shape == (len(z),)
        assert not divergence.numpy().any()


@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_shared_probes_are_the_same_for_every_example(noise):
    z = tf.zeros([4, 6])
    probes = Hutchinson(3, noise).draw(z, [1, 2], share=True).directions.numpy()
    assert probes.shape == (3, 4, 6)
    assert (probes == probes[:, :1]).all()
    alone = Hutchinson(3, noise).draw(z[:1], [1, 2]).directions
    np.testing.assert_array_equal(probes[:, :1], alone)
    own = Hutchinson(3, noise).draw(z, [1, 2]).directions.numpy()
    assert (own != own[:, :1]).any()
