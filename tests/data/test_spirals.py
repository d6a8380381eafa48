import numpy as np
import pytest

from tfcnf.data import catalog, spirals
from tfcnf.data.pipeline import steps_per_epoch, training_batches
from tfcnf.data.spirals import END, Design, draw, held_out, with_passes


@pytest.fixture(scope="module")
def source():
    return catalog.get("spirals")


def test_the_papers_sizes_and_distributions(source):
    assert source.describe() == (
        "spirals: 3 labels, a (a number), b (a number), clockwise (0 or 1); series of "
        "up to 200 points of 2 numbers; 5000 training and 5000 test examples"
    )
    for split in (source.train, source.test):
        a, b, clockwise = split.y.T
        assert len(split) == 5000
        assert clockwise.sum() == 2500
        assert split.x.values.shape == (5000, 200, 2)
        assert a.mean() == pytest.approx(1.0, abs=4 * 0.08 / 70)
        assert a.std() == pytest.approx(0.08, rel=0.05)
        assert b.mean() == pytest.approx(0.25, abs=4 * 0.03 / 70)
        assert b.std() == pytest.approx(0.03, rel=0.05)
        noise = split.x.values - split.truth[:, 200:400]
        assert noise.std() == pytest.approx(0.3, rel=0.01)
        assert noise.mean() == pytest.approx(0, abs=0.002)
    shared = np.isin(source.train.y, source.test.y)[:, :2].all(1)
    assert not shared.any()


def test_the_curves_are_those_of_the_paper(source):
    # Eq. 9 at t = pi: R = a + b pi, (x, y) = (-R + 5, 0); Eq. 8 with s = 6 pi + 1 - t
    one = np.array(1.0)
    x, y = spirals.curve(one, 0.25 * one, 0 * one, np.pi * one)
    assert (x, y) == (
        pytest.approx(5 - (1 + 0.25 * np.pi)),
        pytest.approx(0, abs=1e-12),
    )
    x, y = spirals.curve(one, 0.25 * one, one, (END + 1 - 2 * np.pi) * one)
    radius = 1 + 50 * 0.25 / (2 * np.pi)
    assert (x, y) == (pytest.approx(radius - 5), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize(("clockwise", "sign"), [(1.0, -1), (0.0, 1)])
def test_curves_turn_the_way_they_are_labelled(clockwise, sign):
    t = np.linspace(0.5, 12, 500)
    x, y = spirals.curve(np.array(1.0), np.array(0.25), np.array(clockwise), t).T
    centre = -5 if clockwise else 5
    angle = np.unwrap(np.arctan2(y, x - centre))
    assert (np.sign(np.diff(angle)) == sign).all()


def test_the_truth_reaches_as_long_before_and_after(source):
    split = source.test
    step = END / 999
    np.testing.assert_allclose(
        split.truth_times, np.arange(-200, 400) * step, atol=1e-5
    )
    np.testing.assert_array_equal(split.x.times[0], split.truth_times[200:400])
    assert split.truth_mask.all()
    assert source.window == pytest.approx(199 * step)


def test_the_reference_design_has_curves_that_end():
    source = catalog.get("spirals_reference")
    assert source.train.x.values.shape == (5000, 100, 2)
    mask = source.test.truth_mask
    assert mask[:, :200].all()
    assert not mask.all()
    assert (np.diff(mask, axis=1) <= 0).all()


def test_unseen_domains_are_shifted_or_held_out():
    source = catalog.get("spirals_held_out")
    assert not held_out(*source.train.y[:, 1:].T).any()
    assert source.train.y[:, 2].sum() == 2500
    assert held_out(*source.domains["held_out"].y[:, 1:].T).all()
    assert held_out(*source.test.y[:, 1:].T).any()
    for name, shift in (("shift_2", 2), ("shift_4", 4)):
        a, b, _ = source.domains[name].y.T
        assert a.mean() == pytest.approx(1 + shift * 0.08, abs=0.012)
        assert b.mean() == pytest.approx(0.25 + shift * 0.03, abs=0.005)


def test_epochs_of_several_passes_see_every_series_as_often():
    source = with_passes(catalog.get("spirals"), 3)
    assert steps_per_epoch(source.train, 2500) == 6
    seen = []
    for x, y in training_batches(source, 2500, seed=0, epoch=0):
        assert x.values.shape == (2500, 200, 2)
        seen.append(y.numpy()[:, 0])
    for first in (0, 2, 4):
        both = np.sort(np.concatenate(seen[first : first + 2]))
        np.testing.assert_array_equal(both, np.sort(source.train.y[:, 0]))
    assert (seen[0] != seen[2]).any()


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Design(window=400), "longer than the curve"),
        (Design(length=100), "longer than the curve. Received: window=200"),
        (Design(window=0), "Received: window=0"),
        (Design(noise=-1.0), "noise=-1.0"),
    ],
)
def test_a_bad_design_is_refused(design, message):
    with pytest.raises(ValueError, match=r"Received: ") as failure:
        draw(design, 0)
    assert message in str(failure.value)
