"""Work against precision: counts, reference solutions, gradients and the summary."""

import numpy as np
import pytest

from benchmarks import solver
from benchmarks.contenders import OURS, PACKAGE, make_contenders, run_contender
from benchmarks.problems import Problem, classical_problems, pack
from benchmarks.trained import GRADIENTS, load_cnfs

PROBLEMS = {problem.name: problem for problem in classical_problems()}


@pytest.fixture(scope="module")
def contenders():
    return make_contenders()[0]


@pytest.fixture(scope="module")
def cnf(finished_run):
    (cnf,) = load_cnfs(str(finished_run), batch_size=2)
    return cnf


@pytest.mark.parametrize("name", ["linear", "oscillator"])
def test_closed_forms_agree_with_the_numerical_reference(name):
    problem = PROBLEMS[name]
    numerical = problem._replace(exact=None).truth()
    np.testing.assert_allclose(pack(problem.exact), pack(numerical), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("A1", np.exp(-20.0)),
        ("A2", 1 / np.sqrt(21.0)),
        ("A3", np.exp(np.sin(20.0))),
        ("A4", 20 / (1 + 19 * np.exp(-5.0))),
    ],
)
def test_references_of_the_scalar_detest_problems_are_their_closed_forms(name, exact):
    # DOP853 at 1e-13 has an absolute error of about that in A1
    truth = PROBLEMS[f"DETEST {name}"].truth()[0]
    np.testing.assert_allclose(truth, exact, rtol=1e-10, atol=1e-12)


def test_invariants_of_the_systems_are_kept():
    (torus,) = PROBLEMS["DETEST B4"].truth()
    radius = np.hypot(torus[0], torus[1])
    np.testing.assert_allclose((radius - 2) ** 2 + torus[2] ** 2, 1.0, rtol=1e-10)
    (chain,) = PROBLEMS["DETEST C1"].truth()
    np.testing.assert_allclose(chain.sum(), 1.0, rtol=1e-10)
    for name, e in [("D1", 0.1), ("D3", 0.5), ("D5", 0.9)]:
        (x, y, u, v) = PROBLEMS[f"DETEST {name}"].truth()[0]
        np.testing.assert_allclose(x * v - y * u, np.sqrt(1 - e**2), rtol=1e-9)
        energy = (u**2 + v**2) / 2 - 1 / np.hypot(x, y)
        np.testing.assert_allclose(energy, -0.5, rtol=1e-9)


def test_every_contender_counts_its_calls_and_reaches_its_tolerance(contenders):
    times = []

    def rhs(t, a, b):
        times.append(t)
        return b, -a

    y0 = np.array([1.0, 0.0, 2.0]), np.array([0.0, 1.0, -1.0])
    circle = Problem("circle", rhs, y0, 3.0)
    exact = [np.cos(3) * y0[0] + np.sin(3) * y0[1], np.cos(3) * y0[1]]
    exact[1] -= np.sin(3) * y0[0]
    for name, solve in contenders.items():
        counts = []
        for tol in (1e-4, 1e-7):
            times.clear()
            calls, y = run_contender(solve, circle, tol)
            assert calls == len(times), name
            np.testing.assert_allclose(pack(y), pack(exact), atol=30 * tol)
            counts.append(calls)
        assert counts[0] < counts[1], name


def test_trained_cnfs_are_solved_in_float64(cnf, contenders):
    problem = cnf.problem()
    truth = pack(problem.truth())
    assert truth.shape == (2 * 64 + 2,)
    _, y = run_contender(contenders[OURS], problem, 1e-9)
    np.testing.assert_allclose(pack(y), truth, atol=1e-7)


@pytest.fixture(scope="module")
def true_gradient(cnf):
    return cnf.true_gradient()


@pytest.mark.parametrize(
    "name",
    [
        name if name == OURS else pytest.param(name, marks=pytest.mark.slow)
        for name in GRADIENTS
    ],
)
def test_trained_cnfs_are_differentiated_in_float64(name, cnf, true_gradient):
    size = 2 * 64 + sum(int(np.prod(weight.shape)) for weight in cnf.theta)
    assert true_gradient.shape == (size,)
    (few, loose), (many, tight) = cnf.gradients(name, [1e-3, 1e-7])
    step = PACKAGE[name].tableau.evaluations if name in PACKAGE else 6
    assert 1 + step <= few < many
    norm = np.linalg.norm(true_gradient)
    assert np.linalg.norm(tight - true_gradient) < 1e-5 * norm
    assert np.linalg.norm(loose - true_gradient) < 0.1 * norm


def test_summary_compares_at_equal_or_smaller_error():
    def points(*pairs):
        return [{"tol": e, "evaluations": n, "error": e} for n, e in pairs]

    results = {
        "skipped": ["x"],
        "forward": {
            "p": {
                OURS: points((20, 1e-2), (32, 1e-4), (50, 1e-6)),
                # the last wastes evaluations: it counts nothing
                "tfp": points((40, 1e-2), (60, 2e-5), (400, 3e-5)),
                "scipy RK45": points((26, 1e-4), (90, 1e-8)),
            }
        },
        "backward": {},
    }
    summary = solver.summarise(results)
    tfp, scipy = (summary["forward"][n] for n in ("tfp", "scipy RK45"))
    assert tfp["points"] == 2
    np.testing.assert_allclose(tfp["worst"], 50 / 60)
    np.testing.assert_allclose(tfp["median"], (20 / 40 + 50 / 60) / 2)
    assert scipy["not_reached"] == 1
    assert scipy["excess_steps"] == 1.0
    targets = summary["targets"]
    assert targets["forward never above 0.9 of tfp"] is True
    assert targets["at most one step beyond scipy RK45"] is False  # not reached
    assert targets["backward median at most 0.6 of tfp's adjoint"] is None


def test_tolerances_of_ours_are_finer_and_go_further():
    ours, theirs = (solver.tolerances(name, (2, 4)) for name in (OURS, "tfp"))
    assert len(theirs) == 5
    assert len(ours) == 13
    np.testing.assert_allclose(ours[::2][:5], theirs)
    np.testing.assert_allclose(ours[-1], 1e-5)
