import dataclasses

import numpy as np
import pytest

from tfcnf.data.labels import hide_labels
from tfcnf.data.pipeline import training_batches
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.categorical import HIDDEN
from tfcnf.labels.real import Real

CLASSES = 4


def numbered(count=60):
    """Vectors that tell their number, a quarter of them of each class."""
    x = np.arange(count, dtype=np.float32)[:, None]
    split = Split(x, np.arange(count, dtype=np.int32)[:, None] % CLASSES)
    return DataSource("numbered", split, split, (CLASSES,), 1)


def kept(source):
    return set(np.flatnonzero(source.train.y[:, 0] != HIDDEN))


@pytest.mark.parametrize("labels", [1, 3, 15])
def test_every_class_keeps_as_many_labels_and_they_are_the_true_ones(labels):
    source = numbered()
    hidden = hide_labels(source, labels, 0.5, 0)
    known = sorted(kept(hidden))
    np.testing.assert_array_equal(hidden.train.y[known], source.train.y[known])
    counts = np.bincount(hidden.train.y[known, 0], minlength=CLASSES)
    np.testing.assert_array_equal(counts, [labels] * CLASSES)
    np.testing.assert_array_equal(hidden.train.x, source.train.x)
    np.testing.assert_array_equal(hidden.test.y, source.test.y)
    assert HIDDEN not in source.train.y


def test_the_seed_alone_chooses_and_fewer_are_among_more():
    source = numbered()
    few = kept(hide_labels(source, 2, 0.5, 7))
    assert few == kept(hide_labels(source, 2, 1.0, 7))
    assert few < kept(hide_labels(source, 5, 0.5, 7))
    assert len({frozenset(kept(hide_labels(source, 2, 0.5, s))) for s in range(5)}) > 1


def test_a_number_given_as_an_integer_is_hidden_as_nan():
    x = np.arange(8, dtype=np.float32)[:, None]
    split = Split(x, np.stack([np.arange(8) % 2, np.arange(8)], 1))
    labels = (2, Real(1, distribution="normal"))
    hidden = hide_labels(DataSource("ages", split, split, labels, 1), 2, 1.0, 0).train
    unknown = hidden.y[:, 0] == HIDDEN
    assert unknown.sum() == 4
    np.testing.assert_array_equal(np.isnan(hidden.y[:, 1]), unknown)
    np.testing.assert_array_equal(hidden.y[~unknown], split.y[~unknown])


def test_zero_hides_nothing():
    source = numbered()
    assert hide_labels(source, 0, 1.0, 0) is source


@pytest.mark.parametrize(
    ("labels", "part", "message"),
    [
        (16, 0.5, "at most the 15 training examples .* Received: labels=16"),
        (-1, 0.5, "Received: labels=-1"),
        (2.5, 0.5, r"Received: labels=2\.5"),
        (2, 0.0, r"Received: labelled_part=0\.0"),
        (0, 1.5, r"Received: labelled_part=1\.5"),
    ],
)
def test_impossible_numbers_are_refused(labels, part, message):
    with pytest.raises(ValueError, match=message):
        hide_labels(numbered(), labels, part, 0)


def test_only_training_labels_may_be_hidden():
    source = numbered()
    hidden = Split(source.test.x, np.full_like(source.test.y, HIDDEN))
    with pytest.raises(ValueError, match=r"test must have labels in 0\.\.3"):
        dataclasses.replace(source, test=hidden)


def batches(source, size=12, epoch=0):
    data = training_batches(source, size, seed=0, epoch=epoch).as_numpy_iterator()
    return [(x[:, 0].astype(int), y[:, 0]) for x, y in data]


@pytest.mark.parametrize(("part", "labelled"), [(0.25, 3), (0.5, 6), (1.0, 12)])
def test_each_batch_has_its_part_of_labelled_examples(part, labelled):
    source = hide_labels(numbered(), 2, part, 0)
    known, drawn = kept(source), []
    assert len(batches(source)) == 60 // 12  # as many steps as with all labels
    for x, y in batches(source):
        assert (y != HIDDEN).sum() == labelled
        np.testing.assert_array_equal(source.train.y[x, 0], y)
        drawn += x[y != HIDDEN].tolist()
    # in turn: none comes again before all have come
    counts = np.bincount(drawn)[sorted(known)]
    assert counts.max() - counts.min() <= 1
    assert set(drawn) == known


def test_unlabelled_examples_come_in_turn_and_the_epoch_shuffles():
    source = hide_labels(numbered(), 2, 0.5, 0)
    rest = [x[y == HIDDEN] for x, y in batches(source)]
    assert len(set(np.concatenate(rest))) == 30
    again = [x for x, _ in batches(source)]
    other = [x for x, _ in batches(source, epoch=1)]
    np.testing.assert_array_equal(again, [x for x, _ in batches(source)])
    assert (np.array(again) != np.array(other)).any()


def test_all_labels_kept_make_batches_without_hidden_ones():
    full, plain = hide_labels(numbered(), 15, 0.5, 0), numbered()
    for (x, y), (expected, _) in zip(batches(full), batches(plain), strict=True):
        np.testing.assert_array_equal(x, expected)
        assert HIDDEN not in y


def test_a_part_too_small_for_the_batch_is_refused():
    source = hide_labels(numbered(), 2, 0.01, 0)
    with pytest.raises(ValueError, match=r"batch of 12 .* Received: labelled_part="):
        training_batches(source, 12, seed=0, epoch=0)
