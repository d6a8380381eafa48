"""Records of data: known again whatever their name, told from others."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcnf.data.record import DataRecord, record_of
from tfcnf.data.series import SeriesSource, SeriesSplit, make_series
from tfcnf.data.source import DataSource, Split
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real

NAMES = (("ant", "bee", "5"),)


def images(**changes):
    x = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1)
    y = np.array([[0], [1], [2]] * 2, np.int32)
    given = {"x": x, "y": y, "name": "own.npz", "class_names": NAMES} | changes
    split = Split(given["x"], given["y"])
    labels = [Categorical(3, given["class_names"][0])]
    return DataSource(given["name"], split, split, labels, 32)


def series(scale=1.0, shift=0.0):
    values = scale * np.sin(np.arange(60.0)).reshape(3, 10, 2)
    values[1, 2, 0] += shift
    y = np.array([[0.1], [0.2], [0.4]], np.float32)
    split = SeriesSplit(make_series(values, np.arange(10.0)), y)
    return SeriesSource("s", split, split, {}, (Real(title="a"),), 9.0)


def changed(**changes):
    return record_of(images()).changes(record_of(images(**changes)))


def test_the_same_data_under_another_name_are_the_same():
    assert changed(name="moved.npz") == []
    kept = DataRecord.from_json(json.loads(json.dumps(record_of(images()).to_json())))
    assert kept == record_of(images())


def test_a_pixel_a_label_a_name_or_a_number_of_examples_is_a_change():
    one = images()
    x, y = one.train.x.copy(), one.train.y.copy()
    x[5, 1, 1] += 1
    y[0] = 1
    examples = "the examples or labels of train are others"
    assert changed(x=x)[0] == changed(y=y)[0] == examples
    assert changed(x=x[:5], y=y[:5]) == [
        f"{part} had 6 examples and has 5" for part in ("train", "test")
    ]
    assert "class_names" in changed(class_names=(("bee", "ant", "5"),))[0]
    (levels,) = record_of(one).changes(
        record_of(dataclasses.replace(one, num_levels=99))
    )
    assert levels == "num_levels was 32 and is 99"


def test_floats_may_differ_in_the_last_digit_and_no_more():
    # data drawn from seeds are the same on another machine but for rounding
    kept = record_of(series())
    assert kept.changes(record_of(series(scale=1 + 1e-8))) == []
    assert kept.changes(record_of(series(scale=2.0))) != []
    assert kept.changes(record_of(series(shift=1e-3))) != []


def test_a_class_is_found_by_name_first_then_by_number():
    record = record_of(images())
    assert [record.find_class(c) for c in ("ant", "bee", "5", "2")] == [0, 1, 2, 2]
    for wrong in ("cow", "3", "-1", ""):
        with pytest.raises(ValueError, match=r"in 0\.\.2.*\(ant, bee, 5\)") as failure:
            record.find_class(wrong)
        assert str(failure.value).endswith(f"Received: label={wrong!r}")


def test_a_model_is_built_of_a_record():
    record = record_of(images())
    assert record.model_keywords() == {
        "event_shape": [2, 2, 1],
        "labels": json.loads(
            json.dumps([Categorical(3, ("ant", "bee", "5")).record()])
        ),
        "num_levels": 32,
    }
    assert len(record.train) == 6
    assert record.train.passes == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "splits", "train", "size", "keywords", "flip"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(part=st.sampled_from(["splits", "keywords", "class_names", ""]), value=JSON)
def test_a_damaged_record_is_a_value_error(part, value):
    whole = record_of(images()).to_json()
    try:
        record = DataRecord.from_json({**whole, part: value} if part else value)
    except ValueError:
        return
    record.changes(record_of(images()))
    assert len(record.train) > 0
