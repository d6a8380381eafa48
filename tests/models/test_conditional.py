"""Models with a context in their vector fields: p(x | c) and p(x | y, c)."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.linalg import expm
from scipy.stats import multivariate_normal, norm

import tfcnf

RNG = np.random.default_rng(0)
N, E = 6, 3
X, C = RNG.normal(size=(N, 2)), RNG.normal(size=(N, E))
Y = np.array([0, 1, 0, 1, 1, 0])
TINY = {
    **{"filters": 4, "hidden_layers": 1, "flows_per_block": 1, "seed": 0},
    **{"trace": "exact", "dtype": "float64"},
}


def embedding(shape=(E,)):
    layers = [keras.layers.Input(shape), keras.layers.Flatten()]
    layers += [keras.layers.Dense(n, "tanh", dtype="float64") for n in (3, 2)]
    return keras.Sequential(layers)


def lively(model):
    """The model with weights in which the context matters."""
    rng = np.random.default_rng(1)
    for weight in model.flow.trainable_variables:
        weight.assign(rng.normal(size=weight.shape) / 2)
    return model


def make(model=tfcnf.CNF, *labels, context=E, **options):
    return lively(model((2,), *labels, context=context, **(TINY | options)))


@pytest.fixture(scope="module")
def model():
    return make(tfcnf.InfoCNF, 2, embedding=embedding(), dropout=0.0, tol=1e-8)


def test_densities_given_a_context_integrate_to_one(model):
    line = np.linspace(-9.0, 9.0, 73)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    for c in C[:3]:
        log_p = model.marginal_log_prob(grid, context=4 * c, tol=1e-5).numpy()
        area = np.exp(log_p).sum() * (line[1] - line[0]) ** 2
        assert abs(area - 1) < 1e-3


def test_a_linear_field_has_the_closed_form():
    """dz/dt = (1 + G c) A z + b + a t + W c makes a Gaussian of a Gaussian."""
    model = make(hidden_layers=0)
    kernel, bias, weights, gate = (w.numpy() for w in model.flow.trainable_variables)
    steps = (np.arange(2000) + 0.5) / 2000
    expected = []
    for x, c in zip(X, C, strict=True):
        matrix = (1 + c @ gate)[:, None] * kernel[1:].T
        force = np.outer(steps, kernel[0]) + bias + c @ weights
        pushed = [expm(matrix * (1 - t)) @ f for t, f in zip(steps, force, strict=True)]
        z = expm(matrix) @ x + np.mean(pushed, 0)
        log_p = multivariate_normal(np.zeros(2)).logpdf(z)
        expected.append(log_p + np.trace(matrix))
    np.testing.assert_allclose(
        model.log_prob(X, context=C, tol=1e-9), expected, rtol=1e-6
    )


def test_examples_keep_their_context_in_any_order_and_part(model):
    whole = model.log_prob(X, Y, context=C, tol=1e-9).numpy()
    order = np.array([3, 1, 5, 0, 2, 4])
    moved = model.log_prob(X[order], Y[order], context=C[order], tol=1e-9)
    np.testing.assert_allclose(moved, whole[order], rtol=1e-7)
    parts = model.log_prob(X, Y, context=C, tol=1e-9, batch_size=4)
    np.testing.assert_allclose(parts, whole, rtol=1e-7)
    other = model.log_prob(X, Y, context=C[order], tol=1e-9)
    assert np.abs(other - whole)[order != np.arange(N)].min() > 1e-3


@pytest.mark.parametrize("batch_size", [None, 4])
def test_one_context_serves_all(model, batch_size):
    repeated = np.repeat(C[:1], N, 0)
    expected = model.sample(Y, context=repeated)
    for one in (C[0], C[:1], C[0].tolist()):
        found = model.sample(Y, context=one, batch_size=batch_size)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_all_questions_take_the_context(model):
    z = model.encode(X, context=C, tol=1e-9)
    np.testing.assert_allclose(model.decode(z, context=C, tol=1e-9), X, atol=1e-6)
    path = model.trajectory(X, [0.0, 1.0], context=C, tol=1e-9)
    np.testing.assert_allclose(path[:, 1], z, atol=1e-6)
    by_bayes = model.classify(X, "generative", context=C, tol=1e-9).numpy()
    log_p = [
        model.log_prob(X, np.full(N, k), context=C, tol=1e-9).numpy() for k in (0, 1)
    ]
    ratio = 1 / (1 + np.exp(log_p[0] - log_p[1]))
    np.testing.assert_allclose(by_bayes[:, 1], ratio, atol=1e-6)
    values = model.predict_labels(X, context=C, tol=1e-9)[:, 0]
    best = np.argmax(model.classify(X, context=C, tol=1e-9), 1)
    np.testing.assert_array_equal(values, best)


def test_the_distribution_takes_a_context_as_tfp_does(model):
    given = {"context": C}
    expected = model.marginal_log_prob(X, context=C)
    view = model.distribution()
    nats = view.log_prob(X, bijector_kwargs=given)
    np.testing.assert_allclose(nats, expected, rtol=1e-6)
    normal = tfp.distributions.MultivariateNormalDiag(tf.zeros(2, tf.float64))
    plain, doubled = view.bijector, tfp.bijectors.Scale(tf.constant(2.0, tf.float64))
    whole = tfp.distributions.TransformedDistribution(
        normal, tfp.bijectors.Chain([doubled, plain])
    )
    z, log_det = (
        function(X, context=C)
        for function in (plain.inverse, plain.inverse_log_det_jacobian)
    )
    by_hand = normal.log_prob(z) + log_det - 2 * np.log(2)
    found = whole.log_prob(2 * X, bijector_kwargs={"flow": given})
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)
    # TFP remembers what it computed; another context is another computation
    moved = plain.forward(z, context=C[::-1].copy())
    expected = model.decode(z, context=C[::-1])
    np.testing.assert_allclose(moved, expected, rtol=1e-6)


def test_samples_of_the_distribution_have_their_context(model):
    view, given = model.distribution(Y), {"context": C}
    x, nats = view.experimental_sample_and_log_prob(4, seed=0, bijector_kwargs=given)
    assert view.sample([2, 3], seed=0, bijector_kwargs=given).shape == (2, 3, N, 2)
    for k in range(4):
        expected = model.log_prob(x[k], Y, context=C)
        np.testing.assert_allclose(nats[k], expected, atol=1e-3)
    bound = model.distribution(1, context=C[0])
    expected = model.log_prob(X, [1] * N, context=C[0])
    np.testing.assert_allclose(bound.log_prob(X), expected, rtol=1e-6)


# each gradient in context alone: tests/ode/test_context.py
@pytest.mark.parametrize(
    "gradient",
    [
        "adjoint",
        pytest.param("checkpoint", marks=pytest.mark.slow),
        pytest.param("store", marks=pytest.mark.slow),
    ],
)
def test_the_gradient_of_an_embedding_equals_differences(gradient):
    model = make(embedding=embedding(), gradient=gradient, tol=1e-9)
    weights = model.condition.embedding.layers[-2].kernel
    inputs = {"x": tf.constant(X), "context": tf.constant(C)}
    control = tfcnf.Control(seed=tf.constant([0, 0]))

    @tf.function
    def loss():
        return tf.reduce_sum(model.terms(inputs, None, control, True)[0]["loss"])

    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, weights.value).numpy()
    start, step = weights.numpy(), 1e-3
    for index in np.ndindex(2, 2):
        unit = np.zeros(start.shape)
        unit[index] = step
        around = []
        for factor in (-2, -1, 1, 2):
            weights.assign(start + factor * unit)
            around.append(float(loss()))
        slope = (around[0] - 8 * around[1] + 8 * around[2] - around[3]) / (12 * step)
        np.testing.assert_allclose(found[index], slope, rtol=1e-5, atol=1e-6)


def test_a_model_with_context_learns_saves_and_goes_on(tmp_path):
    """x = c + noise: fit lowers the loss, and the loaded model takes the same steps."""
    model = tfcnf.CNF(
        (2,), context=(E, 1), embedding=embedding((E, 1)), **(TINY | {"tol": 1e-3})
    )
    model.compile(keras.optimizers.Adam(2e-2))
    inputs = {"x": 3 * C[:, :2] + 0.1 * X, "context": C[..., None]}
    options = {"batch_size": 3, "epochs": 4, "verbose": 0, "shuffle": False}
    losses = model.fit(inputs, **options).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    twin = keras.models.load_model(tmp_path / "model.keras")
    assert twin.get_config()["context"] == model.get_config()["context"] == (E, 1)
    for made in (model, twin):
        made.fit(inputs, **options)
    for one, other in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    found = twin.predict(inputs, verbose=0).z
    np.testing.assert_allclose(found, model.predict(inputs, verbose=0).z, rtol=1e-9)


def test_a_linear_gaussian_is_learned_to_a_hundredth_nat():
    maps, deviation = np.array([[1.0, -0.5], [0.3, 0.8], [0.0, 1.2]]), [0.5, 0.8]

    def draw(seed, count):
        rng = np.random.default_rng(seed)
        c, noise = rng.normal(size=(count, E)), rng.normal(size=(count, 2))
        return c @ maps + deviation * noise, c

    steps, size = 250, 256
    model = tfcnf.CNF((2,), context=E, **(TINY | {"hidden_layers": 0, "tol": 1e-4}))
    rate = keras.optimizers.schedules.CosineDecay(5e-2, steps)
    model.compile(keras.optimizers.Adam(rate))
    x, c = draw(0, steps * size)
    model.fit({"x": x, "context": c}, batch_size=size, verbose=0)
    x, c = draw(1, 4000)
    truth = norm.logpdf(x, c @ maps, deviation).sum(1)
    assert np.mean(truth - model.log_prob(x, context=c)) < 0.01


def test_without_context_a_configuration_is_as_it_was():
    config = tfcnf.CNF((2,), hidden_layers=0).get_config()
    assert not {"context", "embedding", "context_dims"} & set(config)


BAD = {
    "missing": (lambda m: m.log_prob(X, Y), "this model has a context"),
    "narrow": (lambda m: m.encode(X, context=C[:, :2]), r"shape \[batch, 3\]"),
    "rows": (lambda m: m.encode(X, context=C[:4]), "rows of context=4"),
    "parts": (
        lambda m: m.encode(X, context=C[:4], batch_size=2),
        "a context, for each example. Received: 4 and 6 rows",
    ),
    "nan": (lambda m: m.sample(Y, context=C * np.nan), "context must be finite"),
    "text": (lambda m: m.encode(X, context=[["a"] * E] * N), "must be numbers"),
    "names": (
        lambda m: m.terms({"x": X, "c": C}, Y, tfcnf.Control(), False),
        "Received: a dictionary of x, c",
    ),
    "none": (
        lambda _: tfcnf.CNF((2,), hidden_layers=0).sample(3, context=C[0]),
        "this model has no context",
    ),
    "view": (lambda m: m.distribution().log_prob(X), "this model has a context"),
    "batch of a view": (
        lambda m: m.distribution().log_prob(X, bijector_kwargs={"context": C[:4]}),
        r"context.shape=\(4, 3\) for a batch of shape \(6,\)",
    ),
    "view without": (
        lambda _: tfcnf.CNF((2,), hidden_layers=0).distribution(context=C).sample(),
        "this model has no context",
    ),
    "alone": (lambda _: tfcnf.CNF((2,), embedding=embedding()), "needs context"),
    "zero": (lambda _: tfcnf.CNF((2,), context=0), "context must be positive"),
    "no layer": (
        lambda _: tfcnf.CNF((2,), context=2, embedding=len),
        "embedding must be a Keras model",
    ),
    "other": (
        lambda _: tfcnf.CNF((2,), context=(4, 4), embedding=keras.layers.Conv1D(2, 5)),
        r"embedding must take conditions of shape \[batch, 4, 4\]",
    ),
    "no vectors": (
        lambda _: tfcnf.CNF((2,), context=(4, 4), embedding=keras.layers.Dense(2)),
        r"into vectors.*\(None, 4, 2\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_contexts_that_do_not_fit_are_refused_in_one_line(model, case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message) as failure:
        call(model)
    assert "Arguments received" not in str(failure.value)


def test_another_number_of_contexts_is_refused_in_graphs(model):
    @tf.function(input_signature=[tf.TensorSpec([None, n]) for n in (2, E)])
    def encode(x, c):
        return model.encode(x, context=c)

    with pytest.raises(tf.errors.InvalidArgumentError, match="a context for each"):
        encode(X.astype(np.float32), C[:4].astype(np.float32))
