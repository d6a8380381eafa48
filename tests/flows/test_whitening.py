"""The linear step of tables: a flow behind it starts from the linear Gaussian."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tfcnf

SMALL = {"hidden_layers": 1, "filters": 4, "flows_per_block": 1, "seed": 0}
IDENTITY = {"init": "zero_output", "trace": "exact", "dtype": "float64"}


def table(count=400):
    """Two numbers close to a line, a count and a condition of two columns."""
    rng = np.random.default_rng(0)
    age, town = rng.normal(50, 9, count), rng.integers(2, size=count)
    height = 170 + 0.2 * age + 3 * town + rng.normal(size=count)
    reach = 1.1 * height + 0.1 * rng.normal(size=count)
    visits = rng.poisson(np.maximum(age, 0))
    frame = {"height": height, "reach": reach, "visits": visits, "age": age}
    return pd.DataFrame(frame | {"town": np.array(["Oslo", "Rome"])[town]})


@pytest.fixture(scope="module")
def data():
    return tfcnf.from_frame(
        table(), ["height", "reach", "visits"], context=["age", "town"]
    )


@pytest.fixture(scope="module")
def model(data):
    """A flow that is no more than its linear step."""
    return tfcnf.CNF(**data.model_keywords(), **SMALL, **IDENTITY)


def test_codes_of_the_training_rows_are_uncorrelated_and_tell_nothing_of_the_context(
    data, model
):
    z = model.encode(data.train.x, context=data.train.context).numpy()
    units = model.condition.units(data.train.context).numpy()
    context = model.condition(data.train.context).numpy()
    joint = np.cov(np.concatenate([z, context], 1), rowvar=False)
    # but for the noise of the counts
    np.testing.assert_allclose(z.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(joint[:3, :3], np.eye(3), atol=0.05)
    np.testing.assert_allclose(joint[:3, 3:], 0, atol=0.05)
    # the context is uncorrelated too: its three numbers have two degrees of freedom
    spread = np.linalg.eigvalsh(joint[3:, 3:])
    np.testing.assert_allclose(spread, [0.0, 1.0, 1.0], atol=0.02)
    assert np.linalg.matrix_rank(np.column_stack([context, units - units.mean(0)])) == 2


def test_the_density_is_that_of_the_linear_gaussian_in_the_units_of_the_table(data):
    frame = table().rename(columns={"age": "c"})
    data = tfcnf.from_frame(frame, ["height", "reach"], context=["c"])
    model = tfcnf.CNF(**data.model_keywords(), **SMALL, **IDENTITY)
    x, c = (np.asarray(part, np.float64) for part in (data.train.x, data.train.context))
    design = np.column_stack([c, np.ones(len(c))])
    weights = np.linalg.lstsq(design, x, rcond=None)[0]
    gap = x - design @ weights
    expected = stats.multivariate_normal(cov=gap.T @ gap / len(gap)).logpdf(gap)
    found = model.log_prob(x, context=c)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    drawn = model.sample(2000, seed=0, context=c[0]).numpy()
    middle, spread = design[0] @ weights, gap.std(0)
    np.testing.assert_allclose((drawn.mean(0) - middle) / spread, 0, atol=0.12)
    np.testing.assert_allclose(drawn.std(0) / spread, 1, atol=0.1)


def test_a_saved_model_has_the_same_step(data, model, tmp_path):
    x, context = data.test.x, data.test.context
    back = model.decode(model.encode(x, context=context), context=context)
    np.testing.assert_allclose(back, x, atol=1e-4)
    model.save(tmp_path / "model.keras")
    read = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        read.log_prob(x, context=context), model.log_prob(x, context=context)
    )


def test_with_an_embedding_it_is_of_the_columns_alone(data):
    keywords = data.model_keywords()
    embedding = keras.layers.Dense(2)
    model = tfcnf.CNF(**keywords, embedding=embedding, **SMALL, **IDENTITY)
    (_, layer, _) = model.flow.layers
    assert layer.context_dims == 0
    covariance = np.array(keywords["whitening"]["covariance"])[-3:, -3:]
    np.testing.assert_allclose(layer.root @ layer.root.T, covariance, atol=1e-6)


def test_it_can_be_left_out_and_needs_ten_rows_for_each_number(data):
    plain = dataclasses.replace(data, whiten=False)
    assert len(tfcnf.CNF(**plain.model_keywords(), **SMALL).flow.layers) == 2
    few = tfcnf.from_frame(table(60), ["height", "reach", "visits"], context=["age"])
    assert few.model_keywords()["whitening"]
    fewer = dataclasses.replace(few, train=few.train.take(np.arange(39)))
    assert fewer.model_keywords()["whitening"] is None


BAD = {
    "must be of the context's": ([0.0, 0.0], [[1.0]], 0),
    "shapes": ([0.0], [[1.0]], 1),
    "positive definite": ([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], 0),
}


@pytest.mark.parametrize("message", BAD)
def test_moments_of_no_numbers_are_refused(message):
    mean, covariance, context_dims = BAD[message]
    with pytest.raises(ValueError, match=message):
        tfcnf.Whitening(mean, covariance, context_dims)


def test_moments_as_arrays_are_saved_and_frames_are_cut_into_batches(tmp_path):
    moments = {"mean": np.array([1.0, -1.0]), "covariance": np.diag([4.0, 0.25])}
    model = tfcnf.CNF((2,), whitening=moments, hidden_layers=1, filters=2, seed=0)
    rows = np.random.default_rng(0).normal(size=[5, 2]).astype(np.float32)
    expected = model.log_prob(rows)
    model.save(tmp_path / "model.keras")
    twin = keras.models.load_model(tmp_path / "model.keras")
    table = pd.DataFrame(rows, index=[2.0, 0.0, 1.0, 5.0, 3.0])
    np.testing.assert_array_equal(twin.log_prob(table), expected)
    np.testing.assert_allclose(twin.log_prob(table, batch_size=2), expected, rtol=1e-5)
