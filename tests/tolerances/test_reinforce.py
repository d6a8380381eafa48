"""REINFORCE on toys whose evaluations and loss are known functions of the tolerance."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnf.tolerances.reinforce import Reinforce, costs_to_go, decide
from tfcnf.tolerances.sampled import LearnedTolerance
from tfcnf.types import FlowOutput

ALPHA = 0.1
X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def evaluations(tol):
    """30 more for each decade."""
    return 30.0 - 30.0 * tf.math.log(tol) / np.log(10.0)


def loss_at(tol, best):
    """Each gate's part of a loss whose sum with the price is least at ``best``.

    d/dtol [w tol / best + alpha/N * evaluations] = 0 at tol = best, for N = 2.
    """
    return ALPHA / 2 * 30.0 / np.log(10.0) * tol / best


def output(tols, log_pis):
    nfe = evaluations(tf.stack(tols))
    return FlowOutput(None, None, nfe, tf.stack(tols), tf.stack(log_pis))


def make_gates(count, tol, low, high, log_scale, spread=0.1):
    gates = [
        LearnedTolerance(
            tol, low, high=high, spread=spread, log_scale=log_scale, width=4, seed=i
        )
        for i in range(count)
    ]
    for gate in gates:
        gate.build(X.shape)
    return gates, [(i, gate.trainable_variables) for i, gate in enumerate(gates)]


LOG = {"low": 1e-6, "high": 1e-1, "log_scale": True}
LINEAR = {"low": 1e-5, "high": 1e-3, "log_scale": False}


@pytest.mark.parametrize(
    ("options", "start", "best", "baseline"),
    [
        (LOG, 1e-5, [1e-3, 1e-4], "running"),
        pytest.param(LOG, 3e-2, [1e-3, 1e-4], "running", marks=pytest.mark.slow),
        (LOG, 1e-5, [1e-3, 1e-4], "leave_one_out"),
        pytest.param(LINEAR, 3e-5, [3e-4, 2e-4], "running", marks=pytest.mark.slow),
        (LINEAR, 9e-4, [3e-4, 2e-4], "running"),
    ],
    ids=["log, below", "log, above", "log, below, two", "linear, below", "above"],
)
def test_gates_find_the_optimum(options, start, best, baseline):
    gates, pairs = make_gates(2, start, **options)
    reinforce = Reinforce(ALPHA, baseline=baseline, learning_rate=0.01)
    reinforce.prepare([w for _, weights in pairs for w in weights], 2)

    def step():
        outputs, losses = [], []
        with tf.GradientTape(persistent=True) as tape:
            for _ in range(1 + reinforce.extra_passes):
                draws = [gate(X, sample=True) for gate in gates]
                out = output(*zip(*draws, strict=True))
                loss = 2.0 + tf.reduce_sum(loss_at(out.tolerance, tf.constant(best)))
                outputs.append(out)
                losses.append(loss)
        decision = decide(tape, pairs, outputs)
        nfe = tf.stack([out.nfe for out in outputs])
        reinforce.learn(
            decision, pairs, loss=tf.stack(losses), nfe=nfe, nfe_backward=tf.zeros([2])
        )

    @tf.function
    def steps(count):
        for _ in tf.range(count):
            step()

    steps(tf.constant(1500))
    reinforce.optimizer.learning_rate.assign(2e-3)
    steps(tf.constant(1000))
    for gate, value in zip(gates, best, strict=True):
        found = float(gate(X)[0])
        assert abs(np.log10(found / value)) < 0.1
        _, spread = gate.parameters(tf.constant(X))
        assert float(spread) < 0.1  # it became surer


# the gradient

SAMPLES = 4000


@pytest.fixture(scope="module")
def draws():
    """Tolerances ``[S, 2]``, log pi and its gradient in mean and scale ``[S, 2, 2]``.

    The second gate's samples are often cut off at its upper bound.
    """
    gates, _ = make_gates(2, 1e-3, **LOG)
    gates[1] = LearnedTolerance(5e-2, 1e-6, high=1e-1, spread=0.1, seed=1)
    gates[1].build(X.shape)
    biases = [gate.network.head.bias for gate in gates]

    def draw(seed):
        with tf.GradientTape() as tape:
            pairs = [
                gate(X, sample=True, seed=seed + i) for i, gate in enumerate(gates)
            ]
            log_pi = tf.stack([pair[1] for pair in pairs])
        gradient = tf.stack(tape.gradient(log_pi, biases))
        return tf.stack([pair[0] for pair in pairs]), log_pi, gradient

    seeds = tf.random.stateless_uniform([SAMPLES, 2], [5, 6], 0, 2**30, tf.int32)
    run = tf.function(
        lambda seeds: tf.map_fn(draw, seeds, fn_output_signature=(tf.float32,) * 3),
        autograph=False,
    )
    return gates, run(seeds)


def loss_of(tols):
    """A loss that mixes both gates, ``[S]``."""
    log_tols = tf.math.log(tols) / np.log(10.0)
    return 3.0 + 0.2 * (log_tols[:, 0] + 4) ** 2 * (1 + 0.1 * log_tols[:, 1])


def gap_of(tols):
    """A distance to the tight losses that grows with both tolerances, ``[S]``."""
    return 0.1 * tf.sqrt(tols[:, 0]) + tf.sqrt(tols[:, 1])


def exact_gradient(gates, gap=0.0):
    """Of E[L + w G + alpha/N sum NFE] in the gates' mean and scale, by quadrature."""
    grid = np.linspace(-8, 8, 2001)
    density = np.exp(-(grid**2) / 2)
    density /= density.sum()

    def objective(outputs):
        tols = []
        for gate, (shift_m, shift_s) in zip(gates, outputs, strict=True):
            m0, s0 = gate._start()
            logit = np.log(m0 / (1 - m0)) + shift_m
            share = (s0 - 0.01) / 0.29
            logit_s = np.log(share / (1 - share)) + shift_s
            m, s = 1 / (1 + np.exp(-logit)), 0.01 + 0.29 / (1 + np.exp(-logit_s))
            v = -6 + 5 * np.clip(m + s * grid, 0, 1)
            tols.append(v)
        first, second = tols
        loss = 3 + 0.2 * np.outer((first + 4) ** 2, 1 + 0.1 * second)
        loss += gap * np.add.outer(0.1 * 10 ** (first / 2), 10 ** (second / 2))
        nfe = np.add.outer(30 - 30 * first, 30 - 30 * second)
        return density @ (loss + ALPHA / 2 * nfe) @ density

    gradient = np.empty([2, 2])
    for i in range(2):
        for j in range(2):
            step = np.zeros([2, 2])
            step[i, j] = 1e-4
            gradient[i, j] = (objective(step) - objective(-step)) / 2e-4
    return gradient


