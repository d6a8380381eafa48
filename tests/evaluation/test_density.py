import keras
import numpy as np
import pytest

from tfcnf import CNF, InfoCNF
from tfcnf.data import catalog, mixture1d, toy2d
from tfcnf.data.source import DataSource, Density, Split
from tfcnf.diagnostics import LearnedDensity
from tfcnf.evaluation.density import (
    DensityEvaluator,
    area,
    area_measures,
    divergence,
    grid_of,
)
from tfcnf.models.precision import copy_in

SMALL = {
    "filters": 8,
    "hidden_layers": 1,
    "flows_per_block": 1,
    "activation": "tanh",
    "time": "concatsquash",
    "trace": "exact",
    "tol": 1e-5,
    "seed": 0,
}


def lively(model):
    """Weights larger than at the start, so that the flow does something."""
    for i, variable in enumerate(model.flow.trainable_variables):
        noise = np.random.default_rng(i).normal(size=variable.shape)
        variable.assign(variable + 1.5 * noise)
    return model


@pytest.fixture(scope="module")
def line():
    """A source of points on the line with a coarse grid, and a lively InfoCNF."""
    x, y = mixture1d._draw(60, 3).x, mixture1d._draw(60, 3).y
    density = Density((-12.0,), (12.0,), 1201, mixture1d.log_prob)
    source = DataSource("line", Split(x, y), Split(x, y), (3,), 1, density=density)
    return source, lively(InfoCNF((1,), 3, supervised_fraction=1.0, **SMALL))


def test_measures_of_a_known_density():
    density = Density((-8.0, -8.0), (8.0, 8.0), 161)
    grid = grid_of(density)
    log_p = -0.5 * (grid**2).sum(1) - np.log(2 * np.pi)
    measures = dict(area_measures(log_p + np.log(0.9), density))
    assert measures["area"] == pytest.approx(0.9, abs=1e-12)
    assert measures["area_error"] == pytest.approx(0.1, abs=1e-12)
    assert measures["area_riemann"] == pytest.approx(0.9, abs=1e-12)
    assert measures["quadrature_error"] < 1e-12
    assert measures["edge_density"] == pytest.approx(0.9 * np.exp(-32) / 2 / np.pi)
    # KL of N(0, I) from N((1, 0), I) is 1/2
    moved = -0.5 * ((grid - [1, 0]) ** 2).sum(1) - np.log(2 * np.pi)
    assert divergence(log_p, moved, density) == pytest.approx(0.5, abs=1e-9)


def test_too_coarse_a_grid_says_so():
    density = Density((-8.0,), (8.0,), 9)
    log_p = -0.5 * grid_of(density)[:, 0] ** 2 / 0.01 - 0.5 * np.log(2 * np.pi * 0.01)
    measures = dict(area_measures(log_p, density))
    assert measures["quadrature_error"] > 0.5 * measures["area_error"] > 1


def test_where_the_truth_vanishes_nothing_is_added():
    density = Density((-8.0, -8.0), (8.0, 8.0), 321, toy2d.checkerboard_log_prob)
    truth = density.log_prob(grid_of(density) + 1e-9)
    assert area(truth, density) == pytest.approx(1, abs=0.01)
    uniform = np.full(321**2, -np.log(64))  # on the whole board: twice the area
    assert divergence(truth, uniform, density) == pytest.approx(np.log(2), abs=0.01)


@pytest.mark.slow
def test_the_area_follows_the_tolerance_in_both_float_types(line):
    source, model = line
    for dtype, most in (("float32", 1e-3), ("float64", 1e-4)):
        evaluator = DensityEvaluator(copy_in(model, dtype), source, 60)
        loose, tight, tighter = (
            dict(evaluator.run(tol, backward=tol == 1e-8)) for tol in (1e-1, 1e-5, 1e-8)
        )
        assert tight["area_error"] <= most
        assert tight["area_error"] < 0.1 * loose["area_error"]
        assert tighter["area_error"] <= max(tight["area_error"], 1e-6)
        assert tighter["quadrature_error"] < 1e-7
        assert tighter["own_tolerance"] == pytest.approx(1e-5)
        assert tighter["own_area_error"] <= most
        for k in range(3):
            assert tight[f"area_error/class_{k}"] <= most
        assert tight["kl_from_truth"] > 0
    # float64 has no floor here
    assert tighter["area_error"] < 1e-6


