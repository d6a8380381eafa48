"""Failures of a graph become the errors that they name."""

import pytest
import tensorflow as tf

from tfcnf.models.failures import named_failures, tell_once
from tfcnf.models.finite import DivergenceError
from tfcnf.ode.status import SolverError


@tf.function(autograph=False)
def fail(text):
    with tf.control_dependencies([tf.debugging.Assert(tf.size(text) < 0, [text])]):
        return tf.constant(0)


@pytest.mark.parametrize("error", [SolverError, DivergenceError, ValueError])
def test_a_named_failure_becomes_its_error(error):
    call = named_failures()(fail)
    with pytest.raises(error, match=r"^cnf_0: too stiff$"):
        call(tf.constant(f"{error.__name__}: cnf_0: too stiff"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="KeyError: x"):
        call(tf.constant("KeyError: x"))


def test_the_name_of_the_operation_is_not_of_the_message():
    with pytest.raises(ValueError, match=r"^Received: y=\[3\]$"), named_failures():
        tf.raw_ops.Assert(condition=False, data=["ValueError: Received: y=", [[3]]])


def test_a_failed_solve_is_told_once_and_replaced(caplog):
    tell = tell_once("it failed")
    for _ in range(3):
        found = tell(lambda: fail(tf.constant("SolverError: cnf_0: stiff")), {"a": 1})
        assert found == {"a": 1}
    assert tell(lambda: 2, None) == 2
    assert caplog.text.count("it failed (said once): cnf_0: stiff") == 1
    with pytest.raises(ValueError, match="labels must be"):
        tell(lambda: fail(tf.constant("ValueError: labels must be in 0..9")), {})
