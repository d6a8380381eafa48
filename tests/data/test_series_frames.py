"""Long tables: from rows of points to series, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from tfcnf.data.series import SeriesColumns
from tfcnf.data.series_frames import load, read_subjects, series_from_frame
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real

ROWS = {
    "plant": ["b", "a", "b", "a", "c", "b", "c"],
    "day": [2.0, 5.0, 0.0, 3.0, 8.0, 1.0, 7.5],
    "height": [1.2, 0.5, np.nan, 0.3, 2.0, 1.1, 1.9],
    "leaves": [3, 2, np.nan, 1, 7, np.nan, 6],
    "kind": ["oak", "elm", "oak", "elm", "oak", "oak", "oak"],
    "age": [4.5, 1.0, 4.5, 1.0, 9.0, 4.5, 9.0],
}
COLUMNS = SeriesColumns("plant", "day", ("height", "leaves"))
GIVEN = {"x": ["height", "leaves"], "subject": "plant", "time": "day"}


def frame(**changed):
    made = pd.DataFrame(ROWS | changed)
    made.index = range(1, len(made) + 1)
    return made


def test_rows_in_any_order_become_series():
    found = read_subjects(frame(), COLUMNS)
    assert found.names == ["b", "a", "c"]
    assert found.rows.tolist() == [0, 1, 4]
    # the first row of b has no value: its series begins a day later
    assert found.first.tolist() == [1.0, 3.0, 7.5]
    np.testing.assert_array_equal(found.x.times, [[0, 1], [0, 2], [0, 0.5]])
    known = [[[1, 0], [1, 1]], [[1, 1], [1, 1]], [[1, 1], [1, 1]]]
    np.testing.assert_array_equal(found.x.mask, known)
    values = [[[1.1, 0], [1.2, 3]], [[0.3, 1], [0.5, 2]], [[1.9, 6], [2.0, 7]]]
    np.testing.assert_allclose(found.x.values, values, rtol=1e-6)
    np.testing.assert_array_equal(found.stamps(np.ones(3)), [2.0, 4.0, 8.5])


DAYS = ["2024-02-29T06:00", "2024-03-03", "2024-02-27", *["2024-03-01"] * 4]


@pytest.mark.parametrize("days", [DAYS, pd.to_datetime(DAYS, format="ISO8601")])
def test_dates_count_in_days_and_come_back_as_dates(days):
    rows = {**ROWS, "day": days, "plant": [0, 0, 0, 1, 2, 3, 4]}
    found = read_subjects(pd.DataFrame(rows), COLUMNS)
    np.testing.assert_array_equal(found.x.times[0], [0.0, 2.75])
    told = found.stamps(np.full(5, 0.25))
    assert str(told[0]) == "2024-02-29T12:00:00"
    assert str(told[1]) == "2024-03-01T06:00:00"


def test_labels_splits_and_units_are_of_subjects():
    split = ["train", "test", "train", "test", "train", "train", "train"]
    data = series_from_frame(
        frame(part=split), **GIVEN, labels=["kind", "age"], split="part"
    )
    assert len(data.train) == 2
    assert [type(label) for label in data.labels] == [Categorical, Real]
    np.testing.assert_allclose(data.train.y, [[1, 4.5], [1, 9.0]])
    np.testing.assert_allclose(data.test.y, [[0, 1.0]])
    assert data.table_columns == COLUMNS
    keywords = data.model_keywords()
    assert keywords["encode_mask"]
    np.testing.assert_allclose(keywords["units"]["mean"], [1.55, 16 / 3], rtol=1e-6)
    assert "2 numbers (height, leaves)" in data.describe()
    rest = frame().drop(columns="kind")
    rest = series_from_frame(rest, subject=0, time=1, test=0.4, validation=0.0)
    assert rest.table_columns.x == ("height", "leaves", "age")


@pytest.mark.parametrize(
    ("changed", "given", "message"),
    [
        ({}, {"x": ["weight"]}, "of the table.* Received: column='weight'"),
        ({}, {"x": ["day"]}, "for one thing alone"),
        ({}, {"time": ""}, r"time must be one column. Received: time=\[\]"),
        ({"plant": ["b", None, *"bacbc"]}, {}, "'plant' must have a value.* row 2"),
        ({"day": [2, None, 0, 3, 8, 1, 7]}, {}, "'day' must have a value.* in row 2"),
        ({"day": [2, np.inf, 0, 3, 8, 1, 7]}, {}, "'day' must be finite.* in row 2"),
        ({"day": [*"abc", "2024-05-31", *"efg"]}, {}, "or dates.* Received: a in row"),
        ({"day": [2, 5, 0, 3, 8, 2, 7]}, {}, "one row a time.* of plant=b.* in row 6"),
        ({"height": [np.inf] * 7}, {}, "'height' must be finite.* inf in row 1"),
        ({"height": [*"tall", 1, 2, 3]}, {}, "'height' must be numbers.* t in row 1"),
        (
            {"height": [1, np.nan] * 3 + [1], "leaves": [1, np.nan] * 3 + [1]},
            {},
            "every subject must have a value.* plant=a without any",
        ),
        ({}, {"labels": "leaves"}, "for one thing alone"),
        ({"kind": list("xxyxxxx")}, {"labels": "kind"}, "same in all rows.* plant=b"),
        ({"kind": [None] * 7}, {"labels": "kind"}, "'kind' must have a value.* row 1"),
        ({}, {"labels": "kind", "kinds": {"age": "real"}}, "kinds must be of labels"),
        ({}, {"split": "kind"}, "must say train, validation, test"),
        ({}, {"test": 0.01}, "every split must have a row"),
    ],
)
def test_bad_tables_are_refused(changed, given, message):
    with pytest.raises(ValueError, match=message) as failure:
        series_from_frame(frame(**changed), **(GIVEN | given))
    assert "Received: " in str(failure.value)


def test_a_file_needs_its_columns_named(tmp_path):
    path = str(tmp_path / "plants.csv")
    frame().to_csv(path, index=False)
    named = {"subject": "plant", "time": "day", "x": "height,leaves"}
    data = load(path, **named, labels="kind", kinds="kind=category", test=0.4)
    assert (data.name, len(data.train), len(data.test)) == (path, 2, 1)
    with pytest.raises(ValueError, match=r"config.series.time.*plant, day, height"):
        load(path, subject="plant")
