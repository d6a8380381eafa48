"""Every flow layer keeps the contract of `FlowLayer`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfcnf.data.columns import Column
from tfcnf.flows.base import Chain
from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.columns import Columns
from tfcnf.flows.dequantize import LINKS, Dequantize
from tfcnf.flows.multiscale import MultiscaleFlow, build_multiscale
from tfcnf.flows.reshape import Squeeze
from tfcnf.flows.whitening import Whitening
from tfcnf.ode.dynamics import ConvDynamics, DenseDynamics
from tfcnf.tolerances.fixed import FixedTolerance
from tfcnf.types import Control, On

IMAGE, VECTOR = (4, 4, 1), (3,)


def cnf(dynamics=ConvDynamics, **options):
    return CNFLayer(
        dynamics((5,), seed=1, dtype="float64"),
        FixedTolerance(1e-9, dtype="float64"),
        trace="exact",
        seed=2,
        dtype="float64",
        **options,
    )


# name -> (layer, shape of x, image in [0, 1]?)
LAYERS = {
    "dequantize": (lambda: Dequantize(17, 0.05, dtype="float64"), IMAGE, True),
    "dequantize, probit": (
        lambda: Dequantize(17, 0.05, link="probit", dtype="float64"),
        IMAGE,
        True,
    ),
    "columns": (
        lambda: Columns(
            ["a", Column("b", low=-9.0, scale=2.0), Column("c", low=-9.0, high=9.0)],
            dtype="float64",
        ),
        VECTOR,
        False,
    ),
    "whitening": (
        lambda: Whitening([0.5, 1.0, -2.0], 0.1 * np.eye(3) + 0.5, dtype="float64"),
        VECTOR,
        False,
    ),
    "squeeze": (lambda: Squeeze(dtype="float64"), IMAGE, False),
    "cnf, images": (cnf, IMAGE, False),
    "cnf, vectors": (lambda: cnf(DenseDynamics), VECTOR, False),
    "chain": (lambda: Chain([cnf(), Squeeze(dtype="float64")]), IMAGE, False),
    "multiscale": (lambda: build_multiscale(IMAGE, cnf, 2, 1), IMAGE, False),
}


@pytest.fixture(scope="module", params=LAYERS)
def layer_and_x(request):
    make, shape, unit = LAYERS[request.param]
    layer = make()
    if not layer.built:
        layer.build((None, *shape))
    rng = np.random.default_rng(0)
    x = rng.random((2, *shape)) if unit else rng.normal(size=(2, *shape))
    return layer, tf.constant(x)


def test_inverse_undoes_forward(layer_and_x):
    layer, x = layer_and_x
    out = layer(x)
    back = layer(out.z, inverse=True)
    np.testing.assert_allclose(back.z, x, atol=1e-7)
    np.testing.assert_allclose(back.log_det, -out.log_det, atol=1e-6)


def test_log_det_is_that_of_the_autodiff_jacobian(layer_and_x):
    layer, x = layer_and_x
    dims = x[0].shape.num_elements()
    copies = tf.repeat(x[:1], dims, axis=0)  # copy i gives row i of the Jacobian
    with tf.GradientTape() as tape:
        tape.watch(copies)
        z = tf.reshape(layer(copies).z, [dims, dims])
        diagonal = tf.reduce_sum(tf.linalg.diag_part(z))
    jacobian = tf.reshape(tape.gradient(diagonal, copies), [dims, dims])
    _, expected = np.linalg.slogdet(jacobian.numpy())
    np.testing.assert_allclose(layer(x).log_det[0], expected, atol=1e-6)


def test_the_record_has_its_shapes(layer_and_x):
    layer, x = layer_and_x
    out = layer(x)
    assert out.log_det.shape == (2,)
    assert tuple(out.z.shape) == tuple(layer.compute_output_shape(x.shape))
    for field in (out.nfe, out.tolerance, out.log_pi):
        assert field.shape == (layer.num_solves,)
    assert (out.nfe.numpy() >= 8).all()
    assert (out.tolerance.numpy() == 1e-9).all()
    assert not out.log_pi.numpy().any()


def test_config_rebuilds_the_same_function(layer_and_x):
    layer, x = layer_and_x
    twin = type(layer).from_config(layer.get_config())
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin(x).z, layer(x).z)


def test_control_overrides_tolerance_and_counts_backward():
    layer = build_multiscale(IMAGE, cnf, 2, 1)
    layer.build()
    x = tf.constant(np.random.default_rng(1).normal(size=(2, *IMAGE)))
    tols = tf.constant([1e-3, 1e-5, 1e-7], tf.float64)
    probe = tf.zeros([3], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(probe)
        out = layer(x, control=Control(tol=tols, nfe_backward_probe=probe))
        value = tf.reduce_sum(out.z**2) + tf.reduce_sum(out.log_det)
    np.testing.assert_array_equal(out.tolerance, tols)
    assert list(out.nfe) == sorted(out.nfe)
    assert float(out.nfe[0]) < float(out.nfe[2])
    backward = tape.gradient(value, probe).numpy()
    assert ((backward - 1) % 6 == 0).all()
    assert (backward >= 7).all()


def test_switches_of_a_control(layer_and_x):
    layer, x = layer_and_x
    skipped = layer(x, control=Control(skip_log_det=On()))
    out = layer(x)
    np.testing.assert_allclose(skipped.z, out.z, atol=1e-7)
    if isinstance(layer, CNFLayer):
        assert not skipped.log_det.numpy().any()
        rough = CNFLayer(layer.dynamics, layer.policy, seed=3, dtype="float64")
        rough.build(x.shape)
        exact = rough(x, control=Control(exact=On()))
        np.testing.assert_allclose(exact.log_det, out.log_det, atol=1e-8)
        assert np.abs(rough(x).log_det - out.log_det).max() > 1e-3


def test_shared_noise_is_the_same_for_every_example():
    flow = Chain([Dequantize(17, 0.05), CNFLayer(ConvDynamics((3,), seed=1))])
    flow.build((None, *IMAGE))
    x = tf.repeat(np.arange(16, dtype=np.uint8).reshape(1, *IMAGE), 3, 0)
    control = Control(seed=tf.constant([0, 1]), share_noise=On())
    out = flow(x, control=control)
    for value in (out.z.numpy(), out.log_det.numpy()):
        np.testing.assert_allclose(value, np.repeat(value[:1], 3, 0), rtol=1e-5)
    own = flow(x, control=Control(seed=tf.constant([0, 1]))).log_det.numpy()
    assert abs(own[1] - own[0]) > 1e-2


def test_a_seed_fixes_the_noise_and_its_absence_draws_anew():
    layer = CNFLayer(
        DenseDynamics((5,), seed=1), trace="hutchinson:noise=gaussian", seed=3
    )
    layer.build((None, *VECTOR))
    x = tf.ones((4, *VECTOR))
    fixed = [layer(x, control=Control(seed=tf.constant([1, 2]))) for _ in range(2)]
    np.testing.assert_array_equal(fixed[0].log_det, fixed[1].log_det)
    drawn = [layer(x).log_det.numpy() for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()
    np.testing.assert_array_equal(fixed[0].z, layer(x).z)  # z needs no noise


def test_layers_of_a_flow_draw_different_noise():
    chain = Chain([CNFLayer(DenseDynamics((5,), seed=1)) for _ in range(2)])
    parts = [Control(seed=tf.constant([0, 0])).part(i, 1).seed for i in range(2)]
    assert chain.num_solves == 2
    assert list(parts[0]) != list(parts[1])


@pytest.mark.parametrize("link", LINKS)
def test_dequantized_levels_fill_their_cells(link):
    layer = Dequantize(num_levels=17, alpha=0.05, link=link)
    x = np.arange(17, dtype=np.uint8).reshape(17, 1, 1, 1).repeat(50, 1)
    u = layer(layer(x).z, inverse=True).z.numpy()
    cells = u * 17 - x
    assert (cells > -1e-4).all()
    assert (cells < 1 + 1e-4).all()
    assert cells.std() == pytest.approx(12**-0.5, rel=0.1)


def test_squeeze_channel_order_is_channel_row_column():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    z = Squeeze()(x).z.numpy()
    for c, dy, dx in np.ndindex(3, 2, 2):
        np.testing.assert_array_equal(
            z[..., 4 * c + 2 * dy + dx], x[:, dy::2, dx::2, c]
        )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CNFLayer(DenseDynamics((3,)), trace="full"), "trace must be one of"),
        (lambda: CNFLayer(DenseDynamics((3,)), trace="hutchinson:probes=0"), "probes"),
        (lambda: CNFLayer(DenseDynamics((3,)), adjoint_tol=-1.0), "adjoint_tol"),
        (lambda: CNFLayer(DenseDynamics((3,)), 1e-3), "policy must be a Tolerance"),
        (lambda: FixedTolerance(0.0), "tol must be positive"),
        (lambda: FixedTolerance("small"), "tol must be a number"),
        (lambda: Dequantize(alpha=0.5), "alpha"),
        (lambda: Dequantize(num_levels=1), "num_levels"),
        (lambda: Dequantize(link="log"), "link must be one of logit, probit"),
        (lambda: Squeeze()(tf.zeros([1, 3, 4, 1])), "even height and width"),
        (lambda: build_multiscale((6, 6, 1), cnf, 3), "divisible by 4"),
        (lambda: build_multiscale((6, 6, 1), cnf, 2, 1, True), "first squeeze .* by 4"),
        (lambda: build_multiscale((8, 8, 1), cnf, 1, 0), "flows_per_block"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=rf"{words}[\s\S]*Received: "):
        make()


def test_multiscale_is_serializable_by_keras():
    flow = build_multiscale(IMAGE, cnf, 2, 1)
    config = keras.saving.serialize_keras_object(flow)
    assert isinstance(keras.saving.deserialize_keras_object(config), MultiscaleFlow)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_the_ends_of_the_grey_scale_are_as_precise_as_the_middle(alpha, link):
    u = np.float32([0, 1e-7, 1e-3, 0.02, 0.5, 0.9, 0.99, 0.999, 1 - 6e-8, 1])
    u = u.reshape(10, 1, 1, 1)
    found = Dequantize(17, alpha, link=link)(u)
    exact = Dequantize(17, alpha, link=link, dtype="float64")(tf.cast(u, tf.float64))
    # the closed form, from u and 1 - u in float64
    wide = u.astype(np.float64)
    s, rest = (alpha + (1 - 2 * alpha) * part for part in (wide, 1 - wide))
    if link == "logit":
        z, log_slope = np.log(s) - np.log(rest), -np.log(s) - np.log(rest)
    else:
        z = np.where(s < rest, stats.norm.ppf(s), stats.norm.isf(rest))
        log_slope = -stats.norm.logpdf(z)
    np.testing.assert_allclose(exact.z, z, rtol=1e-9)
    np.testing.assert_allclose(found.z, exact.z, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(found.log_det, exact.log_det, rtol=1e-5)
    log_det = np.log1p(-2 * alpha) + log_slope
    np.testing.assert_allclose(exact.log_det, log_det.ravel(), rtol=1e-9)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.4])
def test_whatever_is_decoded_can_be_encoded(alpha, dtype, link):
    layer = Dequantize(17, alpha, link=link, dtype=dtype)
    y = tf.constant(np.linspace(-90, 90, 181).reshape(-1, 1, 1, 1), dtype)
    u = layer(y, inverse=True).z
    assert layer.inside(u).numpy().all()
    out = layer(u)
    assert np.isfinite(out.z).all()
    assert np.isfinite(out.log_det).all()
    margin = alpha / (1 - 2 * alpha)
    np.testing.assert_allclose(
        [u[0], u[-1]], np.reshape([-margin, 1 + margin], u[:2].shape), rtol=1e-6
    )
    beyond = tf.constant([-margin, 1 + margin, np.nan, np.inf], dtype) * 1.001
    assert not layer.inside(beyond[:, None, None, None]).numpy().any()
