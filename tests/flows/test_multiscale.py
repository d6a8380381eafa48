import math

import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CCNF, CNF, InfoCNF
from tfcnf.flows.base import FlowLayer, unsolved
from tfcnf.flows.multiscale import build_multiscale, default_num_scales
from tfcnf.flows.reshape import Squeeze


class Scale(FlowLayer):
    """z = factor * x, to see which path a value takes."""

    num_solves = 1

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def compute_output_shape(self, shape):
        return shape

    def call(self, x, inverse=False, control=None):
        out = unsolved(x / self.factor if inverse else x * self.factor)
        one = tf.ones([1])
        return out._replace(nfe=one * self.factor, tolerance=one, log_pi=one)


@pytest.mark.parametrize(
    ("shape", "scales"),
    [
        ((32, 32, 3), 4),
        ((28, 28, 1), 3),
        ((8, 8, 1), 2),
        ((4, 4, 1), 1),
        ((3, 9, 1), 1),
    ],
)
def test_default_number_of_scales(shape, scales):
    assert default_num_scales(shape) == scales


@pytest.mark.parametrize(
    ("shape", "channels", "sizes"),
    [
        (
            (32, 32, 3),
            [3, 3, 12, 12, 6, 6, 24, 24, 12, 12, 48, 48, 24, 24],
            [1536, 768, 384, 384],
        ),
        ((28, 28, 1), [1, 1, 4, 4, 2, 2, 8, 8, 4, 4], [392, 196, 196]),
    ],
)
def test_channels_and_code_sizes_of_the_papers_networks(shape, channels, sizes):
    model = CNF(shape, seed=0)
    multiscale = model.flow.layers[1]
    seen = [
        layer.dynamics.state_shape[-1]
        for scale in multiscale.scales
        for layer in scale.layers
        if layer.num_solves
    ]
    assert seen == channels
    assert [math.prod(part) for part in multiscale.part_shapes] == sizes


# the reference's counts, with what it counts and we do not have: one untrained end
# time a CNF, and, with heads, an unused constant of 2C for a code of C dimensions
@pytest.mark.parametrize(
    ("model", "shape", "reference", "num_cnf", "code"),
    [
        (CNF, (32, 32, 3), 1_358_882, 14, 0),
        (CCNF, (32, 32, 3), 1_469_494, 14, 3072),
        (InfoCNF, (32, 32, 3), 1_414_198, 14, 1536),
        (CNF, (28, 28, 1), 800_646, 10, 0),
        (CCNF, (28, 28, 1), 828_890, 10, 784),
        (InfoCNF, (28, 28, 1), 814_778, 10, 392),
    ],
)
def test_parameter_counts_are_the_references(model, shape, reference, num_cnf, code):
    built = model(shape, seed=0)
    trainable = sum(math.prod(v.shape) for v in built.trainable_variables)
    assert trainable == reference - num_cnf - 2 * code


def test_code_order_and_path_of_each_half():
    factors = iter([2.0, 3.0, 5.0])
    flow = build_multiscale((8, 8, 1), lambda: Scale(next(factors)), 2, 1)
    flow.build()
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 8, 1)), tf.float32)
    out = flow(x)
    # squeezed channels 0, 1 continue to the second scale; 2, 3 are factored out first
    patches = [x[:, dy::2, dx::2, 0] for dy in (0, 1) for dx in (0, 1)]
    flat = [tf.reshape(patch, [2, -1]) for patch in patches]
    expected = [6 * flat[2], 6 * flat[3], 30 * flat[0], 30 * flat[1]]
    np.testing.assert_allclose(out.z, tf.concat(expected, 1), rtol=1e-6)
    np.testing.assert_array_equal(out.nfe, [2.0, 3.0, 5.0])
    back = flow(out.z, inverse=True)
    np.testing.assert_allclose(back.z, x, rtol=1e-5)
    np.testing.assert_array_equal(back.nfe, [2.0, 3.0, 5.0])


def test_deeper_scales_do_not_move_the_first_factored_code():
    codes = []
    for deeper in (1.0, 7.0):
        factors = iter([2.0, 3.0, deeper])
        flow = build_multiscale((8, 8, 1), lambda f=factors: Scale(next(f)), 2, 1)
        flow.build()
        x = tf.ones([1, 8, 8, 1])
        codes.append(flow(x).z.numpy())
    np.testing.assert_array_equal(codes[0][:, :32], codes[1][:, :32])
    assert (codes[0][:, 32:] != codes[1][:, 32:]).all()


def test_squeeze_first_is_the_flow_of_the_squeezed_image():
    squeezed, flow = [
        build_multiscale(shape, lambda f=factors: Scale(next(f)), 2, 1, first)
        for shape, first in [((4, 4, 4), False), ((8, 8, 1), True)]
        for factors in [iter([2.0, 3.0, 5.0])]
    ]
    squeezed.build()
    flow.build()
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 8, 1)), tf.float32)
    out, inner = flow(x), squeezed(Squeeze()(x).z)
    np.testing.assert_array_equal(out.z, inner.z)
    np.testing.assert_array_equal(out.log_det, inner.log_det)
    np.testing.assert_allclose(flow(out.z, inverse=True).z, x, rtol=1e-5)
    assert (
        len(build_multiscale((28, 28, 1), lambda: Scale(2.0), None, 1, True).scales)
        == 2
    )


def test_a_model_squeezes_first_on_request():
    small = {"filters": 2, "hidden_layers": 1, "num_scales": 1, "flows_per_block": 1}
    model = CNF((8, 8, 1), squeeze_first=True, **small)
    channels = 4 + 1  # of the squeezed image, and time
    assert model.trainable_variables[0].shape == (3, 3, channels, 2)
    assert model.trainable_variables[-1].shape == (4,)
