"""Columns of a table: units, bounds and integers inside the model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import tfcnf
from tfcnf.data.columns import Column
from tfcnf.flows.base import guarded
from tfcnf.flows.columns import Columns

UNITS = {"mean": 0.4, "scale": 1.7}
CASES = {  # name -> (column, values within its ends)
    "real": (Column("a", mean=170.0, scale=9.0), [150.0, 171.5, 200.0]),
    "positive": (Column("a", low=2.0, **UNITS), [2.001, 5.0, 80.0]),
    "negative": (Column("a", high=-1.0, **UNITS), [-50.0, -2.0, -1.001]),
    "interval": (Column("a", low=-1.0, high=3.0, **UNITS), [-0.99, 1.0, 2.999]),
    "margin": (Column("a", low=0.0, high=1.0, margin=0.1, **UNITS), [0.0, 0.5, 1.0]),
    "integer": (Column("a", "integer", mean=4.0, scale=3.0), [-2.25, 0.5, 7.75]),
    "count": (Column("a", "integer", low=0, **UNITS), [0.25, 3.5, 11.75]),
    "grade": (Column("a", "integer", low=1, high=6, **UNITS), [1.25, 3.5, 6.75]),
}


@pytest.fixture(params=CASES)
def case(request):
    column, values = CASES[request.param]
    return column, Columns([column], dtype="float64"), np.array(values)[:, None]


def test_values_become_those_of_the_closed_forms(case):
    column, layer, x = case
    low, high = column.ends
    line = {
        (False, False): lambda: x,
        (True, False): lambda: np.log(x - low),
        (False, True): lambda: -np.log(high - x),
        (True, True): lambda: np.log((x - low) / (high - x)),
    }[bool(np.isfinite(low)), bool(np.isfinite(high))]()
    out = layer(x)
    np.testing.assert_allclose(out.z, (line - column.mean) / column.scale, rtol=1e-12)


def test_log_det_is_that_of_the_autodiff_slope(case):
    _, layer, x = case
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = layer(x)
        z = out.z
    slope = tape.gradient(z, x)[:, 0]
    np.testing.assert_allclose(out.log_det, np.log(slope), atol=1e-9)


def test_the_inverse_gives_values_of_the_column(case):
    column, layer, x = case
    out = layer(x)
    back = layer(out.z, inverse=True)
    np.testing.assert_allclose(back.log_det, -out.log_det, atol=1e-9)
    expected = np.floor(x) if column.kind == "integer" else x
    np.testing.assert_allclose(back.z, expected, rtol=1e-9, atol=1e-12)
    far = layer(tf.constant([[-8.0], [8.0]], tf.float64), inverse=True).z
    column.check(far.numpy()[:, 0])
    assert bool(tf.reduce_all(layer.inside(far)))


def test_numbers_of_a_trained_column_have_unit_size(case):
    column, _, _ = case
    rng = np.random.default_rng(0)
    low, high = np.clip(column.ends, -20.0, 20.0)
    x = rng.uniform(low, high, 4000)
    x = np.floor(x) if column.kind == "integer" else x
    x = np.clip(x, column.low, column.high)
    layer = Columns([column.fitted(x)], seed=1, dtype="float64")
    z = layer(x[:, None]).z.numpy()
    slack = 0.05 if column.kind == "integer" else 1e-9
    assert abs(z.mean()) < slack
    assert abs(z.std() - 1) < slack


@pytest.mark.parametrize("name", ["count", "grade", "integer"])
def test_integers_get_uniform_noise_that_a_seed_repeats(name):
    layer = Columns([CASES[name][0]], seed=3, dtype="float64")
    x = tf.fill([2000, 1], tf.constant(3.0, tf.float64))
    control = tfcnf.Control(seed=tf.constant([1, 2]))
    z = layer(x, control=control).z
    u = _undone(layer, z) - 3.0
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(z, layer(x, control=control).z)
    assert not np.array_equal(layer(x).z, layer(x).z)


def _undone(layer, z):
    """The dequantized value, by the closed forms."""
    (column,) = layer.columns
    low, high = column.ends
    line = z.numpy()[:, 0] * column.scale + column.mean
    if np.isinf(low):
        return line if np.isinf(high) else high - np.exp(-line)
    if np.isinf(high):
        return low + np.exp(line)
    return low + (high - low) / (1 + np.exp(-line))


def test_a_graph_inverts_as_python_does(case):
    _, layer, x = case
    z = layer(x).z
    traced = tf.function(lambda z: layer(z, inverse=True).z)(z)
    np.testing.assert_allclose(traced, layer(z, inverse=True).z, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_smallest_and_the_largest_value_have_a_finite_density(dtype):
    column = Column("a", "integer", low=0, high=3)
    layer = Columns([column], dtype=dtype)
    for seed in range(20):
        x = tf.repeat(tf.constant([[0.0], [3.0]], dtype), 500, 0)
        out = layer(x, control=tfcnf.Control(seed=tf.constant([seed, 0])))
        assert np.isfinite(out.z).all()
        assert np.isfinite(out.log_det).all()


def test_what_lies_outside_has_no_density_and_spoils_no_other():
    columns = [Column("a", low=100.0, mean=5.0), Column("b", "integer", low=0, high=3)]
    layer = Columns(columns, seed=0)
    x = tf.constant([[150, 2], [100, 2], [99, 1], [150, 4], [150, -1], [np.nan, 1.0]])
    out = guarded(layer, x, control=tfcnf.Control(seed=tf.constant([0, 0])))
    log_det = out.log_det.numpy()
    assert np.isfinite(log_det[0])
    assert (log_det[1:5] == -np.inf).all()
    assert np.isnan(log_det[5])
    assert np.isfinite(out.z).all()


@pytest.fixture(scope="module")
def plane():
    """A flow on a positive number and a grade."""
    columns = [
        Column("amount", low=0.0, margin=0.01, mean=0.7, scale=0.8),
        Column("grade", "integer", low=0, high=4, mean=0.3, scale=1.4),
    ]
    return tfcnf.CNF(
        (2,),
        columns=columns,
        seed=2,
        hidden_layers=1,
        filters=8,
        flows_per_block=1,
        tol=1e-7,
        trace="exact",
        dtype="float64",
    )


def nodes(low, high, count):
    """Gauss-Legendre points and weights on an interval."""
    at, weights = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (at + 1) / 2, weights * (high - low) / 2


def test_a_density_of_a_number_and_an_integer_sums_to_one(plane):
    t, wt = nodes(-14.0, 14.0, 160)  # the amount is exp(0.7 + 0.8 t) - 0.01
    amount = np.exp(0.7 + 0.8 * t) - 0.01
    wt = wt * 0.8 * (amount + 0.01)
    grade, wg = np.concatenate([nodes(k, k + 1, 24) for k in range(5)], 1)
    mesh = np.stack(np.meshgrid(amount, grade, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(plane.log_prob(mesh)).reshape(len(amount), len(grade))
    assert abs(wt @ density @ wg - 1) < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_densities_on_the_line_integrate_to_one(name):
    column, _ = CASES[name]
    model = tfcnf.CNF(
        (1,),
        columns=[column],
        seed=4,
        hidden_layers=1,
        filters=4,
        flows_per_block=1,
        tol=1e-7,
        dtype="float64",
    )
    layer = model.flow.layers[0]
    y, weights = nodes(-9.0, 9.0, 80)
    cells = _undone(layer, tf.constant(y[:, None]))
    slope = -layer(cells[:, None]).log_det
    total = np.sum(weights * np.exp(model.log_prob(cells[:, None]) + slope))
    assert abs(total - 1) < 1e-4


def test_probabilities_of_integers_sum_to_one_and_are_bounded_from_below(plane):
    conditional = tfcnf.CNF(
        (1,),
        columns=[CASES["grade"][0]],
        seed=5,
        hidden_layers=1,
        filters=4,
        flows_per_block=1,
        tol=1e-7,
        dtype="float64",
    )
    total = 0.0
    for k in range(1, 7):
        u, weights = nodes(k, k + 1, 60)
        logs = conditional.log_prob(u[:, None]).numpy()
        probability = weights @ np.exp(logs)
        drawn = conditional.log_prob(np.full([4000, 1], float(k))).numpy().mean()
        assert drawn <= np.log(probability) + 0.02
        assert abs(drawn - weights @ logs) < 0.1
        total += probability
    assert abs(total - 1) < 1e-4


def test_samples_are_in_their_columns_and_a_saved_model_knows_them(plane, tmp_path):
    x = plane.sample(200, seed=1)
    for column, values in zip(plane.columns, x.numpy().T, strict=True):
        column.check(values)
    plane.save(tmp_path / "model.keras")
    twin = tfcnf.CNF.from_config(plane.get_config())
    twin.set_weights(plane.get_weights())
    read = keras.saving.load_model(tmp_path / "model.keras")
    assert read.columns == plane.columns
    np.testing.assert_array_equal(read.log_prob(x), plane.log_prob(x))
    np.testing.assert_array_equal(twin.log_prob(x), plane.log_prob(x))


BAD = {
    "categories have names": lambda: Column("a", "category"),
    "kind must be one of": lambda: Column("a", "ordinal"),
    "bounds must be finite": lambda: Column("a", low=2.0, high=1.0),
    "bounds of integers": lambda: Column("a", "integer", low=0.5),
    "the scale positive": lambda: Column("a", scale=0.0),
    "different names": lambda: Columns(["a", "a"]),
    "a density needs": lambda: Columns([Column("a", "category", names=("x", "y"))]),
    "columns are of vectors of 1": lambda: tfcnf.CNF((2,), columns=["a"]),
    "must be Column objects": lambda: Columns([3]),
    "is constant": lambda: Column("a").fitted(np.ones(5)),
    "above 0. Received: -1.0 in row 1": lambda: Column("a", low=0.0).check([1, -1.0]),
    "must be integers": lambda: Column("a", "integer").check([1.0, 2.5]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_columns_are_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
