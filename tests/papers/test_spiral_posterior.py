"""The exact posterior against integrals over a grid of a and b."""

import json

import numpy as np
import pytest

from papers import baselines, spiral_posterior
from papers.spiral_posterior import posterior
from tfcnf.data.series import SeriesSource
from tfcnf.data.spirals import DEVIATION, MEAN, Design, curve, draw, starts, times

DESIGN = Design(spirals=4, length=40, window=8)


def integrated(x, design):
    """log p(x), means of (a, b, clockwise) and of the curve, by summing over a grid."""
    grid = np.linspace(-6, 6, 81)
    za, zb = (z.ravel() for z in np.meshgrid(grid, grid))
    prior = np.exp(-0.5 * (za**2 + zb**2)) / (2 * np.pi) * (grid[1] - grid[0]) ** 2
    a, b = MEAN[0] + DEVIATION[0] * za, MEAN[1] + DEVIATION[1] * zb
    n, cases = design.window, []
    for clockwise in (0.0, 1.0):
        for start in starts(design):
            t = times(design)[start - n : start + 2 * n]
            curves = curve(a[:, None], b[:, None], np.array(clockwise), t)
            square = np.square((x - curves[:, n : 2 * n]) / design.noise).sum((1, 2))
            constant = n * np.log(2 * np.pi * design.noise**2)
            weight = prior * np.exp(-0.5 * square - constant)
            labels = np.stack([a, b, np.full_like(a, clockwise)], 1)
            cases.append(
                (weight.sum(), weight @ labels, np.einsum("g,gtc->tc", weight, curves))
            )
    mass, labels, curves = (np.sum(part, 0) for part in zip(*cases, strict=True))
    return np.log(mass / len(cases)), labels / mass, curves / mass


def test_the_closed_form_against_an_integral():
    split = draw(DESIGN, 5)
    found = posterior(split, DESIGN)
    for i, x in enumerate(split.x.values):
        log_evidence, labels, curves = integrated(x, DESIGN)
        assert found.log_evidence[i] == pytest.approx(log_evidence, abs=1e-3)
        np.testing.assert_allclose(found.labels[i], labels, atol=1e-4)
        np.testing.assert_allclose(found.curves[i], curves, atol=1e-3)


def test_without_noise_everything_is_known():
    design = DESIGN._replace(spirals=50, noise=1e-4)
    split = draw(design, 6)
    found = posterior(split, design)
    np.testing.assert_allclose(found.labels, split.y, atol=2e-3)
    there = split.truth_mask[..., None] > 0
    gap = np.where(there, found.curves - split.truth, 0.0)
    assert np.abs(gap).max() < 5e-3


def test_it_is_measured_by_the_baselines(monkeypatch, tmp_path):
    monkeypatch.setitem(spiral_posterior.DESIGNS, "few", DESIGN)
    test, far = draw(DESIGN, 1), draw(DESIGN._replace(shift=4.0), 2)
    labels, kinds = ("a", "b", "clockwise"), ("gaussian", "gaussian", "bernoulli")
    source = SeriesSource("few", test, test, {"shift_4": far}, labels, kinds, 1.0)
    out = tmp_path / "spirals.json"
    baselines.save(source, str(out))
    scores = json.loads(out.read_text())
    assert scores["shift_4/a_deviation"] > 2 * scores["a_deviation"] > 0
    gap = posterior(test, DESIGN).labels[:, 0] - test.y[:, 0]
    assert scores["a_rmse"] == pytest.approx(np.sqrt(np.mean(gap**2)))
    assert {"rmse_window", "rmse_forward", "rmse_backward"} <= set(scores)
