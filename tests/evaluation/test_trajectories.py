import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.data.series import SeriesSource, SeriesSplit, pad_series
from tfcnf.data.spirals import Design, draw, labels
from tfcnf.diagnostics import Trajectories
from tfcnf.evaluation import trajectories
from tfcnf.evaluation.trajectories import TrajectoryEvaluator, distances
from tfcnf.models.latent_ode import LatentODE

DESIGN = Design(spirals=24, length=60, window=12)


@pytest.fixture(scope="module")
def source():
    reference = draw(DESIGN._replace(room_after=0), 1)  # some curves end
    far = {"shift_4": draw(DESIGN._replace(shift=4.0), 2)}
    window = float(reference.x.times.max())
    return SeriesSource("few", draw(DESIGN, 0), reference, far, labels(), window)


@pytest.fixture(scope="module")
def model(source):
    small = {"encoder": "rnn:units=6", "dynamics": "mlp:units=(5,)"}
    small |= {"decoder_units": 5, "seed": 0}
    return LatentODE(**source.model_keywords(), **small)


@pytest.fixture(scope="module")
def scores(model, source):
    return dict(TrajectoryEvaluator(model, source, 10).run(1e-5, 2, backward=True))


def test_what_a_model_must_know_comes_from_the_training_split(source):
    known = source.model_keywords()
    assert known["regular"]
    a, b, _ = source.train.y.T
    for record, values in zip(known["labels"], (a, b), strict=False):
        np.testing.assert_allclose(record["mean"], [values.mean()], rtol=1e-5)
        np.testing.assert_allclose(record["scale"], [values.std()], rtol=1e-4)
    assert known["labels"][2]["title"] == "clockwise"


def test_distances_against_a_loop(model, source, scores):
    split = source.test
    assert split.truth_mask.min() == 0
    curve = model.decode(model.posterior(split.x).mean(), split.truth_times).numpy()
    parts = {"backward": range(12), "window": range(12, 24), "forward": range(24, 36)}
    for name, indices in parts.items():
        squares, each = [], []
        for i in range(len(split)):
            there = [j for j in indices if split.truth_mask[i, j]]
            gaps = [((curve[i, j] - split.truth[i, j]) ** 2).sum() for j in there]
            squares += gaps
            each += [np.sqrt(np.mean(gaps))] if gaps else []
        expected = np.sqrt(np.mean(squares))
        assert scores[f"rmse_{name}"] == pytest.approx(expected, rel=1e-3)
        assert scores[f"median_rmse_{name}"] == pytest.approx(np.median(each), rel=1e-3)


def test_each_series_has_a_last_time_of_its_own():
    x = pad_series([np.zeros([2, 1]), np.zeros([4, 1])], [[5.0, 6.0], [0, 1, 2, 3]])
    times = np.arange(-1.0, 6.0)
    curve, mask = np.zeros([2, 7, 1]), np.ones([2, 7])
    mask[1, -1] = 0  # where the second one has ended
    split = SeriesSplit(
        x, np.zeros([2, 1]), truth=curve, truth_times=times, truth_mask=mask
    )
    squares = np.stack([np.arange(7.0), 10 + np.arange(7.0)])
    found = dict(distances(squares, split))
    # observed at 0, 1 and at 0, 1, 2, 3; time -1 is the first
    parts = {
        "window": ([1, 2], [11, 12, 13, 14]),
        "forward": ([3, 4, 5, 6], [15]),
        "backward": ([0], [10]),
    }
    for name, each in parts.items():
        whole = np.sqrt(np.mean([x for part in each for x in part]))
        assert found[f"rmse_{name}"] == pytest.approx(whole)
        median = np.mean([np.sqrt(np.mean(part)) for part in each])
        assert found[f"median_rmse_{name}"] == pytest.approx(median)


def test_the_other_scores_against_their_definitions(model, source, scores):
    split = source.test
    y = model.predict_labels(model.posterior(split.x).mean()).numpy()
    gaps = np.sqrt(np.mean((y - split.y) ** 2, 0))
    assert scores["a_rmse"] == pytest.approx(gaps[0], rel=1e-4)
    assert scores["b_rmse"] == pytest.approx(gaps[1], rel=1e-4)
    wrong = 100 * np.mean((y[:, 2] > 0.5) != (split.y[:, 2] > 0.5))
    assert scores["clockwise_error"] == pytest.approx(wrong)
    elbo = scores["log_likelihood"] - scores["kl"]
    assert scores["elbo"] == pytest.approx(elbo, rel=1e-5)
    assert (scores["num_examples"], scores["draws"]) == (24, 2)
    assert scores["shift_4/a_rmse"] > scores["a_rmse"]


def test_evaluating_again_gives_the_same(model, source, scores):
    again = dict(TrajectoryEvaluator(model, source, 10).run(1e-5, 2))
    assert {k: v for k, v in scores.items() if "/" not in k} == again


def test_perfect_curves_have_no_distance(model, source, monkeypatch):
    split = source.test

    def truth(_, x, times, tol):
        chosen = [
            np.flatnonzero((split.x.values == v).all((1, 2)))[0] for v in x.values
        ]
        return split.truth[chosen], split.y[chosen]

    monkeypatch.setattr(trajectories, "predict", truth)
    scores = dict(TrajectoryEvaluator(model, source, 10).run(1e-3))
    for name in ("rmse_window", "rmse_forward", "rmse_backward", "a_rmse", "b_rmse"):
        assert scores[name] == 0
    assert scores["clockwise_error"] == 0


def test_arrays_for_the_pictures(model, source):
    arrays = Trajectories(3).compute(model, source, tol=1e-3)
    assert arrays["model"].shape == (3, 601, 2)
    assert arrays["truth"].shape == (3, 36, 2)
    assert arrays["values"].shape == (3, 12, 2)
    middle = np.argmin(np.abs(arrays["model_times"]))
    z = model.posterior(tf.nest.map_structure(lambda p: p[:3], source.test.x)).mean()
    start = model.decode(z, [arrays["model_times"][middle]])[:, 0]
    np.testing.assert_allclose(arrays["model"][:, middle], start, atol=1e-3)


def test_distances_of_all_shown_curves_are_those_of_the_evaluation(
    model, source, scores
):
    arrays = Trajectories(len(source.test)).compute(model, source)
    measures = dict(Trajectories().measures(arrays))
    assert len(measures) == 6
    for name, value in measures.items():
        assert value == pytest.approx(scores[name], rel=1e-2), name


@pytest.mark.slow
def test_series_whose_curves_are_not_known_have_the_other_scores(model, source, scores):
    bare = SeriesSplit(source.test.x, source.test.y)
    data = dataclasses.replace(source, test=bare)
    found = dict(TrajectoryEvaluator(model, data, 10).run(1e-5, 2))
    known = {k: v for k, v in scores.items() if "/" not in k}
    assert found == {
        k: v for k, v in known.items() if not k.startswith(("rmse", "median"))
    }


def test_bad_input_is_refused(model, source):
    with pytest.raises(ValueError, match="Received: split='valid'"):
        TrajectoryEvaluator(model, source, split="valid")
    evaluator = TrajectoryEvaluator(model, source)
    for options in ({"tol": 0.0}, {"tol": 1e-3, "draws": 0}):
        with pytest.raises(ValueError, match="Received: "):
            next(evaluator.run(**options))
