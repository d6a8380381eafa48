"""The best epoch by validation and patience: both follow from what was written."""

import math
import types

import pytest

from tfcnf.training.validation import Validation

NAN = math.nan
NAME = "validation/nats"


def train(values, start=0, lines=(), **options):
    """The lines of the epochs until the end; None where no measure was taken."""
    judge = Validation(NAME, lines=lines, **options)
    judge.set_model(types.SimpleNamespace(stop_training=False))
    lines = list(lines)
    for epoch, value in enumerate(values[start:], start):
        if judge.is_over or judge.model.stop_training:
            break
        logs = {} if value is None else {NAME: value}
        judge.on_epoch_end(epoch, logs)
        lines.append({"epoch": epoch + 1, **logs})
    return lines


def best_of(lines):
    return [line.get("best_epoch") for line in lines]


def test_the_smallest_finite_value_is_the_best_the_first_of_equals():
    lines = train([NAN, 3.0, 2.0, 2.0, NAN])
    assert best_of(lines) == [None, 2, 3, 3, 3]


def test_the_largest_is_where_that_is_asked_for():
    lines = train([1.0, NAN, 4.0, 2.0, math.inf], largest=True)
    assert best_of(lines) == [1, 1, 3, 3, 3]


def test_epochs_that_are_not_measured_change_nothing():
    assert best_of(train([None, 2.0, None, 1.0])) == [None, 2, 2, 4]


@pytest.mark.parametrize(
    ("values", "patience", "last"),
    [
        ([3, 2, 4, 4, 4, 1], 3, 5),
        ([3, 2, 4, 4, 1, 4, 4, 4, 0], 3, 8),
        ([3, 3, 3], 1, 2),
        ([1, 2, 3, 4], 0, 4),
        ([NAN, NAN, NAN, NAN], 1, 4),  # nothing was best: go on
        ([1, NAN, NAN, NAN], 2, 3),
        ([None, 1, None, 2, None, 0], 2, 4),  # every second epoch is measured
        ([None, 1, None, 2, None, 0], 3, 6),
    ],
)
def test_patience_ends_after_so_many_epochs_without_a_better_one(
    values, patience, last, capsys
):
    lines = train(values, patience=patience)
    assert lines[-1]["epoch"] == last
    assert ("has not improved" in capsys.readouterr().out) == (last < len(values))


@pytest.mark.parametrize("done", range(6))
def test_a_resumed_training_ends_where_it_would_have(done):
    values = [3.0, NAN, 2.0, 4.0, 4.0, 4.0, 1.0]
    straight = train(values, patience=3)
    assert len(straight) == 6
    resumed = train(values, start=done, lines=straight[:done], patience=3)
    assert best_of(resumed) == best_of(straight)