def estimates(draws, **options):
    """REINFORCE's estimate from each sample (or pair of samples), ``[S, 2, 2]``."""
    _, (tols, log_pi, gradient) = draws
    reinforce = Reinforce(ALPHA, **options)
    reinforce.prepare([], 2)
    count = 1 + reinforce.extra_passes

    def advantages(batch):
        loss, nfe, log_pi, gap = batch
        loss = reinforce.charge_gap(loss, lambda seed: gap)
        return reinforce.advantages(loss, nfe, log_pi)

    grouped = [
        tf.reshape(value, [-1, count, *value.shape[1:]])
        for value in (loss_of(tols), evaluations(tols), log_pi, gap_of(tols))
    ]
    run = tf.function(
        lambda *batch: tf.map_fn(
            advantages,
            batch,
            parallel_iterations=1,
            fn_output_signature=tf.float32,
        ),
        autograph=False,
    )
    shaped = tf.reshape(gradient, [-1, count, 2, 2])
    return tf.reduce_mean(shaped * run(*grouped)[..., None], 1).numpy()


@pytest.mark.parametrize("baseline", ["none", "running", "leave_one_out"])
def test_the_mean_is_the_derivative_of_the_expected_objective(draws, baseline):
    each = estimates(draws, baseline=baseline)
    exact = exact_gradient(draws[0])
    error = each.std(0) / len(each) ** 0.5
    if baseline != "none":  # without one, hardly anything is seen above the noise
        assert (np.abs(exact) > 5 * error).sum() >= 2
    assert (np.abs(each.mean(0) - exact) < 3 * error).all()


def test_a_gap_measured_now_and_then_is_charged_without_bias(draws):
    with_gap = estimates(draws, baseline="none", gap=5.0, gap_every=4, seed=0)
    each = with_gap - estimates(draws, baseline="none")
    exact = exact_gradient(draws[0], gap=5.0) - exact_gradient(draws[0])
    error = each.std(0) / len(each) ** 0.5
    assert (np.abs(exact) > 5 * error).any()
    assert (np.abs(each.mean(0) - exact) < 3 * error).all()


