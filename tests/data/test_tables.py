"""Tables: kinds of columns, roles, splits and what has no density."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tfcnf.data.columns import Column
from tfcnf.data.table_catalog import load
from tfcnf.data.table_files import read_table
from tfcnf.data.table_kinds import find_column, parse_kind
from tfcnf.data.table_rows import rows_of
from tfcnf.data.tables import from_frame
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.real import Real


def frame(count=200, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "mass": rng.lognormal(3.0, 1.2, count),
            "height": rng.normal(170.0, 9.0, count),
            "visits": rng.poisson(2.0, count),
            "grade": rng.integers(1, 7, count),
            "share": rng.uniform(0.0, 1.0, count),
            "town": rng.choice(["Rome", "Oslo", "Lima"], count),
            "smokes": rng.integers(0, 2, count).astype(bool),
            "age": rng.normal(40.0, 9.0, count),
        }
    )


def test_rows_of_another_table_are_read_as_those_of_the_data():
    roles = {"x": ["mass", "grade"], "context": ["age", "town"], "labels": ["smokes"]}
    data = from_frame(frame(), **roles, test=0.5, validation=0.0)
    new = data.read(frame()[::-1])
    rows = sorted(map(tuple, np.concatenate([new.x, new.context, new.y], 1)))
    splits = [np.concatenate([s.x, s.context, s.y], 1) for s in data.splits.values()]
    assert rows == sorted(map(tuple, np.concatenate(splits)))
    asked = data.read(frame()[["age", "town"]])
    assert (asked.x.shape, asked.y.shape) == ((200, 0), (200, 0))
    np.testing.assert_array_equal(asked.context, new.context[::-1])
    with pytest.raises(ValueError, match="must have the column 'grade'"):
        data.read(frame()[["mass"]])
    with pytest.raises(ValueError, match="columns of mass, grade, age, town"):
        data.read(frame()[["height"]])


def test_kinds_are_found_and_can_be_said():
    rng = np.random.default_rng(1)
    found = {
        "real": rng.normal(size=500),
        "positive": rng.lognormal(0.0, 1.5, 500),
        "grade": rng.integers(1, 6, 500),
        "count": rng.poisson(20.0, 500) * rng.integers(0, 3, 500),
        "level": rng.integers(100, 200, 500),
        "large": rng.integers(0, 10**6, 500),
    }
    expected = {
        "real": ("real", None, None),
        "positive": ("real", 0.0, None),
        "grade": ("integer", 1, 5),
        "count": ("integer", 0, None),
        "level": ("integer", None, None),
        "large": ("real", None, None),
    }
    for name, values in found.items():
        column = find_column(name, np.asarray(values, float))
        assert (column.kind, column.low, column.high) == expected[name]
    said = {
        "real": Column("a"),
        "positive": Column("a", low=0.0),
        "0..1": Column("a", low=0.0, high=1.0),
        "-1.5..": Column("a", low=-1.5),
        "..5": Column("a", high=5.0),
        "integer:0..": Column("a", "integer", low=0.0),
        "integer": Column("a", "integer"),
    }
    for words, column in said.items():
        assert parse_kind("a", words) == column
    on_bound = find_column("a", np.array([0.0, 1.0, 3.0]), "positive")
    assert on_bound.margin == pytest.approx(0.01 * np.std([0.0, 1.0, 3.0]))


def test_roles_become_examples_conditions_and_labels():
    table = frame()
    data = from_frame(
        table,
        x=["mass", "visits"],
        context=["age", "town"],
        labels=["smokes", "height", "grade"],
        kinds={"grade": "real"},
    )
    assert [column.name for column in data.columns] == ["mass", "visits"]
    kinds = [type(label) for label in data.labels]
    assert kinds == [Categorical, Real, Real]
    assert data.labels[0].names == ("False", "True")
    assert data.conditions[1].names == ("Lima", "Oslo", "Rome")
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [160, 20, 20]
    named = from_frame(
        table, x=["mass"], labels=["height"], kinds={"height": "empirical"}
    )
    (label,) = named.model_keywords()["labels"]
    assert label["values"] == named.train.y.tolist()
    # every row is in one split, with its own values
    found = np.concatenate(
        [
            np.concatenate([s.x, s.context, s.y], 1)
            for s in (data.train, data.validation, data.test)
        ]
    )
    towns = table["town"].map({"Lima": 0, "Oslo": 1, "Rome": 2})
    columns = ["mass", "visits", "age", "town", "smokes", "height", "grade"]
    rows = table.assign(town=towns)[columns].to_numpy(np.float32)
    assert sorted(map(tuple, found)) == sorted(map(tuple, rows))


def test_units_are_those_of_the_training_split_alone():
    data = from_frame(frame(), x=["mass", "height"], context=["age"])
    keywords = data.model_keywords()
    mass, height = keywords["columns"]
    x = data.train.x.astype(float)
    assert mass["mean"] == pytest.approx(np.log(x[:, 0]).mean())
    assert height["scale"] == pytest.approx(x[:, 1].std())
    assert keywords["context"][0]["mean"] == pytest.approx(data.train.context.mean())
    fewer = dataclasses.replace(data, train=data.train.take(np.arange(50)))
    other = fewer.model_keywords()["columns"][1]
    assert other["mean"] == pytest.approx(x[:50, 1].mean())


def test_the_split_is_fixed_by_the_seed_or_said_by_a_column():
    table = frame()
    first, again, other = (
        from_frame(table, x=["age"], seed=seed).test.x for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    part = np.where(np.arange(200) < 150, "train", "test")
    data = from_frame(table.assign(part=part), x=["age"], split="part")
    np.testing.assert_array_equal(data.train.x[:, 0], table["age"][:150].astype("f"))
    assert data.validation is None


def test_rows_with_missing_values_are_left_out_on_request():
    table = frame()
    table.loc[[3, 70], "age"] = np.nan
    table.loc[5, "town"] = None
    data = from_frame(table, x=["age"], labels=["town"], missing="drop")
    assert sum(map(len, data.splits.values())) == 197
    assert "3 rows with missing values are left out" in data.describe()


def test_all_columns_are_described_in_a_line_each():
    data = from_frame(frame(), x=["mass", "grade"], context=["town"], labels=["smokes"])
    _, mass, grade, town, smokes = data.describe().splitlines()
    assert mass.startswith("  x mass: real, above 0; log: mean")
    assert grade.startswith("  x grade: integer, dequantized, from 1 and to 6")
    assert town == "  context town: 3 categories (Lima, Oslo, Rome)"
    assert smokes == "  label smokes: 2 classes"


def test_values_that_are_frequent_are_noted():
    table = frame()
    table["sum"] = np.where(np.arange(200) % 2 == 0, 0.0, table["age"])
    assert "% of sum are 0: a density grows" in from_frame(table, x=["sum"]).describe()


def broken(**columns):
    return frame().assign(**columns)


ODD = frame()
BAD = {
    "has mass.* Did you mean 'mass'": lambda: from_frame(ODD, x=["mas"]),
    "one thing alone": lambda: from_frame(ODD, x=["age"], context=["age"]),
    "column 'town' must be numbers to have": lambda: from_frame(ODD, x=["town"]),
    "must be numbers. Received: unknown in row 7": lambda: from_frame(
        broken(age=["3.5"] * 7 + ["unknown"] + ["4"] * 192), x=["age"]
    ),
    "1 of 200 rows have a missing value.* column 'age' without a value in row 9": (
        lambda: from_frame(broken(age=ODD["age"].mask(ODD.index == 9)), x=["age"])
    ),
    "column 'age' must be finite. Received: inf in row 4": lambda: from_frame(
        broken(age=ODD["age"].mask(ODD.index == 4, np.inf)), x=["age"]
    ),
    "column 'c' is constant": lambda: from_frame(broken(c=1.5), x=["age", "c"]),
    "column 'k' is constant": lambda: from_frame(
        broken(k=3), x=["age", "k"]
    ).model_keywords(),
    "'double' is a function of 'age'": lambda: from_frame(
        broken(double=2 * ODD["age"]), x=["age", "double"]
    ),
    "'root' is a function of 'age'": lambda: from_frame(
        broken(root=np.cbrt(ODD["age"])), x=["root"], context=["age"]
    ),
    "'sum' is a linear function of age, height": lambda: from_frame(
        broken(sum=ODD["age"] - 3 * ODD["height"]), x=["age", "height", "sum"]
    ),
    "'bmi' is a product of powers of height, mass": lambda: from_frame(
        broken(bmi=ODD["mass"] / ODD["height"] ** 2), x=["height", "mass", "bmi"]
    ),
    "from 0 and to 1. Received: .* in row": lambda: from_frame(
        ODD, x=["age"], kinds={"age": Column("", low=0.0, high=1.0, margin=0.1)}
    ),
    "float32 can tell apart": lambda: from_frame(
        broken(time=1.7e9 + ODD["age"] / 1000), x=["time"]
    ),
    "too many for categories": lambda: from_frame(
        broken(town=[f"t{i}" for i in range(200)]), x=["age"], labels=["town"]
    ),
    "every split must have a row": lambda: from_frame(ODD[:5], x=["age"], test=0.01),
    "test above 0": lambda: from_frame(ODD, x=["age"], test=0.0),
    "must say train, validation, test. Received: 'dev' in row 0": lambda: from_frame(
        broken(part="dev"), x=["age"], split="part"
    ),
    "Received: column 'part' without test": lambda: from_frame(
        broken(part="train"), x=["age"], split="part"
    ),
    "kinds must be of columns": lambda: from_frame(ODD, x=["age"], kinds={"b": "real"}),
    "must have rows": lambda: from_frame(ODD[:0], x=["age"]),
    "the kind of a column": lambda: from_frame(ODD, x=["age"], kinds={"age": "wide"}),
    "must be NAME=KIND": lambda: load("wine", kinds="alcohol"),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_tables_are_refused_in_one_line(message):
    with pytest.raises(ValueError, match=message) as failure:
        BAD[message]()
    assert "\n" not in str(failure.value)
    assert "Received:" in str(failure.value)


# files


def test_files_hold_the_same_table(tmp_path):
    table = frame(30)[["mass", "visits", "town"]]
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / "t.csv.gz", index=False)
    table.to_parquet(tmp_path / "t.parquet", index=False)
    columns = {name: table[name].to_numpy() for name in ("mass", "visits")}
    np.savez(tmp_path / "t.npz", **columns, town=table["town"].to_numpy("U"))
    for name in ("t.csv", "t.csv.gz", "t.parquet", "t.npz"):
        read = read_table(tmp_path / name)
        assert list(read.index) == list(range(1, 31))
        np.testing.assert_allclose(read["mass"], table["mass"])
        assert list(read["visits"]) == list(table["visits"])
        assert list(read["town"].astype(str)) == list(table["town"])
    data = load(str(tmp_path / "t.csv"), x="mass, 1", labels="town", kinds="mass=real")
    assert [column.low for column in data.columns] == [None, 0]


FILES = {
    "t.csv": {
        b"": "it is empty",
        b"a,b\n": "must have rows",
        b"a;b\n1;2\n": "separated by commas.*';'",
        b"a,b\n1,2\n3,4,5\n": "not of equal length: Expected 2 fields in line 3",
        b"a,b\n1,2\n\n3\n": "not of equal length: expected 2 fields in row 2, saw 1",
        b"a,b\n1,2,3\n3,4,5\n": "longer than the line of names",
        b"a,a\n1,2\n": "'a' more than once",
        b"a,,b\n1,2,3\n": "without a name for column 1",
        "a,b\n1,ä\n".encode("latin1"): "not in UTF-8",
        b'a,b\n1,"x\n2,3\n': "not of equal length: EOF inside string",
    },
    "t.csv.gz": {b"no gzip": "it is damaged"},
    "t.parquet": {b"no parquet": "it is damaged"},
    "t.npz": {b"no zip": "cannot be read"},
    "t.xlsx": {b"x": "a table must be a file of the kind .csv, .csv.gz"},
}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [(name, *case) for name, cases in FILES.items() for case in cases.items()],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as failure:
        read_table(tmp_path / name)
    assert "\n" not in str(failure.value)
    assert f"Received: data='{tmp_path}" in str(failure.value) or ".npz" in name


@pytest.mark.parametrize(
    ("name", "rows", "dims", "width", "labels"),
    [
        ("diabetes", 442, 1, 10, 0),
        ("wine", 178, 13, 0, 1),
        ("breast_cancer", 569, 8, 0, 1),
    ],
)
def test_embedded_tables(name, rows, dims, width, labels):
    data = load(name)
    assert sum(map(len, data.splits.values())) == rows
    assert data.event_shape == (dims,)
    assert len(data.conditions) == width
    assert len(data.labels) == labels
    assert data.validation is None


def test_one_column_is_named_without_a_list():
    table = frame()
    options = {"context": "age", "labels": "town"}
    source = from_frame(table, "height", **options)
    several = from_frame(table, ["height"], context=["age"], labels=["town"])
    assert source.columns == several.columns
    np.testing.assert_array_equal(source.train.x, several.train.x)
    np.testing.assert_array_equal(source.train.context, several.train.context)
    np.testing.assert_array_equal(source.train.y, several.train.y)


@pytest.mark.parametrize(
    ("kind", "value"), [("0..1", 1 - 1e-9), ("positive", 1e-50), ("0..1", 1e-50)]
)
def test_values_that_float32_puts_on_a_bound_have_a_margin(kind, value):
    table = frame()
    table.loc[7, "share"] = value
    source = from_frame(table, ["share"], kinds={"share": kind})
    (column,) = source.columns
    assert column.margin > 0
    assert source.model_keywords()["columns"]
    given = from_frame(table, ["height"], context=["share"], kinds={"share": kind})
    assert given.conditions[0].margin > 0
    assert given.model_keywords()["context"]


def test_questions_may_be_alike_or_none():
    source = from_frame(frame(), ["height", "share"], kinds={"share": "0..1"})
    asked = pd.DataFrame({"height": [170.0, 170.00001], "share": [0.5, 0.5]})
    np.testing.assert_allclose(rows_of(asked, source.columns), asked, rtol=1e-6)
    assert rows_of(asked[:0], source.columns).shape == (0, 2)
    asked.loc[1, "share"] = 1.5
    with pytest.raises(ValueError, match=r"'share' must be .* in row 1"):
        rows_of(asked, source.columns)


@pytest.mark.parametrize(
    ("value", "message"),
    [(1 - 1e-9, "above 0 and below 1"), (1e300, "must be finite in float32")],
)
def test_questions_that_float32_puts_out_of_range_are_refused(value, message):
    asked = pd.DataFrame({"share": [0.5, value]})
    with pytest.raises(ValueError, match=rf"'share' .*{message}.* in row 1"):
        rows_of(asked, [Column("share", low=0.0, high=1.0)])


def test_categories_of_a_condition_can_be_given_with_those_that_are_not_there():
    names = ("Bonn", "Lima", "Oslo", "Rome")
    kinds = {"town": Column("town", "category", names=names)}
    table = frame()
    source = from_frame(table, ["height"], context=["town"], kinds=kinds, test=0.5)
    assert source.conditions[0].names == names
    assert set(np.unique(source.train.context)) == {1.0, 2.0, 3.0}
    table.loc[5, "town"] = "Paris"
    with pytest.raises(ValueError, match=r"'town' must be one of .* Paris in row 5"):
        from_frame(table, ["height"], context=["town"], kinds=kinds)


def test_categories_of_text_and_numbers_are_refused():
    table = frame()
    table["town"] = table["town"].astype(object)
    table.loc[3, "town"] = 7
    with pytest.raises(ValueError, match=r"all text or all numbers .* int, str"):
        from_frame(table, ["height"], labels=["town"])


def test_truth_values_that_may_be_missing_are_numbers_too():
    table = frame()
    plain = from_frame(table, ["height", "smokes"])
    found = from_frame(table.astype({"smokes": "boolean"}), ["height", "smokes"])
    assert found.columns == plain.columns
    np.testing.assert_array_equal(found.train.x, plain.train.x)
