import numpy as np
import pytest
from scipy.stats import kstest, norm

from tfcnf.data import catalog, mixture1d, toy2d

BOX = np.linspace(-15, 15, 20_001)


def test_the_mixture_is_the_papers():
    source = catalog.get("mixture1d")
    assert (source.event_shape, source.num_classes, source.num_levels) == (
        (1,),
        (3,),
        1,
    )
    for k, mean in enumerate((-2.8, -0.9, 2.0)):
        points = source.train.x[source.train.y[:, 0] == k, 0]
        assert kstest(points, norm(mean, np.sqrt(0.4)).cdf).pvalue > 1e-3
    assert not np.isin(source.test.x, source.train.x).all()


def test_the_mixtures_density_against_scipy():
    density = np.exp(mixture1d.log_prob(BOX[:, None]))
    parts = [norm(mean, np.sqrt(0.4)).pdf(BOX) for mean in (-2.8, -0.9, 2.0)]
    np.testing.assert_allclose(density, np.mean(parts, 0), rtol=1e-12, atol=1e-300)
    assert np.trapezoid(density, BOX) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", list(toy2d.TOYS))
def test_toys_have_labels_that_tell_the_parts_apart(name):
    source = catalog.get(name)
    x, y = source.train.x, source.train.y[:, 0]
    assert source.event_shape == (2,)
    assert x.dtype == np.float32
    classes = source.num_classes[0]
    shares = np.bincount(y, minlength=classes) / len(y)
    np.testing.assert_allclose(shares, 1 / classes, atol=0.02)
    assert np.abs(x).max() < 6  # well inside the box of its density
    again = catalog.get(name)
    np.testing.assert_array_equal(again.train.x, x)
    # the nearest labelled point nearly always has the same label
    gaps = ((x[:500, None] - x[None, 500:4000]) ** 2).sum(-1)
    same = y[500:4000][gaps.argmin(1)] == y[:500]
    assert same.mean() > 0.93


@pytest.mark.parametrize("name", ["eight_gaussians", "checkerboard"])
def test_known_densities_integrate_to_one_and_fit_their_points(name):
    source = catalog.get(name)
    log_prob = source.density.log_prob
    side = np.linspace(-8, 8, 640, endpoint=False) + 16 / 1280  # cell middles
    mesh = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    values = np.exp(log_prob(mesh))
    assert values.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-6)
    # the mean log-density of the points is minus the entropy of the density
    entropy = -np.nansum(values * np.log(np.where(values > 0, values, 1)))
    entropy *= (side[1] - side[0]) ** 2
    assert -log_prob(source.train.x).mean() == pytest.approx(entropy, abs=0.02)