def test_baselines_take_variance_away(draws):
    variances = {
        baseline: estimates(draws, baseline=baseline).var(0).sum()
        for baseline in ("none", "running", "leave_one_out")
    }
    assert variances["none"] > 10 * variances["running"]
    # the mean of two estimates, for two passes
    assert variances["none"] > 10 * variances["leave_one_out"]


def test_the_entropy_bonus_is_the_gradient_of_the_entropy(draws):
    difference = estimates(draws, baseline="none", entropy=0.7) - estimates(
        draws, baseline="none"
    )
    # H = log s + constant, s = 0.01 + 0.29 sigmoid(o): dH/do at s = 0.1
    share = 0.09 / 0.29
    slope = 0.29 * share * (1 - share) / 0.1
    error = difference.std(0) / SAMPLES**0.5
    expected = np.array([[0.0, -0.7 * slope]] * 2)
    assert (np.abs(difference.mean(0) - expected) < 3 * error).all()


def test_costs_count_evaluations_from_each_gate_on():
    costs = costs_to_go(tf.constant([2.0]), tf.constant([[8.0, 14.0, 20.0]]), 0.3)
    np.testing.assert_allclose(costs, [[2 + 4.2, 2 + 3.4, 2 + 2.0]], rtol=1e-6)


def test_the_running_baseline_is_a_mean_of_the_past():
    reinforce = Reinforce(1.0, decay=0.5)
    reinforce.prepare([], 1)
    zero = tf.zeros([1, 1])
    found = [
        float(reinforce.advantages(tf.constant([c]), zero, zero)[0, 0])
        for c in (4.0, 6.0, 5.0)
    ]
    assert found == pytest.approx([0.0, 6 - 4, 5 - (0.25 * 4 + 0.5 * 6) / 0.75])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"price": -1.0}, "price must be at least 0"),
        ({"decay": 1.0}, "decay must be at least 0 and less than 1"),
        ({"entropy": -0.1}, "entropy must be"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"gap": -1.0}, "gap must be at least 0"),
        ({"gap_tol": 0.0}, "gap_tol must be positive"),
        ({"gap_every": 0}, "gap_every must be a positive integer"),
        ({"nfe": "backward"}, "nfe must be one of forward, both"),
        ({"baseline": "mean"}, "baseline must be one of running, leave_one_out"),
        ({"baseline": "leave_one_out", "nfe": "both"}, "nfe must be 'forward'"),
    ],
)
def test_bad_arguments_are_named(options, words):
    with pytest.raises(ValueError, match=rf"{words}[\s\S]*Received: "):
        Reinforce(**options)


# two replicas


def learn_once(scope, x):
    """Tolerances of a step, and Adam's first moment: a tenth of the gradient."""
    with scope.scope():
        gates, pairs = make_gates(2, 1e-3, **LOG)
        for gate in gates:
            gate.network.head.kernel.assign(
                tf.random.stateless_normal([4, 2], [1, gate.seed])
            )
        reinforce = Reinforce(ALPHA, baseline="none")
        reinforce.prepare([w for _, weights in pairs for w in weights], 2)

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape(persistent=True) as tape:
            out = output(*zip(*(g(x, sample=True) for g in gates), strict=True))
        # per-example losses, and evaluations that differ between the replicas
        loss = tf.reduce_sum(x**2, 1) * out.tolerance[0]
        nfe = evaluations(out.tolerance) + 10.0 * tf.reduce_mean(x)
        reinforce.learn(
            decide(tape, pairs, [out]),
            pairs,
            loss=tf.reduce_mean(loss)[None],
            nfe=nfe[None],
            nfe_backward=nfe,
        )
        return out.tolerance

    data = tf.data.Dataset.from_tensors(x).unbatch().batch(len(x))
    batches = scope.experimental_distribute_dataset(data)
    tols = scope.run(step, args=(next(iter(batches)),))
    moments = [
        value.numpy().ravel()
        for value in reinforce.optimizer.variables
        if "momentum" in value.path
    ]
    return scope.experimental_local_results(tols), np.concatenate(moments)


def test_two_replicas_decide_and_learn_as_one(mirrored):
    x = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    x[4:] *= 3.0  # the shards differ
    (single,), expected = learn_once(tf.distribute.OneDeviceStrategy("CPU:0"), x)
    double, gradient = learn_once(mirrored, x)
    assert len(double) == 2
    for tols in double:
        np.testing.assert_allclose(tols, single, rtol=1e-5)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
