import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.data.series import Series, make_series, pad_series
from tfcnf.data.spirals import Design, draw
from tfcnf.labels.binary import Binary
from tfcnf.labels.real import Real
from tfcnf.models.latent_ode import LatentODE
from tfcnf.models.precision import copy_in
from tfcnf.types import Control

MEAN, SCALE = (1.0, 0.25, 0.0), (0.08, 0.03, 1.0)
LABELS = {
    "labels": [
        Real(1, [1.0], [0.08], title="a"),
        Real(1, [0.25], [0.03], title="b"),
        Binary(title="clockwise"),
    ]
}
SMALL = {"encoder": "rnn:units=6", "dynamics": "mlp:units=(5,)"}
SMALL |= {"decoder_units": 5, "seed": 0}
SPLIT = draw(Design(spirals=40, length=60, window=12), 0)
X, Y = SPLIT.x, SPLIT.y
SEED = Control(seed=tf.constant([0, 0]))


def make(**options):
    return LatentODE(2, **(LABELS | SMALL | options))


def tensors(x):
    return Series(*(tf.constant(part) for part in x))


def train(model, x, y, steps, rate=1e-2):
    model.compile(keras.optimizers.Adam(rate))
    step = tf.function(model.train_step, autograph=False)
    return [float(step((tensors(x), tf.constant(y)))["loss"]) for _ in range(steps)]


def parts(model, x=X, y=Y):
    return {k: v.numpy() for k, v in model.terms(x, y, SEED, False)[0].items()}


def test_the_papers_sizes():
    model = LatentODE(2, **LABELS, partition="none")
    sizes = [v.shape for v in model.recognition.rnn.trainable_variables]
    assert sizes == [(2, 25), (25, 25), (25,)]
    assert [v.shape for v in model.flow.dynamics.trainable_variables] == [
        *((5, 20), (20,), (20, 5), (5,))
    ]
    assert [v.shape for v in model.decoder.trainable_variables] == [
        *((5, 20), (20,), (20, 2), (2,))
    ]


@pytest.mark.parametrize("partition", ["code", "head", "none"])
def test_the_terms_against_their_definitions(partition):
    model = make(partition=partition, beta=2.0, label_weights=(1.0, 3.0, 0.5))
    for label in model.labels:  # they start at zero
        for v in label.trainable_variables:
            v.assign(keras.random.normal(v.shape, stddev=0.3, seed=3))
    terms = parts(model)
    q = model.posterior(X)
    noise = tf.random.stateless_normal([40, 5], [0, 0])
    z = (q.mean() + q.stddev() * noise).numpy()
    mean = model.decode(z, X.times[0])
    normal = tfp.distributions.Normal(mean, 0.3)
    likelihood = tf.reduce_sum(normal.log_prob(X.values), [1, 2])
    np.testing.assert_allclose(terms["log_likelihood"], likelihood, rtol=1e-4)
    y = ((Y - MEAN) / SCALE).astype(np.float32)
    m, s, kl = np.zeros([40, 5]), np.ones([40, 5]), 0.0
    if partition == "code":
        for i, label in enumerate(model.labels):
            out = label.q_phi(y[:, i : i + 1]).numpy()
            m[:, i], s[:, i] = out[:, 0], np.exp(out[:, 1])
    sq, mq = q.stddev().numpy(), q.mean().numpy()
    kl = (np.log(s / sq) + (sq**2 + (mq - m) ** 2) / (2 * s**2) - 0.5).sum(1)
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(terms["elbo"], likelihood - kl, rtol=1e-4)
    loss = 2.0 * kl - likelihood
    if partition != "none":
        for i, weight in enumerate((1.0, 3.0, 0.5)):
            code = z[:, i : i + 1] if partition == "code" else z
            out = model.labels[i].q_theta(code).numpy()
            if i < 2:
                scale = np.exp(out[:, 1])
                nll = 0.5 * ((y[:, i] - out[:, 0]) / scale) ** 2 + out[:, 1]
                loss += weight * (nll + 0.5 * np.log(2 * np.pi))
            else:
                loss += weight * np.log1p(
                    np.exp(np.where(y[:, 2] > 0, -1, 1) * out[:, 0])
                )
    np.testing.assert_allclose(terms["loss"], loss, rtol=1e-4)


@pytest.fixture(
    scope="module",
    params=[
        "code",
        pytest.param("head", marks=pytest.mark.slow),
        pytest.param("none", marks=pytest.mark.slow),
    ],
)
def trained(request):
    """A model, its weights before it was trained, and the losses since."""
    model = make(partition=request.param)
    before = [v.numpy() for v in model.trainable_variables]
    return model, before, train(model, X, Y, 40)


