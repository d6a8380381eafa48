"""Models with each policy of tolerances."""

import runpy
from textwrap import dedent

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CNF, InfoCNF
from tfcnf.data.source import DataSource, Split
from tfcnf.losses import bits_per_dim
from tfcnf.runs.build import build_model
from tfcnf.runs.config import check_config, default_config
from tfcnf.tolerances.policy import TolerancePolicy
from tfcnf.training.callbacks import MetricsLog, read_metrics
from tfcnf.training.checkpoints import Checkpoints, SaveCheckpoints
from tfcnf.training.loop import run_epochs
from tfcnf.training.strategy import get_strategy
from tfcnf.types import Control

SHAPE = (4, 4, 1)
TINY = {
    "num_levels": 17,
    "alpha": 0.05,
    "num_scales": 2,
    "flows_per_block": 1,
    "filters": 2,
    "hidden_layers": 1,
    "tol": 1e-3,
    "dropout": 0.0,
    "trace": "exact",
    "seed": 0,
}
X = np.random.default_rng(0).uniform(0.1, 0.9, [8, *SHAPE]).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, [8, 1], np.int32)
SOURCE = DataSource("floats", Split(X, Y), Split(X, Y), (3,), 17)


def make(policy, model=InfoCNF, rate=1e-2, eager=False, **options):
    labels = {} if model is CNF else {"labels": 3}
    made = model(SHAPE, **labels, policy=policy, **(TINY | options))
    made.compile(keras.optimizers.SGD(rate), run_eagerly=eager)
    return made


def test_the_flow_starts_the_same_whatever_the_policy():
    fixed, learned = make("fixed"), make("learned")
    np.testing.assert_array_equal(
        learned.log_prob(X, Y, tol=1e-5), fixed.log_prob(X, Y, tol=1e-5)
    )


def test_each_layer_draws_its_own_tolerance_in_training_alone():
    model = make("learned")
    out = model(X, training=True)
    assert len(set(out.tolerance.numpy())) == 3
    assert (out.log_pi.numpy() != 0).all()
    out = model(X)
    np.testing.assert_allclose(out.tolerance, [1e-3] * 3, rtol=1e-4)
    assert not out.log_pi.numpy().any()


def test_a_control_decides_between_sample_and_mean():
    model, seed = make("random"), tf.constant([1, 2])
    sampled = model(X, control=Control(seed=seed, sample_tol=tf.constant(1.0)))
    again = model(X, control=Control(seed=seed, sample_tol=tf.constant(1.0)))
    mean = model(X, control=Control(seed=seed, sample_tol=tf.constant(0.0)))
    np.testing.assert_array_equal(sampled.tolerance, again.tolerance)
    assert len(set(sampled.tolerance.numpy())) == 3
    np.testing.assert_allclose(mean.tolerance, [1e-3] * 3, rtol=1e-4)
    given = model(X, control=Control(tol=tf.constant(1e-4)), training=True)
    np.testing.assert_allclose(given.tolerance, [1e-4] * 3, rtol=1e-6)
    assert not given.log_pi.numpy().any()


def test_a_seed_decides_which_steps_measure_the_gap():
    options = {"hidden_layers": 1, "filters": 2, "reinforce": {"gap": 1.0}}
    models = [CNF((2,), policy="learned", seed=s, **options) for s in (3, 3, 4)]
    states = [m.reinforce.seed_generator.state.numpy().tolist() for m in models]
    assert states[0] == states[1] != states[2]


def test_gates_train_in_double_precision():
    model = CNF((2,), policy="learned", dtype="float64", hidden_layers=1, filters=2)
    model.compile(keras.optimizers.Adam(1e-2))
    before = model.gate_weights[-1].numpy()
    for _ in range(2):  # without a past nothing is learned
        model.train_on_batch(np.ones([3, 2]))
    assert model.gate_weights[-1].dtype == "float64"
    assert np.any(model.gate_weights[-1].numpy() != before)


