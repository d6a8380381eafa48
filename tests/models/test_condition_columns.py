"""Conditions that are columns: units and one-hot vectors inside the model."""

import keras
import numpy as np
import pytest

import tfcnf
from tfcnf.data.columns import Column
from tfcnf.models.condition import Condition

COLUMNS = [
    Column("height", mean=170.0, scale=10.0),
    Column("town", "category", names=("Lima", "Oslo", "Rome")),
    Column("income", low=0.0, mean=3.0, scale=0.5),
]
ROWS = np.array([[180.0, 2.0, np.e**3], [165.0, 0.0, np.e**2]])


def test_numbers_get_unit_size_and_names_one_hot_vectors():
    condition = Condition((3,), columns=COLUMNS, dtype="float64")
    assert condition.width == 5
    expected = [[1.0, 0.0, 0, 0, 1], [-0.5, -2.0, 1, 0, 0]]
    np.testing.assert_allclose(condition.read(ROWS, 2), expected, atol=1e-12)


@pytest.fixture(scope="module")
def model():
    return tfcnf.CNF(
        (2,),
        columns=[Column("a", mean=5.0, scale=2.0), "b"],
        context=COLUMNS,
        embedding=keras.layers.Dense(4, activation="tanh"),
        hidden_layers=1,
        filters=4,
        flows_per_block=1,
        seed=0,
    )


def test_the_embedding_reads_unit_sizes_and_a_saved_model_knows_them(model, tmp_path):
    assert model.condition.embedding.kernel.shape == (5, 4)
    x = np.array([[4.0, 0.5], [7.0, -1.0]], np.float32)
    kernel = model.condition.embedding.kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    for weight in model.flow.trainable_variables:
        noise = np.random.default_rng(1).normal(size=weight.shape)
        weight.assign_add(0.3 * noise)
    first = model.log_prob(x, context=ROWS)
    assert not np.allclose(first, model.log_prob(x, context=ROWS[::-1]))
    model.save(tmp_path / "model.keras")
    read = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(read.log_prob(x, context=ROWS), first)


@pytest.mark.parametrize(
    ("place", "value"), [((0, 1), 3.0), ((0, 1), 0.5), ((1, 2), -1.0), ((1, 2), 0.0)]
)
def test_values_outside_of_their_columns_are_refused(model, place, value):
    rows = ROWS.copy()
    rows[place] = value
    with pytest.raises(ValueError, match="within the bounds and categories"):
        model.sample(2, context=rows)


def test_integers_condition_as_numbers():
    with pytest.raises(ValueError, match="integers are numbers too"):
        tfcnf.CNF((2,), context=[Column("a", "integer")])
