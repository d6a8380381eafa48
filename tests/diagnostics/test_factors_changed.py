"""One label changed at a time: the code's other parts stay, and judges count."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tfcnf import Categorical, DataSource, InfoCNF, Real, Split
from tfcnf.diagnostics import Factors
from tfcnf.evaluation.image import Evaluator
from tfcnf.evaluation.pixels import PixelJudge

RNG = np.random.default_rng(0)
SHAPE, LEVELS, TOL = (4, 4, 1), 17, 1e-5
SMALL = {"filters": 2, "hidden_layers": 1, "flows_per_block": 1, "num_scales": 1}


def bright(n):
    """Images whose brightness is a class and whose slope is a number."""
    label, slope = RNG.integers(0, 3, n), RNG.uniform(-1, 1, n)
    line = np.linspace(-1.5, 1.5, 4)
    rows = 4 * label[:, None, None] + 2 * slope[:, None, None] * line[:, None]
    x = np.round(4 + rows + np.zeros(4)).astype(np.uint8)[..., None]
    return Split(x, np.stack([label, slope], 1).astype(np.float32))


@pytest.fixture(scope="module")
def source():
    labels = [Categorical(3, title="class"), Real(1, title="slope")]
    return DataSource("bright", bright(300), bright(20), labels, LEVELS)


@pytest.fixture(scope="module")
def model(source):
    """A model of both labels, with random weights throughout."""
    model = InfoCNF(**source.model_keywords(), alpha=0.05, tol=TOL, seed=0, **SMALL)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.2 * RNG.normal(size=weight.shape))
    return model


@pytest.fixture(scope="module")
def arrays(model, source):
    return Factors().compute(model, source, tol=TOL)


@pytest.mark.parametrize(("i", "name"), [(0, "class"), (1, "slope")])
def test_one_part_of_the_code_is_the_priors_mean_and_the_others_stay(
    model, source, arrays, i, name
):
    images, values = arrays[f"{name}_images"], arrays[f"{name}_values"]
    flat = images.reshape(-1, *SHAPE)
    found = model.encode(flat, tol=TOL).numpy().reshape(*images.shape[:2], -1)
    codes, rest = model.prior.partition.split(found)
    own, own_rest = model.prior.partition.split(model.encode(source.test.x, tol=TOL))
    means = model.labels[i].prior(values).loc.numpy()
    for j, (part, before) in enumerate(zip(codes, own, strict=True)):
        expected = means[None] if j == i else np.asarray(before)[:, None]
        np.testing.assert_allclose(part, expected + 0 * part, atol=1e-3)
    expected = np.asarray(own_rest)[:, None] + 0 * rest
    np.testing.assert_allclose(rest, expected, atol=1e-3)


def test_measures_count_what_the_judges_see():
    made = {
        "labels": np.array(["class", "slope"]),
        "class_values": np.array([[0], [1]]),
        "class_own": np.array([0, 1, 2]),
        "class_seen/class": np.array([[0, 1], [0, 0], [0, 2]]),
        "class_seen/slope": np.array([[0.0, 0.5], [1.0, 1.0], [2.0, 2.0]]),
        "class_whole": np.array(True),
        "class_judge": np.array(7.0),
        "slope_values": np.array([[-1.0], [1.0]]),
        "slope_own": np.array([0.0, 1.0, 2.0]),
        "slope_seen/class": np.array([[0, 0], [1, 0], [2, 2]]),
        "slope_seen/slope": np.array([[-1.0, 0.0], [-1.0, 1.0], [-1.0, 1.0]]),
        "slope_whole": np.array(False),
        "slope_judge": np.array(0.25),
    }
    found = dict(Factors().measures(made))
    # changed: (0 to 1), (1 to 0), (2 to 0), (2 to 1); seen 1, 0, 0, 2
    assert found["class/agreement"] == pytest.approx(75.0)
    assert found["class/moved_slope"] == pytest.approx(0.25)
    assert found["class/judge_error"] == 7.0
    # the value 1 of the second is its own; the others are changed
    assert found["slope/rmse"] == pytest.approx(np.sqrt(1 / 5))
    assert found["slope/kept_class"] == pytest.approx(100.0)
    assert found["slope/judge_rmse"] == 0.25


def test_judges_know_images_of_their_labels(source):
    for column, is_class, most in [(0, True, 5.0), (1, False, 0.25)]:
        judge = PixelJudge(
            source.train.x,
            source.train.y[:, column],
            num_levels=LEVELS,
            is_class=is_class,
        )
        x, y = source.test.x, source.test.y[:, column]
        assert judge.error(x, y) < most
        np.testing.assert_array_equal(judge((x + 0.5) / LEVELS), judge(x))


def test_the_grids_are_drawn(arrays):
    factors = Factors()
    for name in ("", "slope"):
        ax = factors.plot(arrays, name=name)
        assert "changed" in ax.get_title()
        plt.close(ax.figure)
    with pytest.raises(ValueError, match=r"one of class, slope. Received: name='ink'"):
        factors.plot(arrays, name="ink")
    (figure,) = (draw() for draw in factors.figures(arrays).values())
    assert len(figure.axes) == 2


def test_evaluations_measure_every_label(model, source):
    found = dict(Evaluator(model, source, 20).run(TOL))
    z = model.encode(source.test.x, tol=TOL, seed=0)
    codes, _ = model.prior.partition.split(z)
    first = model.labels[0]
    gaussians = [first.prior(np.int32([[k]])) for k in range(3)]
    scores = np.stack([gaussian.log_prob(codes[0]) for gaussian in gaussians], 1)
    wrong = scores.argmax(1) != source.test.y[:, 0]
    assert found["generative_error"] == pytest.approx(100 * wrong.mean(), abs=6)
    estimate = model.predict_labels(source.test.x, tol=TOL).numpy()[:, 1]
    rms = np.sqrt(np.mean((estimate - source.test.y[:, 1]) ** 2))
    assert found["test_rmse"] == pytest.approx(rms, rel=0.15)
    assert "marginal_bits_per_dim" not in found  # slopes have no stated distribution


def test_models_without_labels_are_refused(source):
    free = InfoCNF(SHAPE, (), supervised_fraction=0.0, num_levels=LEVELS, **SMALL)
    with pytest.raises(ValueError, match=r"Received: supervised_fraction=0.0"):
        Factors().compute(free, source)