def test_the_gap_is_the_distance_to_the_losses_at_a_tight_tolerance():
    gap = {"gap": 2.0, "gap_every": 1, "gap_tol": 1e-6}
    models = [make("learned", CNF, reinforce=options) for options in ({}, gap)]
    for model in models:  # a field that a loose solver follows badly
        for weight in model.flow_weights:
            weight.assign(4.0 * weight)
    drawn = tf.constant([[3e-2, 1e-2, 2e-2]])
    plain, charged = (
        tf.function(model.differentiate, autograph=False)((X,), drawn)[0]
        for model in models
    )
    loose, tight = (
        bits_per_dim(models[0].log_prob(X, tol=tol), 16, 17) for tol in (drawn[0], 1e-6)
    )
    expected = 2.0 * np.mean(np.abs(loose - tight))
    assert expected > 1e-3
    found = charged.loss - plain.loss
    np.testing.assert_allclose(found, [expected], rtol=1e-2)
    for one, other in zip(plain.gradients, charged.gradients, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(
    scope="module",
    params=["running", pytest.param("leave_one_out", marks=pytest.mark.slow)],
)
def stepped(request):
    """A model with gates and what two steps of it gave."""
    model = make("learned", reinforce={"baseline": request.param, "entropy": 0.1})
    before = [w.numpy() for w in model.gate_weights]
    logs = model.fit(X, Y, batch_size=4, epochs=1, verbose=0).history
    return model, before, logs, request.param


def test_training_moves_the_gates_and_reports_them(stepped):
    model, before, logs, baseline = stepped
    moved = [
        np.abs(new.numpy() - old).max()
        for new, old in zip(model.gate_weights, before, strict=True)
    ]
    assert max(moved) > 0
    passes = 2 if baseline == "leave_one_out" else 1
    # each pass takes at least 8 evaluations in each of the three solves
    assert logs["nfe_forward"][-1] >= passes * 3 * 8
    for i in range(3):
        assert -6 <= logs[f"log10_tol/cnf_{i:02d}"][-1] <= -1
        assert np.isfinite(logs[f"log_pi/cnf_{i:02d}"][-1])
    known = {id(w) for w in model.gate_weights}
    assert known < {id(w) for w in model.trainable_variables}


def test_a_keras_file_restores_gates_and_their_optimizer(stepped, tmp_path):
    model, *_ = stepped
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for old, new in zip(
        [*model.weights, *model.reinforce.optimizer.variables],
        [*loaded.weights, *loaded.reinforce.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(new, old)
    assert np.abs(loaded.reinforce.past_costs).max() > 0 or (
        model.reinforce.baseline != "running"
    )
    np.testing.assert_array_equal(loaded(X).tolerance, model(X).tolerance)


def test_the_flow_is_not_trained_through_its_gates():
    """With equal tolerances, the step of the flow is that of a model without gates."""
    narrow = {"low": 0.999e-3, "high": 1.001e-3}
    two = {"num_scales": 1, "flows_per_block": 2}  # the second gate sees the first CNF
    changes = []
    for policy, options in [("fixed", {}), ("learned", narrow)]:
        model = make(policy, rate=1.0, eager=True, policy_options=options, **two)
        known = {id(w) for w in model.gate_weights}
        weights = [w for w in model.trainable_variables if id(w) not in known]
        before = [w.numpy() for w in weights]
        model.fit(X, Y, batch_size=8, verbose=0)
        changes.append(
            np.concatenate(
                [(w - b).numpy().ravel() for w, b in zip(weights, before, strict=True)]
            )
        )
    assert np.linalg.norm(changes[0]) > 0.1
    np.testing.assert_allclose(changes[1], changes[0], atol=1e-3)


@pytest.mark.slow
def test_two_replicas_decide_as_one(mirrored):
    tols = []
    for scope in (get_strategy(), mirrored):
        with scope.scope():
            model = make("learned", reinforce={"baseline": "none"})
        run_epochs(model, SOURCE, scope, 8, 1)
        tols.append(
            [model._trackers[f"log10_tol/cnf_{i:02d}"].result() for i in range(3)]
        )
    assert len({float(t) for t in tols[0]}) == 3
    np.testing.assert_allclose(tols[1], tols[0], rtol=1e-5)


def test_the_loop_tells_scheduled_tolerances_the_epoch_and_resumes(tmp_path):
    options = {
        "epochs": (0, 2),
        "factors": (1.0, 10.0),
        "adjoint_factors": (1.0, 1.0),
        "first_factor": 0.1,
    }
    for epochs in (1, 3):
        model = make("scheduled", CNF, policy_options=options)
        checkpoints = Checkpoints(tmp_path / "checkpoints", model)
        done = checkpoints.restore()
        metrics = MetricsLog(tmp_path / "metrics.jsonl", done.epoch)
        calls = [metrics, SaveCheckpoints(checkpoints)]
        run_epochs(
            model, SOURCE, get_strategy(), 8, epochs, start=done, callbacks=calls
        )
    lines = read_metrics(tmp_path / "metrics.jsonl")
    # the first CNF of each of the two scales is strict
    first = [line["log10_tol/cnf_00"] for line in lines]
    others = [line["log10_tol/cnf_01"] for line in lines]
    last = [line["log10_tol/cnf_02"] for line in lines]
    np.testing.assert_allclose(first, [-4, -4, -3], atol=1e-5)
    np.testing.assert_allclose(others, [-3, -3, -2], atol=1e-5)
    np.testing.assert_allclose(last, first, atol=1e-6)


def test_options_without_gates_are_refused():
    with pytest.raises(ValueError, match=r"tolerances are learned\. Received: rein"):
        make("random", reinforce={"price": 0.1})


@pytest.fixture
def halving(tmp_path):
    """A policy in a file of its own, not of this package."""
    path = tmp_path / "halving.py"
    path.write_text(
        dedent(
            '''
            import tensorflow as tf
            from tfcnf.tolerances.policy import TolerancePolicy

            class Halving(TolerancePolicy):
                """A tolerance that falls by ``factor`` every epoch; its size learns."""

                samples = learns = True

                def __init__(self, tol, factor=0.5, **kwargs):
                    super().__init__(**kwargs)
                    self.factor = factor
                    self.tol = self.add_weight(initializer=lambda *a, **k: tol)
                    self.epoch = self.add_weight(initializer="zeros", trainable=False)
                    self.built = True

                def begin_epoch(self, epoch):
                    self.epoch.assign(epoch)

                def call(self, features, sample=False, seed=None):
                    tol = self.tol.value * self.factor**self.epoch.value
                    return tol, tf.math.log(tol)
            '''
        )
    )
    yield runpy.run_path(str(path))["Halving"]
    del TolerancePolicy.known["halving"]


def test_a_policy_in_one_file_serves_models_and_configurations(halving, config):
    known = default_config("infocnf", "halving")["model"]
    assert known["policy_options"] == {"factor": 0.5}
    assert known["reinforce"]["price"] == 0.1  # it learns
    config["model"] |= {"policy": "halving", "policy_options": {"factor": 0.1}}
    config["model"] |= {"tol": 1e-2, "reinforce": known["reinforce"], "filters": 2}
    config["training"]["batch_size"] = 8
    check_config(config)
    model = build_model(config, SOURCE)
    policy, _ = model.flow.policies[0]
    assert isinstance(policy, halving)
    assert model.samples_tolerances
    assert {id(w) for w in model.gate_weights} == {id(policy.tol)}
    model.set_epoch(2)
    np.testing.assert_allclose(model(X).tolerance, [1e-4], rtol=1e-5)
    before = float(policy.tol)
    for _ in range(2):  # the running baseline learns from the second step on
        model.train_step((X, Y))
    assert float(policy.tol) != before


def test_an_unknown_policy_is_named():
    with pytest.raises(ValueError, match=r"must be one of adapted, .* Received:"):
        default_config("infocnf", "learnt")
