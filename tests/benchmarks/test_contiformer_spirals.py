"""ContiFormer's spirals: what is drawn, what is scored, and that both models learn."""

import numpy as np
import pytest

from benchmarks import contiformer_spirals as bench


def test_the_curves_are_archimedean_spirals_in_the_unit_square():
    data = bench.draw(np.random.default_rng(27))
    assert data.truth.shape == data.noisy.shape == (300, 150, 2)
    np.testing.assert_allclose(data.truth.min((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(data.truth.max((0, 1)), 1, atol=1e-6)
    deviation = (data.noisy - data.truth).std()
    assert deviation == pytest.approx(data.sigma, rel=0.05)
    # after a turn the distance of a curve's points is 2 pi b on every ray
    turns = np.linalg.norm(np.diff(data.truth[:, [0, 149]], axis=1)[:, 0], axis=-1)
    assert turns.std() / turns.mean() == pytest.approx(0.02 / 0.3, rel=0.3)
    shown = bench.some(np.random.default_rng(0))
    assert len(set(shown)) == 50
    assert shown.max() < 75


def test_scores_are_root_mean_squares_of_the_halves():
    truth = np.zeros([3, 150, 2])
    curves = np.concatenate([np.full([3, 75, 2], 3.0), np.full([3, 75, 2], 4.0)], 1)
    found = bench.scores(curves, truth)
    assert found["interpolation"] == pytest.approx(3 * 2**0.5)
    assert found["extrapolation"] == pytest.approx(4 * 2**0.5)


def counting(data, steps, seed, targets):
    """A contender whose curves are a sum over all points that it has read."""
    total = []
    return bench.Contender(
        total.append,
        lambda index: np.full([100, 150, 2], np.sum(total) + seed + index[0]),
        lambda: [*total],
        total.extend,
    )


def stopping(make, after):
    """The same contender, whose training is interrupted after so many steps."""

    def stopped(*arguments):
        made, steps = make(*arguments), []

        def train(index):
            if len(steps) == after:
                raise KeyboardInterrupt
            steps.append(index)
            made.train(index)

        return made._replace(train=train)

    stopped.__name__ = make.__name__
    return stopped


def check_goes_on(make, steps, after, targets, path):
    """Checks that an interrupted run ends as a whole one, whose scores it returns."""
    whole = bench.run(make, steps, 27, targets)
    with pytest.raises(KeyboardInterrupt):
        bench.run(stopping(make, after), steps, 27, targets, path)
    found = bench.run(make, steps, 27, targets, path)
    for part, expected in zip(found, whole, strict=True):
        named = expected | {"cpu_seconds": part["cpu_seconds"]}
        assert part == pytest.approx(named, rel=1e-3)
    return whole


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path):
    path = tmp_path / "state.pkl"
    check_goes_on(counting, 250, 170, "both", path)
    with pytest.raises(ValueError, match=r"state is of another run.*'seed': 4"):
        bench.run(counting, 250, 4, "both", path)


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["both", "observed"])
@pytest.mark.parametrize("contender", ["ours", "peer"])
def test_a_contender_learns_and_goes_on(contender, targets, tmp_path, monkeypatch):
    if contender == "peer":
        pytest.importorskip("torch", reason="torch is an extra for benchmarks")
        pytest.importorskip("torchdiffeq", reason="an extra for benchmarks")
    monkeypatch.setattr(bench, "KEPT_EVERY", 12)
    make, path = getattr(bench, contender), tmp_path / "state.pkl"
    found = check_goes_on(make, 30, 20, targets, path)
    assert [part["step"] for part in found] == [*range(3, 31, 3)]
    assert found[-1]["interpolation"] < 0.8 * found[0]["interpolation"]