def test_the_curves_densities_are_those_of_the_model(line):
    source, model = line
    arrays = LearnedDensity().compute(model, source)
    x = arrays["axis_0"][500:505].astype(np.float32)[:, None]
    np.testing.assert_allclose(
        arrays["model/marginal"][500:505], model.marginal_log_prob(x), atol=1e-3
    )
    for k in range(3):
        expected = model.log_prob(x, np.full(5, k))
        np.testing.assert_allclose(
            arrays[f"model/class_{k}"][500:505], expected, atol=1e-3
        )
    assert arrays["samples"].shape == (60, 1)
    np.testing.assert_allclose(
        np.exp(arrays["truth"]), np.exp(mixture1d.log_prob(arrays["axis_0"][:, None]))
    )


def test_a_copy_in_float64_has_the_same_weights_and_is_more_exact(line):
    source, model = line
    twin = copy_in(model, "float64")
    x = source.test.x
    near = model.marginal_log_prob(x, tol=1e-6).numpy()
    exact = twin.marginal_log_prob(x, tol=1e-12).numpy()
    assert exact.dtype == np.float64
    np.testing.assert_allclose(near, exact, atol=1e-4)
    again = twin.marginal_log_prob(x, tol=1e-10).numpy()
    assert np.abs(again - exact).max() < 1e-8


def test_a_copy_in_float64_takes_a_schedule_along():
    model = CNF((1,), **(SMALL | {"policy": "scheduled"}))
    model.set_epoch(3)
    twin = copy_in(model, "float64")
    schedules = [p for pair in twin.flow.policies for p in pair if hasattr(p, "epoch")]
    assert schedules
    assert {int(policy.epoch.value) for policy in schedules} == {3}


def test_a_copy_in_float64_takes_adapted_tolerances_along():
    model = CNF((1,), **(SMALL | {"policy": "adapted", "tol": 1e-3}))
    before = model.flow.policies[0][0]
    before.hear(1.0)  # less honest than the limit
    (now, *_), *_ = copy_in(model, "float64").flow.policies
    assert float(now.now.value) == float(before.now.value) < 1e-3


def test_a_copy_in_float64_takes_the_gates_along():
    model = InfoCNF((2,), 2, **(SMALL | {"policy": "learned", "tol": 1e-3}))
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    y = np.zeros([8, 1], np.int32)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    twin = copy_in(model, "float64")
    for new, old in zip(twin.gate_weights, model.gate_weights, strict=True):
        assert new.dtype == "float64"
        np.testing.assert_array_equal(new.numpy(), old.numpy())
    exact = twin.log_prob(x, y, tol=1e-10).numpy()
    np.testing.assert_allclose(model.log_prob(x, y, tol=1e-6), exact, atol=1e-4)


def test_images_are_not_for_areas(digits):
    small = {"filters": 2, "hidden_layers": 1, "num_scales": 1, "flows_per_block": 1}
    model = CNF(digits.event_shape, num_levels=17, **small)
    with pytest.raises(ValueError, match="Received: source='digits'"):
        DensityEvaluator(model, digits)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_flow_of_your_own_keeps_its_dtype(trainable):
    flow = CNF((1,), **SMALL).flow
    flow.trainable = trainable
    with pytest.raises(ValueError, match="Received: "):
        copy_in(CNF((1,), flow=flow), "float64")


@pytest.mark.slow
def test_a_trained_mixture_keeps_the_papers_claim():
    source = catalog.get("mixture1d")
    options = SMALL | {"filters": 64, "hidden_layers": 3}
    model = CNF((1,), **options)
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit(source.train.x, source.train.y, batch_size=400, epochs=10, verbose=0)
    for dtype, most in (("float32", 1e-3), ("float64", 1e-4)):
        evaluator = DensityEvaluator(copy_in(model, dtype), source, 4000)
        for tol in (1e-5, 1e-6, 1e-7, 1e-8):
            measures = dict(evaluator.run(tol))
            assert measures["quadrature_error"] < 1e-7
            assert measures["area_error"] <= most


def test_a_flow_without_labels_has_samples_and_one_density(line):
    source, _ = line
    model = CNF((1,), filters=4, hidden_layers=1, flows_per_block=1, tol=1e-2, seed=0)
    arrays = LearnedDensity().compute(model, source, tol=1e-2)
    assert arrays["samples"].shape == arrays["data"].shape == (60, 1)
    assert [name for name in arrays if "/" in name] == ["model/marginal"]