def test_training_lowers_the_loss_and_reaches_every_weight(trained):
    model, before, losses = trained
    assert losses[-1] < 0.8 * losses[0]
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.abs(new.numpy() - old).max() > 0, new.path
    assert float(model._trackers["nfe_backward"].result()) >= 7


def test_a_saved_model_is_the_same_when_loaded(trained, tmp_path):
    model, *_ = trained
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    found = parts(loaded)
    for name, value in parts(model).items():
        np.testing.assert_array_equal(found[name], value)
    # its optimizer went along (Keras leaves the states of seeds out)
    assert int(loaded.optimizer.iterations) == 40
    for ours, theirs in (
        (loaded.weights, model.weights),
        (loaded.optimizer.variables, model.optimizer.variables),
    ):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_gradients_against_finite_differences():
    model = make(dtype="float64", tol=1e-9, dynamics="mlp:units=(5,),activation=tanh")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.terms(X, Y, SEED, True)[0]["loss"])
    weights = model.trainable_variables
    gradients = tape.gradient(loss, weights)
    step = 1e-6
    for i in (0, 1, 3, 5, 7, 9, 11):
        saved = weights[i].numpy()
        direction = np.random.default_rng(i).normal(size=saved.shape)
        values = []
        for sign in (1, -1):
            weights[i].assign(saved + sign * step * direction)
            values.append(parts(model)["loss"].mean())
        weights[i].assign(saved)
        slope = (values[0] - values[1]) / (2 * step)
        found = float(np.sum(gradients[i] * direction))
        assert found == pytest.approx(slope, rel=1e-5, abs=1e-6), weights[i].path


def test_a_mask_may_be_of_booleans():
    model, mask = make(), np.arange(12) % 3 > 0
    given = X._replace(mask=np.tile(mask, [40, 1]))
    expected = model(given._replace(mask=given.mask.astype(np.float32)))
    np.testing.assert_array_equal(model(given), expected)
    of_values = given._replace(mask=np.repeat(given.mask[..., None], 2, 2))
    np.testing.assert_allclose(model(of_values), expected, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(given, verbose=0).shape, expected.shape)


def test_a_number_of_classes_and_integers_of_numpy_are_taken():
    model = make(labels=3)
    whole = np.int64(5)
    twin = make(labels=np.int64(3), latent_dims=whole, seed=np.int64(0))
    assert twin.get_config() | {"name": ""} == model.get_config() | {"name": ""}
    assert type(twin.options["latent_dims"]) is int
    drawn = twin.sample(X, [0.5], draws=np.int64(2), seed=np.int64(7))
    np.testing.assert_array_equal(drawn, model.sample(X, [0.5], draws=2, seed=7))


def test_masked_points_do_not_count():
    model, mask = make(encoder="rnn:units=6,gaps=True"), np.ones([40, 12])
    mask[:, [3, 7, 11]] = 0
    dirty = np.where(mask[..., None] > 0, X.values, np.nan)
    holes = make_series(dirty, X.times, mask)
    short = make_series(X.values[:, mask[0] > 0], X.times[:, mask[0] > 0])
    for name, value in parts(model, short).items():
        np.testing.assert_allclose(parts(model, holes)[name], value, rtol=1e-3)


def test_a_batch_of_unequal_lengths_is_as_its_series_alone():
    lengths = [12, 5, 8]
    series = [X.values[i, :n] for i, n in enumerate(lengths)]
    times = [X.times[i, :n] * (1 + 0.1 * i) for i, n in enumerate(lengths)]
    model = make(tol=1e-7, encoder="rnn:units=6,gaps=True")
    together = parts(model, pad_series(series, times), Y[:3])
    first = parts(model, pad_series(series[:1], times[:1]), Y[:1])
    np.testing.assert_allclose(together["elbo"][:1], first["elbo"], rtol=1e-4)
    assert np.isfinite(together["loss"]).all()
    fitted = model(pad_series(series, times))
    assert fitted.shape == (3, 12, 2)


STARTS = [5.0, np.random.default_rng(0).integers(-9, 9, [40, 1]), 1_764_000_000]


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("first", STARTS, ids=["5", "irregular", "unix"])
def test_series_that_start_at_another_time_are_the_same_series(first, gaps):
    model, times = make(encoder=f"rnn:units=6,gaps={gaps}"), np.arange(12.0) / 8
    expected = parts(model, make_series(X.values, times))
    made = make_series(X.values, np.broadcast_to(times + first, [40, 12]))
    by_hand = X64._replace(times=np.broadcast_to(times + first, [40, 12]))
    for x in (made, by_hand):
        for name, value in parts(model, x).items():
            np.testing.assert_array_equal(value, expected[name])


