"""Examples and labels are compared in the type they come in, then narrowed."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.source import DataSource, Split
from tfcnf.labels.kinds import hidden_rows, make_labels
from tfcnf.labels.real import Real
from tfcnf.models.inputs import check_examples
from tfcnf.models.label_inputs import read_labels

INTEGERS = [f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_of_any_type_are_taken(kind):
    x = np.array([[0], [16]], kind)
    for levels in (17, 256, 65536):
        np.testing.assert_array_equal(check_examples(x, [1], levels), x)
    y = read_labels(np.array([[0, 2], [4, 0]], kind), make_labels([5, 1000]), "float32")
    assert (y.dtype, y.numpy().tolist()) == (tf.int32, [[0, 2], [4, 0]])


@pytest.mark.parametrize("kind", INTEGERS)
def test_whole_numbers_are_taken_for_real_ones(kind):
    labels = [Real(1, distribution="normal"), *make_labels(5)]
    y = np.array([[7, 2], [4, 0]], kind)
    for hidden in (False, True):
        found = read_labels(y, labels, "float32", hidden)
        assert (found.dtype, found.numpy().tolist()) == (tf.float32, y.tolist())
    np.testing.assert_array_equal(hidden_rows(labels, y), [False, False])
    split = Split(np.zeros([2, 1], np.float32), y)
    units = DataSource("whole", split, split, labels, 1).model_keywords()["labels"][0]
    assert (units["mean"], units["scale"]) == ([5.5], [1.5])


@pytest.mark.parametrize("value", [2**32 + 3, 2**40, -(2**32) + 3])
def test_what_would_wrap_into_the_range_is_refused(value):
    with pytest.raises(ValueError, match=rf"levels 0\.\.16\. Received: x=\[\[{value}"):
        check_examples(np.array([[value]]), [1], 17)
    with pytest.raises(ValueError, match=rf"in -1\.\.4\. Received: y=\[\[{value}"):
        read_labels(np.array([value]), make_labels(5), "float32", hidden=True)


def test_a_graph_looks_before_it_narrows():
    labels = make_labels(5)
    check = tf.function(lambda y: read_labels(y, labels, "float32"))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"labels must be in 0\.\.4"
    ):
        check(tf.constant([2**32 + 3]))


def test_a_graph_of_any_rank_takes_shapes_that_fit():
    for columns in (1, 2):
        labels = make_labels([5] * columns)
        check = tf.function(lambda y, labels=labels: read_labels(y, labels, "float32"))
        run = check.get_concrete_function(tf.TensorSpec(None, tf.int32))
        y = tf.ones([3, columns], tf.int32)
        np.testing.assert_array_equal(run(y), y)
        with pytest.raises(tf.errors.InvalidArgumentError, match="y must have shape"):
            run(tf.ones([2, 3], tf.int32))
        if columns == 1:
            np.testing.assert_array_equal(run(y[:, 0]), y)
