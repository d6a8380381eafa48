"""Flows in Keras' fit, evaluate and predict."""

import keras
import numpy as np
import pytest

from tfcnf import CNF, InfoCNF
from tfcnf.data.series import Series
from tfcnf.models.latent_ode import LatentODE

SHAPE, LEVELS = (2, 2, 1), 5
TINY = {
    **{"num_levels": LEVELS, "alpha": 0.05, "num_scales": 1, "flows_per_block": 1},
    **{"filters": 2, "hidden_layers": 1, "tol": 1e-2, "seed": 0},
}
RNG = np.random.default_rng(0)
X = RNG.integers(0, LEVELS, (6, *SHAPE)).astype(np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2])


def make(model=InfoCNF, **options):
    labels = {} if model is CNF else {"labels": 3}
    made = model(SHAPE, **labels, **(TINY | options))
    made.compile(keras.optimizers.SGD(1e-2))
    return made


def state(model):
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def watched():
    """A model with all the noise there is, and its twin that was never evaluated."""
    alone, watched = make(policy="random"), make(policy="random")
    alone.fit(X, Y, batch_size=3, epochs=2, shuffle=False, verbose=0)
    watched.evaluate(X, Y, batch_size=4, verbose=0)
    watched.predict(X, verbose=0)
    watched.fit(
        *(X, Y), batch_size=3, epochs=2, shuffle=False, verbose=0,
        validation_data=(X, Y),
    )  # fmt: skip
    return watched, alone


def test_evaluation_leaves_the_training_as_it_was(watched):
    for one, other in zip(*map(state, watched), strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluation_and_prediction_repeat_exactly(watched):
    model, _ = watched
    before = state(model)
    first, second = (
        model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)
        for _ in range(2)
    )
    assert first.keys() == second.keys()
    np.testing.assert_array_equal(list(first.values()), list(second.values()))
    assert np.isnan(first["nfe_backward"])
    one, two = (model.predict(X, verbose=0).z for _ in range(2))
    np.testing.assert_array_equal(one, two)
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(new, old)


def test_an_evaluation_of_one_batch_is_log_prob(watched):
    model, _ = watched
    bits = model.evaluate(X, Y, verbose=0, return_dict=True)["bits_per_dim"]
    expected = np.mean(np.log(LEVELS) - model.log_prob(X, Y) / 4) / np.log(2)
    assert bits == pytest.approx(expected, rel=1e-5)


def test_batches_of_an_evaluation_have_noise_of_their_own(watched):
    model, _ = watched
    same = np.repeat(X[:1], 4, 0)
    whole, parts = (
        model.evaluate(same, Y[:1].repeat(4), size, 0, return_dict=True)["loss"]
        for size in (1, 2)
    )
    single = model.evaluate(same[:1], Y[:1], verbose=0, return_dict=True)["loss"]
    assert whole != pytest.approx(single, rel=1e-6)
    assert whole != pytest.approx(parts, rel=1e-6)


def test_scheduled_tolerances_follow_the_epochs_of_fit():
    options = {"epochs": (0, 1), "factors": (1.0, 10.0), "first_factor": 1.0}
    model = make(CNF, policy="scheduled", policy_options=options)
    history = model.fit(X, batch_size=6, epochs=3, verbose=0).history  # without labels
    np.testing.assert_allclose(history["log10_tol/cnf_00"], [-2, -1, -1], atol=1e-5)
    assert np.isfinite(history["loss"]).all()
    assert model.sample(5).shape == (5, *SHAPE)
    assert model.log_prob(X).shape == (6,)
    for wrong in (2.5, -1):
        with pytest.raises(ValueError, match=r"from 0\. Received: y="):
            model.sample(wrong)


def test_options_of_a_schedule_are_named_as_they_were_given():
    options = {"epochs": (0, 1), "factors": (1.0,)}
    with pytest.raises(ValueError, match=r"Received: factors=\(1\.0,\), epochs="):
        make(CNF, policy="scheduled", policy_options=options)
    options = {"epochs": (0, 1), "factors": (1, 2), "adjoint_factors": (1, 2, 3)}
    with pytest.raises(ValueError, match=r"Received: adjoint_factors=\(1, 2, 3\)"):
        make(CNF, policy="scheduled", policy_options=options)


def test_a_model_with_labels_asks_for_them():
    with pytest.raises(ValueError, match=r"give y, .* -1 .* Received: y=None") as said:
        make().fit(X, verbose=0)
    assert "\n" not in str(said.value)


def test_a_series_model_is_evaluated_without_touching_it():
    times = np.linspace(0, 1, 5, dtype=np.float32)
    values = RNG.normal(size=[4, 5, 2]).astype(np.float32)
    series = Series(values, np.tile(times, [4, 1]), np.ones([4, 5], np.float32))
    y = np.zeros([4, 1], np.float32)
    model = LatentODE(2, partition="none", seed=0)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    history = model.fit(series, y, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    before = state(model)
    first, second = (
        model.evaluate(series, y, verbose=0, return_dict=True) for _ in range(2)
    )
    np.testing.assert_array_equal(list(first.values()), list(second.values()))
    assert "running_elbo" not in first
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(new, old)
