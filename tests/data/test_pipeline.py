import dataclasses

import numpy as np
import pytest

from tfcnf.data.pipeline import (
    Share,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from tfcnf.data.source import DataSource, Split

COUNT = 23


def numbered(flip=False):
    """Images whose pixels tell the example, the row, the column and the channel."""
    index = np.arange(COUNT)[:, None, None, None] * 24
    place = np.arange(24).reshape(1, 3, 4, 2)
    split = Split((index + place).astype(np.int32), np.arange(COUNT)[:, None] % 5)
    return DataSource("numbered", split, split, (5,), COUNT * 24, flip)


def epoch_of(source, batch_size=4, seed=0, epoch=0):
    return list(
        training_batches(source, batch_size, seed=seed, epoch=epoch).as_numpy_iterator()
    )


def examples(batches):
    """The number of each example, in the order of the epoch."""
    return np.concatenate([x.min(axis=(1, 2, 3)) // 24 for x, _ in batches])


def test_order_is_determined_by_seed_and_epoch():
    first, second = epoch_of(numbered(True), 4, 3, 5), epoch_of(numbered(True), 4, 3, 5)
    assert len(first) == len(second) == 5
    for (x1, y1), (x2, y2) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x1, x2)
        np.testing.assert_array_equal(y1, y2)


def test_order_differs_between_epochs_and_between_seeds():
    source = numbered()
    orders = {
        tuple(examples(epoch_of(source, 4, seed, epoch)))
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    }
    assert len(orders) == 6
    assert tuple(range(20)) not in orders


def test_an_epoch_has_each_example_at_most_once_in_full_batches():
    for epoch in range(3):
        batches = epoch_of(numbered(), 4, 0, epoch)
        assert [x.shape for x, _ in batches] == [(4, 3, 4, 2)] * 5
        assert [y.shape for _, y in batches] == [(4, 1)] * 5
        assert len(set(examples(batches))) == 20


def test_every_example_is_left_out_only_now_and_then():
    left_out = [
        set(range(COUNT)) - set(examples(epoch_of(numbered(), 4, 0, epoch)))
        for epoch in range(5)
    ]
    assert all(len(few) == 3 for few in left_out)
    assert not set.intersection(*left_out)


def test_labels_and_pixels_belong_together():
    source = numbered()
    for x, y in epoch_of(source):
        chosen = x.min(axis=(1, 2, 3)) // 24
        np.testing.assert_array_equal(x, source.train.x[chosen])
        np.testing.assert_array_equal(y, source.train.y[chosen])


def test_a_later_first_step_leaves_out_the_steps_before():
    whole = epoch_of(numbered(True), 4, 3, 5)
    rest = training_batches(numbered(True), 4, seed=3, epoch=5, first_step=2)
    for (x, y), (x2, y2) in zip(whole[2:], rest.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_shares_of_all_workers_are_the_batch(workers):
    source, count = numbered(flip=True), 4 // workers
    shares = [Share(4, i * count, count) for i in range(workers)]
    given = [
        list(
            training_batches(
                source, 8, seed=1, epoch=2, first_step=1, share=share
            ).as_numpy_iterator()
        )
        for share in shares
    ]
    whole = epoch_of(source, 8, 1, 2)[1:]
    for step, (x, y) in enumerate(whole):
        parts = [p for g in given for p in g[step * count : (step + 1) * count]]
        assert [len(part) for part, _ in parts] == [2] * 4
        np.testing.assert_array_equal(np.concatenate([p[0] for p in parts]), x)
        np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), y)


def test_flips_mirror_left_and_right_for_about_half_of_the_images():
    source, flipped, total = numbered(flip=True), 0, 0
    for epoch in range(5):
        for x, y in epoch_of(source, epoch=epoch):
            chosen = x.min(axis=(1, 2, 3)) // 24
            np.testing.assert_array_equal(y, source.train.y[chosen])
            for image, i in zip(x, chosen, strict=True):
                original = source.train.x[i]
                mirror = np.stack([original[:, 3 - w] for w in range(4)], axis=1)
                is_mirror = np.array_equal(image, mirror)
                assert is_mirror or np.array_equal(image, original)
                flipped, total = flipped + is_mirror, total + 1
    assert total == 100
    # four standard deviations of a fair coin
    assert abs(flipped - 50) < 4 * np.sqrt(100 / 4)


def test_flips_do_not_change_the_order():
    with_flips, without = epoch_of(numbered(True)), epoch_of(numbered(False))
    np.testing.assert_array_equal(examples(with_flips), examples(without))


def test_the_source_is_not_modified():
    source = numbered(flip=True)
    x, y = source.train.x.copy(), source.train.y.copy()
    flipped = sum((batch % 24)[:, 0, 0, 0].any() for batch, _ in epoch_of(source))
    assert flipped
    np.testing.assert_array_equal(source.train.x, x)
    np.testing.assert_array_equal(source.train.y, y)


def test_digits_batches_keep_their_types(digits):
    x, y = epoch_of(digits, 479)[0]
    assert (x.dtype, x.shape) == (np.uint8, (479, 8, 8, 1))
    assert (y.dtype, y.shape) == (np.int32, (479, 1))


def test_static_shapes_are_known_to_the_graph():
    x, y = training_batches(numbered(), 4, seed=0, epoch=0).element_spec
    assert x.shape == (4, 3, 4, 2)
    assert y.shape == (4, 1)


@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 50])
def test_evaluation_has_every_example_once_in_order(batch_size):
    split = numbered().test
    batches = list(evaluation_batches(split, batch_size))
    assert [len(x) for x, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 0 < len(batches[-1][0]) <= batch_size
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), split.x)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), split.y)