def test_regular_series_take_a_shorter_way_to_the_same():
    plain, regular = make(tol=1e-6), make(tol=1e-6, regular=True)
    for name, value in parts(plain).items():
        np.testing.assert_allclose(parts(regular)[name], value, rtol=1e-4)


def test_series_that_are_not_regular_are_not_taken_for_it():
    model, mask = make(regular=True), np.ones([40, 12])
    later = X.times + 2.0 * np.arange(40)[:, None]
    assert np.isfinite(parts(model, make_series(X.values, later))["loss"]).all()
    mask[3, 4] = 0
    message = "share their times and miss no point. Received: times="
    for x in (X._replace(times=X.times * later), X._replace(mask=mask)):
        for call in (model, model.posterior, lambda x: parts(model, x)):
            with pytest.raises(ValueError, match=message):
                call(x)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            tf.function(model, autograph=False)(x)


def test_series_without_labels_are_fitted_by_a_model_that_looks_at_none():
    # bare series too, whose three parts Keras would take for x, y and weights
    given = [(X, Y), (X,), X, tensors(X)]
    losses = [make(partition="none").differentiate(data)[0].loss for data in given]
    np.testing.assert_array_equal(losses, losses[:1] * 4)
    model = make(partition="none")
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    history = model.fit(X, batch_size=40, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], losses[0], rtol=1e-6)
    model.test_step(X)
    with pytest.raises(ValueError, match=r"give y, 3 .* Received: y=None"):
        parts(make(), X, None)


@pytest.mark.parametrize("labels", [1, 2])
def test_each_label_weighs_one_unless_told(labels):
    options = {"labels": [Real()] * labels}
    y = np.repeat(Y[:, :1], labels, 1)
    y = y[:, 0] if labels == 1 else y
    default = parts(make(**options), X, y)
    given = parts(make(**options, label_weights=(1.0,) * labels), X, y)
    np.testing.assert_array_equal(default["loss"], given["loss"])
    twice = parts(make(**options, label_weights=(2.0,) * labels), X, y)
    np.testing.assert_allclose(twice["label_nll"], 2 * given["label_nll"], rtol=1e-5)


def test_shapes_that_mean_the_same_are_taken_one_after_the_other():
    model, y = make(labels=[Real()]), Y[:, 0]
    model.compile(keras.optimizers.Adam(1e-2))
    of_values = X._replace(mask=np.repeat(X.mask[..., None], 2, 2))
    weights = np.arange(40.0)
    given = [
        (X, y, weights),
        (X, y[:, None], weights[:, None]),
        (of_values, y, weights),
    ]
    found = [
        model.evaluate(x, y, 40, sample_weight=weights, verbose=0)
        for x, y, weights in given
    ]
    np.testing.assert_allclose(found, found[:1] * 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:, :1], r"\[batch, 3\]. Received: y.shape=\(40, 1\)"),
        (Y[:3].T[0], r"y.shape=\(3,\)"),
        (Y * np.nan, "label a must be finite. Received: y="),
        (Y * [1, 1, -1], "label clockwise must be 0 or 1. Received: y="),
        (Y + np.array([0, 0, 1]), "label clockwise must be 0 or 1. Received: y="),
    ],
)
def test_bad_labels_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        parts(make(), X, y)


@pytest.mark.parametrize(
    "x",
    [
        X.values,
        X[:2],
        X._replace(times=X.times[0]),
        X._replace(mask=X.mask[:, :5]),
        X._replace(values=X.values[..., :1]),
    ],
)
def test_what_is_not_a_series_is_refused(x):
    with pytest.raises(ValueError, match=r"make_series.* of shapes \["):
        make().posterior(x)


def test_decoding_runs_both_ways_in_the_order_of_the_times():
    model = make(tol=1e-7)
    z = model.posterior(X).mean()
    times = [0.5, -0.7, 0.0, 1.1, -0.2]
    together = model.decode(z, times)
    for i, t in enumerate(times):
        np.testing.assert_allclose(
            model.decode(z, [t])[:, 0], together[:, i], atol=1e-4
        )
    at_zero = model.decoder(z[:, None])[:, 0]
    np.testing.assert_allclose(together[:, 2], at_zero, atol=1e-6)


