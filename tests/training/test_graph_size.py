"""Traced graphs stay small: solves are traced once and called, not copied."""

import keras
import pytest
import tensorflow as tf

import tfcnf
from benchmarks.graph_size import graph_size
from tfcnf.ode.fields import StackField
from tfcnf.ode.solve import _graph


@pytest.fixture
def traces(monkeypatch):
    """A list with an entry for each time that the dynamics are traced."""
    _graph.cache_clear()
    traced = []
    for name in ("value", "jvp"):
        function = getattr(StackField, name)

        def counted(*args, name=name, function=function):
            traced.append(name)
            return function(*args)

        monkeypatch.setattr(StackField, name, counted)
    return traced


def trace_step(model, x):
    model.compile(keras.optimizers.SGD(0.1))
    step = tf.function(model.train_step, autograph=False)
    return step.get_concrete_function((x, tf.zeros([len(x)], tf.int32)))


def vectors(cnfs):
    model = tfcnf.InfoCNF((2,), 2, hidden_layers=1, filters=3, flows_per_block=cnfs)
    return trace_step(model, tf.zeros([4, 2]))


def test_cnfs_of_all_sizes_share_one_trace_for_training_test_and_sampling(traces):
    model = tfcnf.InfoCNF(
        (4, 4, 1),
        2,
        num_levels=2,
        num_scales=2,
        flows_per_block=1,
        hidden_layers=1,
        filters=2,
    )
    assert model.flow.num_solves == 3
    x, y = tf.zeros([4, 4, 4, 1], tf.int32), tf.zeros([4], tf.int32)
    trace_step(model, x)
    # the solve, and the backward one without and with the gradient of the weights
    assert traces == ["jvp"] * 3
    tf.function(model.test_step, autograph=False).get_concrete_function((x, y))
    assert traces == ["jvp"] * 3
    model.encode(x[:2])
    model.sample(y[:3])
    assert traces == ["jvp"] * 3 + ["value"]


def test_a_further_cnf_adds_no_copy_of_the_solve():
    one, two = graph_size(vectors(1)), graph_size(vectors(2))
    # a copy of the solve and of its gradient would have all nodes of the room "ode"
    solve = two["rooms"]["ode"]
    assert solve > one["nodes"] / 4
    assert two["nodes"] - one["nodes"] < solve / 2
    assert two["functions"] == one["functions"]
