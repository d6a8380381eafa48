"""The certificate of a linear field, whose every number is known in closed form.

One step of a Runge-Kutta pair takes dz/dt = a z from z to R(a) z, with the pair's
stability function R, while the log-determinant a is exact. So a tolerance that allows
a single step gives p(x) = N(R(a) x) e^a on the line, of mass e^a / R(a).
"""

import math

import keras
import numpy as np
import pandas as pd
import pytest

import tfcnf
from tfcnf.data.source import DataSource, Density, Split
from tfcnf.diagnostics import Certificate
from tfcnf.evaluation.certify import Certifier, closest_approach, nearest_pairs
from tfcnf.evaluation.solves import Solves

A, LOOSE, COUNT = -3.0, 10.0, 64


@keras.saving.register_keras_serializable("tests")
class Linear(tfcnf.Dynamics):
    def call(self, t, z):
        return A * z


def stability(solver, x):
    """R(x) = 1 + x b (I - x a)^-1 1 of a pair."""
    tableau = solver.tableau
    count = len(tableau.c)
    a = np.zeros([count, count])
    for i, row in enumerate(tableau.a):
        a[i + 1, : len(row)] = row
    inverse = np.linalg.inv(np.eye(count) - x * a)
    return 1 + x * np.asarray(tableau.b, float) @ inverse @ np.ones(count)


X = np.random.default_rng(0).normal(size=[COUNT, 1])
R, OTHER = (stability(solver, A) for solver in (tfcnf.Dopri5, tfcnf.Tsit5))


def source(density):
    split = Split(X, np.zeros([COUNT, 0], np.int32))
    return DataSource("line", split, split, (), 1, density=density)


@pytest.fixture(scope="module")
def model():
    policy = tfcnf.FixedTolerance(LOOSE, dtype="float64")
    layer = tfcnf.CNFLayer(
        Linear(dtype="float64"), policy, trace="exact", dtype="float64"
    )
    return tfcnf.CNF((1,), flow=layer, dtype="float64", seed=0)


@pytest.fixture(scope="module")
def measures(model):
    box = Density((-200.0,), (200.0,), 4001)
    certificate = Certificate(tols=(), examples=COUNT)
    arrays = certificate.compute(model, source(box), tol=1e-6)
    return dict(certificate.measures(arrays))


def test_one_step_has_the_numbers_of_the_stability_function(measures):
    assert measures["trained/tolerance"] == LOOSE
    assert measures["trained/evaluations"] == 8
    mass = math.exp(A) / R
    assert measures["trained/mass_error"] == pytest.approx(abs(mass - 1), rel=1e-6)
    back = abs(1 - R * stability(tfcnf.Dopri5, -A))
    assert measures["trained/inversion"] == pytest.approx(
        np.mean(np.abs(X)) / np.std(X) * back, rel=1e-6
    )
    bits = (R**2 - OTHER**2) / 2 * np.mean(X**2) / math.log(2)
    assert measures["trained/method_change"] == pytest.approx(abs(bits), rel=1e-6)
    # all ways shrink by the same factor, on the way within a step by another one
    assert 0 <= measures["trained/approach"] <= R
    assert measures["trained/approach_se"] == pytest.approx(0, abs=1e-9)


def test_a_tight_tolerance_has_numbers_of_its_size(measures):
    tight = {k: v for k, v in measures.items() if k.startswith("1e-06/")}
    for name in ("change", "method_change", "inversion", "mass_error"):
        assert tight[f"1e-06/{name}"] < 1e-4
    assert tight["1e-06/approach"] == pytest.approx(math.exp(A), rel=1e-4)


def test_the_reference_takes_more_steps_than_what_it_judges(model, measures):
    solves = Solves(model, source(None).test)
    tol = np.array([100.0])  # a hundredth of it allows a single step, too
    certifier = Certifier(solves, source(None), [tol], 4)
    assert solves.solve(tol / 100).nfe == solves.solve(tol).nfe == 8
    assert certifier._reference(tol).nfe > 8
    exact = (R**2 - math.exp(2 * A)) / 2 * np.mean(X**2) / math.log(2)
    found = certifier.numbers(tol)
    assert found["change"] == pytest.approx(abs(exact), rel=0.2)
    # without a box the mass is a mean over samples of the exact density
    mass = math.exp(A) / R
    assert found["mass_error"] == pytest.approx(
        abs(mass - 1), abs=3 * found["mass_error_se"]
    )


def test_the_verdict_warns_of_the_loose_tolerance(measures):
    held, warning = Certificate.verdict(measures)
    assert held.endswith("as at all tighter ones, is 1e-06.")
    assert warning.startswith("Warning: the model was trained at tolerance 10, which")


def test_neighbours_are_the_nearest_that_are_not_equal():
    x = np.array([[0.0], [0.0], [3.0], [1.0]])
    np.testing.assert_array_equal(nearest_pairs(x, 3), [[0, 3], [1, 3], [2, 3]])
    ways = np.array([[[[0.0], [0.0], [0.0]], [[2.0], [-0.5], [1.0]]]])
    np.testing.assert_array_equal(closest_approach(ways), [0.25])


class OneWay(tfcnf.CNFLayer):
    def call(self, x, inverse=False, control=None):
        if inverse:
            raise NotImplementedError
        return super().call(x, control=control)


def test_what_cannot_be_sampled_from_is_refused(model):
    flow = OneWay(Linear(dtype="float64"), trace="exact", dtype="float64")
    one_way = tfcnf.CNF((1,), flow=flow, dtype="float64", seed=0)
    for value in ("a text", one_way):
        with pytest.raises(ValueError, match=r"can be sampled from\. Received: model="):
            Certificate(examples=4).compute(value, source(None))
    series = DataSource("series", *[source(None).test] * 2, (), 1)
    with pytest.raises(ValueError, match=r"certificate is for flows.* data=<class"):
        Certificate().compute(model, type("Series", (), {"name": type(series)}))


def test_a_table_given_a_context_has_a_certificate():
    rng = np.random.default_rng(0)
    c = rng.normal(size=200)
    frame = pd.DataFrame({"a": c + rng.normal(size=200), "c": c})
    data = tfcnf.from_frame(frame, ["a"], context=["c"])
    sizes = {"hidden_layers": 1, "filters": 4, "flows_per_block": 1}
    model = tfcnf.CNF(**data.model_keywords(), **sizes, seed=0)
    solves, tol = Solves(model, data.test), np.array([1e-4])
    expected = model.log_prob(data.test.x, context=data.test.context, tol=1e-4)
    np.testing.assert_allclose(solves.solve(tol).log_prob, expected, rtol=1e-4)
    certificate = Certificate(tols=(), examples=8)
    measures = dict(certificate.measures(certificate.compute(model, data, tol=1e-4)))
    assert measures["0.0001/inversion"] < 1e-2