def test_linear_dynamics_follow_the_matrix_exponential():
    options = {"dynamics": "mlp:units=(),skip=True", "decoder_units": 0, "tol": 1e-8}
    model = LatentODE(2, partition="none", seed=0, dtype="float64", **options)
    kernel, bias, skip = model.flow.dynamics.weights
    for start in (kernel.numpy(), skip.numpy()):  # nothing grows at first
        np.testing.assert_allclose(start, -start.T, atol=1e-12)
        assert np.abs(start).max() > 0.1
    skip.assign(np.random.default_rng(1).normal(size=[5, 5]) / 5)
    field = np.zeros([6, 6])  # of (z, 1)
    field[:5] = np.concatenate([kernel.numpy() + skip.numpy(), bias.numpy()[None]]).T
    z = np.ones([1, 6])
    curve = model.decode(z[:, :5], [-2.0, 3.0])
    for place, t in enumerate([-2.0, 3.0]):
        state = (scipy.linalg.expm(t * field) @ z[0])[:5]
        decoder = model.decoder.output_map
        expected = state @ decoder.kernel.numpy() + decoder.bias.numpy()
        np.testing.assert_allclose(curve[0, place], expected, rtol=1e-6)
    twin = LatentODE.from_config(model.get_config())
    assert [w.shape for w in twin.weights] == [w.shape for w in model.weights]


