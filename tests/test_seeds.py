import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf import InfoCNF, seeds
from tfcnf.ode.trace import Hutchinson
from tfcnf.seeds import next_int, next_seed, shared_seed

DRAWS = [seeds.uniform, seeds.normal, seeds.signs]
SEED = tf.constant([3, 4])


def test_replicas_draw_their_own_noise_and_share_decisions(mirrored):
    with mirrored.scope():
        generator = keras.random.SeedGenerator(0)

    @tf.function
    def draw():
        return mirrored.run(lambda: (next_seed(generator), shared_seed(generator)))

    own, shared = (mirrored.experimental_local_results(x) for x in draw())
    assert len(own) == 2
    assert (own[0].numpy() != own[1].numpy()).any()
    np.testing.assert_array_equal(*shared)


def build():
    InfoCNF((2,), 2, filters=2, hidden_layers=1, flows_per_block=1, seed=0)


def build_in_a_graph():
    with tf.Graph().as_default():
        build()


@pytest.mark.parametrize("start", [build_in_a_graph, tf.function(build)])
def test_models_are_not_built_in_graphs(start):
    with pytest.raises(ValueError, match=r"are built outside of .* Received: "):
        start()


def test_integers_differ_and_repeat_with_the_seed():
    def draw():
        generator = keras.random.SeedGenerator(3)
        return [next_int(generator) for _ in range(20)]

    first = draw()
    assert len(set(first)) == 20
    assert first == draw()


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_is_the_same_eagerly_in_a_graph_and_compiled(draw, dtype):
    eager = draw([500, 7], SEED, dtype)
    for compiled in (False, True):
        graph = tf.function(lambda s: draw([500, 7], s, dtype), jit_compile=compiled)
        np.testing.assert_array_equal(graph(SEED), eager)


def test_seeds_and_dropout_do_not_depend_on_the_compiler():
    x = tf.constant(np.random.default_rng(0).normal(size=(40, 3)), tf.float32)

    def both(seed):
        part = seeds.fold_in(seed, 5)
        return part, seeds.dropout(x, 0.3, part)

    part, dropped = both(SEED)
    for found, expected in zip(
        tf.function(both, jit_compile=True)(SEED), (part, dropped), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    expected = tf.random.experimental.stateless_fold_in(SEED, 5)
    np.testing.assert_array_equal(part, expected)
    expected = tf.nn.experimental.stateless_dropout(x, 0.3, part)
    np.testing.assert_array_equal(dropped, expected)


@pytest.mark.parametrize("shape", [[5, 3], [7], [4, 2, 2], [0, 3], []])
def test_noise_without_xla_is_that_of_tensorflow(shape):
    expected = tf.random.stateless_uniform(shape, SEED)
    np.testing.assert_array_equal(seeds.uniform(shape, SEED), expected)
    bits = tf.random.stateless_uniform(shape, SEED, 0, 2, tf.int32)
    np.testing.assert_array_equal(seeds.signs(shape, SEED), 2 * bits - 1)
    expected = tf.random.stateless_normal(shape, SEED)
    np.testing.assert_allclose(seeds.normal(shape, SEED), expected, rtol=3e-7)
    one = tf.random.stateless_normal([], SEED)
    np.testing.assert_array_equal(seeds.kernel_normal(SEED, "float32"), one)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("event", [[], [3], [8]])
def test_a_part_of_a_draw_is_that_part(draw, event):
    whole = draw([23, *event], SEED).numpy()
    for start, stop in [(0, 5), (5, 12), (22, 23), (23, 23)]:
        part = draw([stop - start, *event], SEED, first=tf.constant(start))
        np.testing.assert_array_equal(part, whole[start:stop])


@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_probes_of_a_part_of_a_batch_are_those_of_the_whole(noise):
    z = tf.zeros([7, 3])
    whole = Hutchinson(2, noise).draw(z, SEED).directions
    part = Hutchinson(2, noise).draw(z[4:6], SEED, rows=tf.constant([4, 7]))
    np.testing.assert_array_equal(part.directions, whole[:, 4:6])
