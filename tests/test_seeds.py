import keras
import numpy as np
import tensorflow as tf

from tfcnf.seeds import next_int, next_seed, shared_seed


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


def test_integers_differ_and_repeat_with_the_seed():
    def draw():
        generator = keras.random.SeedGenerator(3)
        return [next_int(generator) for _ in range(20)]

    first = draw()
    assert len(set(first)) == 20
    assert first == draw()