def test_the_kl_warms_up_in_training_only():
    model = make(partition="none", kl_warmup_steps=4)
    model.compile(keras.optimizers.Adam(1e-3))
    cold = model.terms(X, Y, SEED, True)[0]
    weight = (cold["loss"] + cold["log_likelihood"]) / cold["kl"]
    np.testing.assert_allclose(weight, 0.25, rtol=1e-2)
    model.optimizer.iterations.assign(9)
    for training in (True, False):
        warm = model.terms(X, Y, SEED, training)[0]
        np.testing.assert_allclose(warm["loss"], -warm["elbo"], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_running_elbo_is_the_authors_mean(dtype):
    model = make(partition="none", dtype=dtype)
    for value in (10.0, 20.0):
        model._trackers["running_elbo"].update_state(tf.constant([value, value]))
        model.reset_metrics()
    assert float(model._trackers["running_elbo"].result()) == pytest.approx(10.1)


def test_a_model_in_double_precision_trains():
    model = make(partition="none", dtype="float64")
    before = [weight.numpy() for weight in model.trainable_variables]
    assert np.all(np.isfinite(train(model, X, Y, 1)))
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert new.dtype == "float64"
        assert np.any(new.numpy() != old)


def test_labels_are_predicted_in_their_own_units():
    model = make()
    z = model.posterior(X).mean()
    np.testing.assert_allclose(model.predict_labels(z)[:, 0], 1.0)  # zero at the start
    np.testing.assert_allclose(model.predict_labels(z)[:, 2], 0.5)
    with pytest.raises(ValueError, match="Received: partition='none'"):
        make(partition="none").predict_labels(z)


def test_labels_are_predicted_of_series_by_their_codes():
    model = make(label_map="identity", refine=1)
    found = model.predict_labels(X)
    with_ends = model.predict_labels(X, level=0.5).numpy()
    np.testing.assert_allclose(with_ends[..., 0], found, rtol=1e-5)
    expected = model.reader.intervals(model.codes(X), 0.5)
    np.testing.assert_allclose(with_ends, expected, rtol=1e-5)
    assert np.isfinite(with_ends[:, :2]).all()
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        model.predict_labels(X, level=1.0)
    np.testing.assert_allclose(found, model.predict_labels(model.codes(X)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"\[batch, 5\]. Received: z.shape=\(1, 4\)"):
        model.predict_labels([[0.0] * 4])


def test_codes_may_be_lists():
    model = make()
    z = [[0.0, 1.0, 2.0, 3.0, 4.0]]
    expected = model.decode(tf.constant(z), [0.5])
    np.testing.assert_array_equal(model.decode(z, [0.5]), expected)
    whole = np.array(z, np.int64)
    np.testing.assert_array_equal(model.decode(whole, [0.5]), expected)
    labels = model.predict_labels(tf.constant(z))
    np.testing.assert_array_equal(model.predict_labels(z), labels)


def test_the_identity_compares_codes_and_labels_directly():
    model = make(label_map="identity", label_weights=(1.0, 0.0, 0.0))
    assert not any(label.q_theta.weights for label in model.labels)
    z = np.random.default_rng(0).normal(size=[40, 5]).astype(np.float32)
    y = (Y - MEAN) / SCALE
    a, b, turn = model.reader.losses(model.reader.codes(z), Y.astype(np.float32))
    constant = 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(a, 0.5 * (z[:, 0] - y[:, 0]) ** 2 + constant, rtol=1e-5)
    np.testing.assert_allclose(b, 0.5 * (z[:, 1] - y[:, 1]) ** 2 + constant, rtol=1e-5)
    logit = np.where(y[:, 2] > 0.5, z[:, 2], -z[:, 2])
    np.testing.assert_allclose(turn, np.log1p(np.exp(-logit)), rtol=1e-5)
    np.testing.assert_allclose(
        model.predict_labels(z)[:, 1], 0.25 + 0.03 * z[:, 1], rtol=1e-5
    )
    unpartitioned = make(label_map="identity", partition="head")
    # linear: there is no code of a label's own
    assert all(label.q_theta.weights for label in unpartitioned.labels)


def test_a_model_is_rebuilt_from_its_configuration_and_in_float64():
    model = make()
    twin = copy_in(model, "float64")
    assert twin.compute_dtype == "float64"
    mean = twin.decode(twin.posterior(X64).mean(), [0.3], tol=1e-8)
    np.testing.assert_allclose(
        model.decode(model.posterior(X).mean(), [0.3]), mean, atol=1e-3
    )
    with pytest.raises(ValueError, match="Received: dtype='float16'"):
        copy_in(model, "float16")


X64 = Series(*(part.astype(np.float64) for part in X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "codes"}, "code, head, none. Received: partition='codes'"),
        ({"latent_dims": 2}, "Received: latent_dims=2, 3 codes of 1"),
        ({"latent_dims": 0}, "Received: latent_dims=0"),
        ({"sigma": 0.0}, "Received: sigma=0.0"),
        ({"label_map": "cubic"}, "linear, identity. Received: label_map='cubic'"),
        ({"encoder": "lstm"}, "Received: encoder='lstm'"),
        ({"units": 3.0}, "Received: units=3.0"),
        ({"encoder": "rnn:start=zero"}, "orthogonal. Received: start='zero'"),
        (
            {"encoder": "gru:start=zero"},
            "units, gaps, correlated. Received: encoder='gru:start=ze",
        ),
        ({"encoder": "gru:units=0"}, "Received: units=0"),
        ({"encoder": "gru:gaps=2"}, "gaps must be True or False. Received: gaps=2"),
        ({"beta": -1.0}, "Received: beta=-1.0"),
        ({"sigma": "a"}, "sigma must be a number. Received: sigma='a'"),
        ({"decoder_units": -1}, "Received: decoder_units=-1"),
        ({"decoder_units": 2.5}, "integer, not negative. Received: decoder_units=2.5"),
        ({"refine": -1}, "Received: refine=-1"),
        ({"random_start": 1.5}, "Received: random_start=1.5"),
        ({"consistency": -1.0}, "Received: consistency=-1.0"),
        ({"consistency": 1.0}, "Received: consistency=1.0, random_start=0"),
        ({"kl_warmup_steps": -1}, "Received: kl_warmup_steps=-1"),
        ({"label_weights": (1.0, 1.0)}, "label_weights=(1.0, 1.0), 3 labels"),
        ({"labels": ("gauss",) * 3}, "registered kinds. Received: label='gauss'"),
        ({"dynamics": "mlp:units=(0,)"}, "Received: units=0"),
        ({"dynamics": "mlp:units=20"}, "as (64,). Received: units=20"),
        ({"dynamics": "mlp:skip=1"}, "skip must be True or False. Received: skip=1"),
        ({"dynamics": "mlp:activation=relu"}, "Received: activation='relu'"),
        ({"tol": 0.0}, "Received: tol=0.0"),
        (
            {"labels": [Real(2)], "label_map": "identity"},
            "code_dims of at least 2, one for each number of a label. Received: code_d",
        ),
        ({"labels": 3, "label_map": "identity"}, "Received: code_dims=1"),
        ({"latent_dims": True}, "Received: latent_dims=True"),
    ],
)
def test_bad_keywords_are_refused(options, message):
    with pytest.raises(ValueError, match="Received: ") as failure:
        make(**options)
    assert message in str(failure.value)


@pytest.mark.parametrize("times", [[], [np.nan], [[0.0, 1.0]], ["noon"]])
def test_bad_times_are_refused(times):
    model = make()
    with pytest.raises(ValueError, match="Received: times"):
        model.decode(tf.zeros([1, 5]), times)