def test_steps_of_an_epoch_are_the_full_batches():
    split = numbered().train
    assert [steps_per_epoch(split, size) for size in (1, 4, 11, 12, 23)] == [
        23,
        5,
        2,
        1,
        1,
    ]


@pytest.mark.parametrize("batch_size", [0, -1, COUNT + 1])
def test_batch_sizes_that_make_no_batch_are_refused(batch_size):
    message = f"between 1 and the 23 .* Received: batch_size={batch_size}"
    with pytest.raises(ValueError, match=message):
        steps_per_epoch(numbered().train, batch_size)
    with pytest.raises(ValueError, match=message):
        training_batches(numbered(), batch_size, seed=0, epoch=0)


def test_vectors_are_batched():
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    split = Split(x, np.arange(5)[:, None])
    source = DataSource("vectors", split, split, (5,), 1)
    read = dict(
        (int(label), vector.tolist())
        for batch_x, batch_y in epoch_of(source, 2)
        for vector, (label,) in zip(batch_x, batch_y, strict=True)
    )
    assert len(read) == 4
    assert all(read[i] == [2 * i, 2 * i + 1] for i in read)


def test_a_single_image_may_be_flipped():
    source = numbered(flip=True)
    one = dataclasses.replace(
        source, train=Split(source.train.x[:1], source.train.y[:1])
    )
    seen = {epoch_of(one, 1, 0, epoch)[0][0].tobytes() for epoch in range(8)}
    x = source.train.x[0]
    assert seen == {x.tobytes(), x[:, ::-1].tobytes()}


def test_contexts_follow_their_examples_under_shuffles_and_flips():
    source = numbered(flip=True)
    context = np.arange(COUNT, dtype=np.float32)[:, None] * [1.0, 10.0]
    split = dataclasses.replace(source.train, context=context)
    source = dataclasses.replace(source, train=split, test=split)
    assert source.model_keywords()["context"] == (2,)
    inputs = [x for x, _ in epoch_of(source)]
    numbers = examples([(part["x"], None) for part in inputs])
    given = np.concatenate([part["context"] for part in inputs])
    np.testing.assert_array_equal(given, context[numbers])
    assert tuple(numbers) != tuple(range(20))
    last, labels = list(evaluation_batches(split, 10))[-1]
    np.testing.assert_array_equal(last["context"], context[20:])
    np.testing.assert_array_equal(labels, split.y[20:])
    rows = np.array([7, 2])
    np.testing.assert_array_equal(split.take(rows).context, context[rows])


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (np.ones([COUNT, 2]), None, "mine/test must have a context.*None"),
        (None, np.ones([COUNT, 2]), r"mine/test must have a context.*\(23, 2\)"),
        (np.ones([COUNT, 2]), np.ones([COUNT, 3]), r"Received: .*\(23, 3\)"),
        (np.ones([COUNT - 1, 2]), np.ones([COUNT, 2]), r"mine/train.*\(22, 2\)"),
        (np.ones([COUNT]), np.ones([COUNT]), r"mine/train.*\(23,\)"),
        (np.full([COUNT, 1], np.nan), np.ones([COUNT, 1]), "train must have a finite"),
    ],
)
def test_contexts_that_do_not_fit_the_examples_are_refused(train, test, message):
    split = numbered().train
    splits = [dataclasses.replace(split, context=given) for given in (train, test)]
    with pytest.raises(ValueError, match=message):
        DataSource("mine", *splits, (5,), COUNT * 24)
