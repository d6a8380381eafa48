"""Properties of every flow layer over shapes, scales, blocks and fractions."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcnf.flows.base import Chain
from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.dequantize import LINKS, Dequantize
from tfcnf.flows.multiscale import build_multiscale, default_num_scales
from tfcnf.flows.reshape import Squeeze, flatten_code, split_channels, unflatten_code
from tfcnf.latent.partition import Partition
from tfcnf.models.infocnf import InfoCNF
from tfcnf.ode.dynamics import ConvDynamics, DenseDynamics
from tfcnf.tolerances.fixed import FixedTolerance

TOL = 1e-7
MANY = settings(max_examples=40, derandomize=True, deadline=None)
FEW = settings(max_examples=3, derandomize=True, deadline=None)  # each one is traced

SIDES = st.integers(1, 4).map(lambda n: 2 * n)
CHANNELS = st.integers(1, 3)
IMAGES = st.tuples(SIDES, SIDES, CHANNELS)
BATCHES = st.integers(1, 3)
SEEDS = st.integers(0, 2**16)


@st.composite
def multiscale_shapes(draw):
    """(H, W, C), scales and blocks of a multiscale flow."""
    scales = draw(st.integers(1, 3))
    factor = 2 ** (scales - 1)
    sides = [factor * draw(st.integers(1, 2)) for _ in range(2)]
    return (*sides, draw(st.integers(1, 2))), scales, draw(st.integers(1, 2))


def make_cnf(dynamics=ConvDynamics):
    return CNFLayer(
        dynamics((3,), seed=1, dtype="float64"),
        FixedTolerance(TOL, dtype="float64"),
        seed=2,
        dtype="float64",
    )


def normal(shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def check_contract(layer, x, atol):
    """Shapes of the record; the inverse undoes value and log-determinant."""
    layer.build((None, *x.shape[1:]))
    out = layer(x)
    assert tuple(out.z.shape) == tuple(layer.compute_output_shape(x.shape))
    assert out.z.shape.num_elements() == x.shape.num_elements()
    assert out.log_det.shape == x.shape[:1]
    for field in (out.nfe, out.tolerance, out.log_pi):
        assert field.shape == (layer.num_solves,)
    assert len(layer.policies) == layer.num_solves
    back = layer(out.z, inverse=True)
    np.testing.assert_allclose(back.z, x, atol=atol)
    assert back.log_det.shape == x.shape[:1]
    return out, back


@given(IMAGES, BATCHES, SEEDS)
@MANY
def test_squeeze_only_moves_values(shape, batch, seed):
    x = normal((batch, *shape), seed)
    out, _ = check_contract(Squeeze(dtype="float64"), x, 0)
    assert not out.log_det.numpy().any()
    np.testing.assert_array_equal(np.sort(out.z, None), np.sort(x, None))


@given(st.tuples(SIDES, SIDES, CHANNELS.map(lambda c: 2 * c)), BATCHES, SEEDS)
@MANY
def test_split_and_flatten_lose_nothing(shape, batch, seed):
    x = normal((batch, *shape), seed)
    continued, factored = split_channels(x)
    np.testing.assert_array_equal(tf.concat([continued, factored], -1), x)
    code = flatten_code(x)
    assert code.shape == (batch, math.prod(shape))
    np.testing.assert_array_equal(unflatten_code(code, shape), x)


@given(
    IMAGES,
    BATCHES,
    st.integers(2, 256),
    st.floats(1e-6, 0.3),
    st.sampled_from(LINKS),
    SEEDS,
)
@MANY
def test_dequantize_keeps_levels(shape, batch, levels, alpha, link, seed):
    layer = Dequantize(levels, alpha, seed=0, link=link, dtype="float64")
    x = np.random.default_rng(seed).integers(0, levels, (batch, *shape), np.int32)
    out = layer(tf.constant(x))
    u = layer(out.z, inverse=True)
    # float32 noise may round up to the next level
    np.testing.assert_allclose(u.z.numpy() * levels - x, 0.5, atol=0.5 + 1e-4)
    np.testing.assert_allclose(u.log_det, -out.log_det, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 4), BATCHES, st.integers(1, 3), SEEDS)
@FEW
def test_chains_of_vectors(dims, batch, blocks, seed):
    chain = Chain([make_cnf(DenseDynamics) for _ in range(blocks)])
    out, _ = check_contract(chain, normal((batch, dims), seed), 1e-4)
    assert chain.num_solves == blocks
    assert (out.nfe.numpy() >= 8).all()


@given(IMAGES, BATCHES, SEEDS)
@FEW
def test_a_cnf_of_images(shape, batch, seed):
    check_contract(make_cnf(), normal((batch, *shape), seed), 1e-4)


@given(multiscale_shapes(), BATCHES, SEEDS)
@FEW
def test_multiscale_flows(architecture, batch, seed):
    shape, scales, blocks = architecture
    flow = build_multiscale(shape, make_cnf, scales, blocks)
    check_contract(flow, normal((batch, *shape), seed), 1e-3)
    assert flow.num_solves == blocks * (2 * scales - 1)
    assert sum(map(math.prod, flow.part_shapes)) == math.prod(shape)


@given(st.tuples(st.integers(1, 64), st.integers(1, 64)))
@MANY
def test_the_default_scales_can_be_built(sides):
    scales = default_num_scales((*sides, 1))
    assert scales >= 1
    assert not any(side % 2 ** (scales - 1) for side in sides)
    if scales > 1:  # the last scale has sides of 4 at least
        assert min(sides) // 2 ** (scales - 1) >= 4


@given(st.integers(1, 200), st.floats(0, 1), st.integers(1, 4))
@MANY
def test_partitions_have_all_dimensions(dims, fraction, factors):
    if fraction > 0 and int(fraction * dims / factors) < 1:
        with pytest.raises(ValueError, match="supervised_fraction leaves no dimension"):
            Partition.from_fraction(dims, fraction, factors)
        return
    partition = Partition.from_fraction(dims, fraction, factors)
    assert sum(partition.supervised) + partition.unsupervised == dims
    assert len(partition.supervised) == (factors if fraction else 0)
    z = normal((2, dims), dims)
    np.testing.assert_array_equal(partition.merge(*partition.split(z)), z)


@given(multiscale_shapes(), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(1, 2))
@FEW
def test_models_of_every_shape_and_fraction(architecture, fraction, factors):
    (height, width, channels), scales, blocks = architecture
    shape = (height, width, 2 * channels)
    if fraction and fraction * math.prod(shape) < factors:
        fraction = 1.0
    model = InfoCNF(
        shape,
        (3,) * factors,
        supervised_fraction=fraction,
        num_levels=4,
        num_scales=scales,
        flows_per_block=blocks,
        filters=2,
        hidden_layers=1,
        alpha=0.05,
        tol=1e-2,
        seed=0,
    )
    x = np.random.default_rng(0).integers(0, 4, (2, *shape), np.int32)
    y = np.zeros([2, factors], np.int32)
    log_prob = model.log_prob(x, y).numpy()
    assert log_prob.shape == (2,)
    assert np.isfinite(log_prob).all()
    assert model.encode(x).shape == (2, math.prod(shape))
    assert model.is_supervised == (fraction > 0)
