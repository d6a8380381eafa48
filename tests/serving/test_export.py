import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfcnf import CNF, Column, InfoCNF
from tfcnf.data.record import record_of
from tfcnf.data.source import Split
from tfcnf.diagnostics.typicality import Entropy
from tfcnf.serving.bounds import Bounds
from tfcnf.serving.export import export_run, make_module
from tfcnf.serving.worst import dearest, measure_worst

SIZES = (1, 7, 64, 200)
TOL = 1e-5


def requests(digits):
    """Images, labels and codes of each size."""
    rng = np.random.default_rng(0)
    made = {}
    for size in SIZES:
        chosen = rng.integers(0, len(digits.train), size)
        levels = digits.train.x[chosen]
        image = ((levels + rng.random(levels.shape)) / 17).astype(np.float32)
        label = digits.train.y[chosen].astype(np.int32)
        made[size] = {"image": image, "levels": levels, "label": label}
    return made


PARTS = {"all": slice(200), "one": slice(5, 6), "some": slice(7, 18)}


def alone(given):
    """Inputs of functions that are asked about examples alone and in a batch."""
    image, label = given["image"], given["label"]
    code = np.random.default_rng(1).normal(size=[200, 64]).astype(np.float32)
    return {
        "log_prob": {"image": image, "label": label},
        "marginal_log_prob": {"image": image},
        "classify": {"image": image},
        "encode": {"image": image},
        "decode": {"code": code},
        "sample": {"label": label, "seed": np.arange(200, dtype=np.int32)},
    }


@pytest.fixture(scope="module")
def given(digits):
    return requests(digits)


@pytest.fixture(scope="module")
def answered(export_dir, given, tmp_path_factory):
    """Answers of a fresh process that can import neither tfcnf, keras nor tfp."""
    folder = tmp_path_factory.mktemp("clean")
    asked = {}
    for size, one in given.items():
        for function, inputs in {
            "log_prob": {"image": one["image"], "label": one["label"]},
            "marginal_log_prob": {"image": one["image"]},
            "classify": {"image": one["image"]},
            "reconstruct": {"image": one["image"]},
            "sample": {"label": one["label"], "seed": np.int32(5)},
        }.items():
            for name, value in inputs.items():
                asked[f"{size}/{function}/{name}"] = value
    for part, rows in PARTS.items():
        for function, inputs in alone(given[200]).items():
            for name, value in inputs.items():
                asked[f"{part}/{function}/{name}"] = value[rows]
            asked[f"{part}/{function}/steps"] = np.bytes_("each")
    np.savez(folder / "requests.npz", **asked)
    script = Path(__file__).with_name("clean_process.py")
    done = subprocess.run(
        [sys.executable, "-P", str(script), str(export_dir), "requests.npz", "a.npz"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "a.npz") as file:
        return dict(file)


@pytest.mark.parametrize("size", SIZES)
def test_the_graph_optimizer_of_another_process_changes_nothing(
    size, answered, given, served
):
    # it is on there and off here (tests/conftest.py)
    image, label = given[size]["image"], given[size]["label"]
    for function, answers in {
        "log_prob": served.log_prob(image, label),
        "marginal_log_prob": served.marginal_log_prob(image),
    }.items():
        for name, value in answers.items():
            found = answered[f"{size}/{function}/{name}"]
            np.testing.assert_array_equal(found, value.numpy(), name)


@pytest.mark.parametrize("part", ["one", "some"])
def test_answers_by_steps_of_their_own_do_not_depend_on_the_batch(part, answered):
    for name in [key for key in answered if key.startswith(f"{part}/")]:
        whole = answered[f"all/{name.removeprefix(f'{part}/')}"]
        np.testing.assert_array_equal(answered[name], whole[PARTS[part]], name)


@pytest.mark.parametrize("size", SIZES)
def test_a_clean_process_gives_the_log_probabilities_in_memory(
    size, answered, given, in_memory
):
    image, label = given[size]["image"], given[size]["label"]
    for function, nats in {
        "log_prob": in_memory.log_prob(image, label, tol=TOL, exact=True),
        "marginal_log_prob": in_memory.marginal_log_prob(image, TOL, exact=True),
    }.items():
        found = answered[f"{size}/{function}/log_prob_nats"]
        assert found.shape == (size,)
        np.testing.assert_allclose(found, nats, atol=1e-4, rtol=0)
        bits = answered[f"{size}/{function}/bits_per_dim"]
        np.testing.assert_allclose(
            bits, (math.log(17) - found / 64) / math.log(2), atol=1e-6
        )
        assert not answered[f"{size}/{function}/standard_error_nats"].any()


@pytest.mark.parametrize("size", SIZES)
def test_a_clean_process_gives_the_classes_in_memory(size, answered, given, in_memory):
    image = given[size]["image"]
    for posterior in ("discriminative", "generative"):
        expected = in_memory.classify(image, posterior, tol=TOL).numpy()
        found = answered[f"{size}/classify/{posterior}_probability"]
        np.testing.assert_allclose(found, expected, atol=3e-5)
        classes = answered[f"{size}/classify/{posterior}_class"]
        np.testing.assert_array_equal(classes, expected.argmax(1))


@pytest.mark.parametrize("size", SIZES)
def test_a_clean_process_inverts_and_draws_as_in_memory(
    size, answered, given, in_memory
):
    image, label = given[size]["image"], given[size]["label"]
    back = answered[f"{size}/reconstruct/image_black_0_white_1"]
    assert np.abs(back - image).max() < 1e-3
    largest = answered[f"{size}/reconstruct/largest_difference_black_0_white_1"]
    np.testing.assert_allclose(largest, np.abs(back - image).max((1, 2, 3)), atol=1e-7)
    drawn = in_memory.sample(label, 5, tol=TOL)
    found = answered[f"{size}/sample/image_black_0_white_1"]
    np.testing.assert_allclose(found, drawn, atol=1e-5)


def test_codes_are_those_in_memory(served, given, in_memory):
    image = given[64]["image"]
    code = served.encode(image)["code_unitless"]
    np.testing.assert_allclose(code, in_memory.encode(image, TOL), atol=1e-5)


def test_the_scores_are_those_of_the_runs_entropy(served, given, served_run):
    kept = Entropy(**json.loads((served_run / "entropy.json").read_text()))
    nats = served.marginal_log_prob(given[64]["image"])["log_prob_nats"].numpy()
    scores = served.ood_score(given[64]["image"])
    likelihood = scores["likelihood_score_nats"]
    typicality = scores["typicality_score_nats"]
    np.testing.assert_allclose(likelihood, -nats, atol=1e-4)
    np.testing.assert_allclose(typicality, np.abs(-nats - kept.nats), atol=1e-3)


def test_grey_levels_are_averaged_over_draws(served, given, in_memory):
    levels, label = given[7]["levels"], given[7]["label"]
    found = served.log_prob_uint8(levels, label)
    passes = []
    for draw in range(3):  # the noise of a pass: the same for every image
        seed = tf.random.experimental.stateless_fold_in(tf.constant([draw, 0]), 0)
        noise = tf.random.stateless_uniform([1, 8, 8, 1], seed)
        u = np.minimum((levels + noise.numpy()) / 17, 1).astype(np.float32)
        passes.append(in_memory.log_prob(u, label, tol=TOL, exact=True))
    np.testing.assert_allclose(
        found["log_prob_nats"], np.mean(passes, 0), atol=1e-3, rtol=0
    )
    error = np.std(passes, 0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(found["standard_error_nats"], error, atol=1e-3)
    bits = error / 64 / np.log(2)
    np.testing.assert_allclose(found["standard_error_bits_per_dim"], bits, atol=1e-4)
    middle = ((levels + 0.5) / 17).astype(np.float32)
    np.testing.assert_array_equal(
        served.classify_uint8(levels)["discriminative_probability"],
        served.classify(middle)["discriminative_probability"],
    )


def test_an_answer_does_not_depend_on_the_place_in_the_batch(served, given):
    levels = given[7]["levels"]
    together = served.marginal_log_prob_uint8(levels)
    turned = served.marginal_log_prob_uint8(levels[::-1])
    for name, value in together.items():
        np.testing.assert_allclose(value, turned[name][::-1], atol=1e-3)


def test_interpolations_begin_and_end_with_the_images(served, given):
    a, b = given[7]["image"], given[7]["image"][::-1]
    line = served.interpolate(a, b, num_images=5)["images_black_0_white_1"].numpy()
    assert line.shape == (7, 5, 8, 8, 1)
    np.testing.assert_allclose(line[:, 0], a, atol=1e-3)
    np.testing.assert_allclose(line[:, -1], b, atol=1e-3)
    codes = [served.encode(x)["code_unitless"] for x in (a, b)]
    middle = served.decode((codes[0] + codes[1]) / 2)["image_black_0_white_1"]
    np.testing.assert_allclose(line[:, 2], middle, atol=1e-4)
    levels = given[7]["levels"]
    line = served.interpolate_uint8(levels, levels)["images_black_0_white_1"]
    np.testing.assert_allclose(line[:, 3], (levels + 0.5) / 17, atol=1e-3)


def test_every_example_may_have_a_seed_and_a_temperature_of_its_own(served):
    label, seed = np.int32([3, 1, 3]), np.int32([7, 8, 7])
    together = served.sample(label, seed, np.float32([1, 0, 1]))[
        "image_black_0_white_1"
    ]
    alone = served.sample(label[:1], np.int32(7))["image_black_0_white_1"]
    np.testing.assert_allclose(together[0], alone[0], atol=1e-4)
    np.testing.assert_allclose(together[2], alone[0], atol=1e-4)
    mean = served.sample(label[1:2], np.int32(0), np.float32(0))[
        "image_black_0_white_1"
    ]
    np.testing.assert_allclose(together[1], mean[0], atol=1e-4)


def test_the_tolerance_is_an_input(served, given, in_memory):
    image, label = given[64]["image"], given[64]["label"]
    for tol in (1e-2, 1e-6):
        expected = in_memory.log_prob(image, label, tol=tol, exact=True)
        found = served.log_prob(image, label, tol=tol)["log_prob_nats"]
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    each = np.full(64, 1e-2, np.float32)
    each[3] = 1e-6  # the strictest holds for all
    np.testing.assert_array_equal(
        served.log_prob(image, label, tol=each)["log_prob_nats"], found
    )
    loose = served.log_prob(image, label, tol=1e-2)["log_prob_nats"]
    assert np.abs(loose - found).max() > 1e-4


def test_assets_tell_of_the_run(export_dir, served_run):
    assets = export_dir / "assets"
    config = json.loads((served_run / "config.json").read_text())
    assert json.loads((assets / "run_config.json").read_text()) == config
    measures = json.loads((assets / "metrics.json").read_text())
    assert measures["evaluation"]["num_examples"] == 360
    assert measures["entropy"]["num_examples"] == 1437
    (names,) = json.loads((assets / "labels.json").read_text())
    assert names == [str(k) for k in range(10)]


def test_the_model_card_is_of_this_model(export_dir, served_run):
    card = (export_dir / "assets" / "MODEL_CARD.md").read_text()
    results = json.loads((served_run / "eval.json").read_text())
    assert card.startswith("# InfoCNF on digits\n")
    assert f"{results['test_error']:.2f}" in card
    assert f"{results['bits_per_dim']:.3f}" in card
    for part in (
        "`log_prob_uint8`",
        "`log_prob_nats`",
        "8 x 8 x 1",
        "grey levels 0..16",
    ):
        assert part in card, part
    assert "mean over 3 fixed draws of noise" in card
    assert "Warning: the model was trained at tolerance 0.01, which is too" in card


def test_estimated_traces_are_averaged_too(in_memory, given):
    module = make_module(in_memory, 0.0, tol=1e-3, trace="estimate", draws=64)
    image, label = given[7]["image"], given[7]["label"]
    found = module.log_prob(image, label)
    exact = in_memory.log_prob(image, label, tol=1e-3, exact=True).numpy()
    error = found["standard_error_nats"].numpy()
    assert (error > 0).all()
    assert (np.abs(found["log_prob_nats"] - exact) < 5 * error + 0.05).all()


def test_a_model_without_supervised_code_has_no_classes():
    model = CNF((4, 4, 1), num_levels=17, filters=2, hidden_layers=1, alpha=0.05)
    module = make_module(model, 0.0, tol=1e-3)
    assert not hasattr(module, "classify")
    image = np.full([2, 4, 4, 1], 0.5, np.float32)
    found = module.log_prob(image)["log_prob_nats"]
    marginal = module.marginal_log_prob(image)["log_prob_nats"]
    np.testing.assert_allclose(found, marginal, rtol=1e-5)
    drawn = module.sample(np.int32(3))["image_black_0_white_1"]
    np.testing.assert_array_equal(drawn, model.sample(3, tol=1e-3))


def test_several_label_factors_have_posteriors_of_their_own():
    model = InfoCNF((4, 4, 1), (3, 2), num_levels=17, filters=2, hidden_layers=1)
    module = make_module(model, 0.0, tol=1e-3)
    answer = module.classify(np.full([2, 4, 4, 1], 0.5, np.float32))
    assert answer["discriminative_probability_0"].shape == (2, 3)
    assert answer["generative_probability_1"].shape == (2, 2)
    label = np.int32([[2, 1], [0, 0]])
    assert module.sample(label)["image_black_0_white_1"].shape == (2, 4, 4, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tol": 0.0}, "Received: tol=0.0"),
        ({"draws": 1}, "Received: draws=1"),
        ({"trace": "exat"}, "Received: trace='exat'"),
        ({"tol": 1e-7}, "Received: tol=1e-07, min_tol=1e-06"),
        ({"steps": ["own"]}, "Received: steps=own"),
        ({"steps": ["each", "each"]}, "Received: steps=each,each"),
    ],
)
def test_bad_options_are_refused(options, message, in_memory):
    with pytest.raises(ValueError, match="Received: ") as failure:
        make_module(in_memory, 0.0, **({"tol": 1e-3} | options))
    assert message in str(failure.value)


@pytest.mark.parametrize("name", ["max_batch", "min_tol", "max_work"])
def test_bad_bounds_are_refused(name):
    with pytest.raises(ValueError, match=f"Received: {name}=-1"):
        Bounds(**{name: -1})


def test_a_request_of_more_work_than_the_bound_fails_in_a_line(in_memory, given):
    image = given[7]["image"]
    small = make_module(in_memory, 0.0, tol=1e-5, bounds=Bounds(max_work=7))
    assert np.isfinite(small.encode(image[:1])["code_unitless"]).all()
    for steps in ("shared", "each"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`max_work` of an ex"):
            small.encode(image, steps=steps)


def test_the_dearest_requests_are_answered_unless_they_are_too_much_work(monkeypatch):
    columns = Column("mass", low=0.0), Column("visits", "integer", low=0, high=9)
    rows = np.array([[0.5, 0], [1.5, 9], [1.0, 4]], np.float32)
    model = InfoCNF(
        *((2,), 2), columns=columns, context=1, filters=2, hidden_layers=1, seed=0
    )
    for weight in model.flow.trainable_variables:
        weight.assign(4.0 * weight)
    data = Split(rows, np.array([[0], [1], [0]]), context=rows[:, :1])
    bounds = Bounds(max_batch=8, min_tol=1e-4, max_work=40)
    ways = {"draws": 2, "steps": ["shared"]}
    module = make_module(model, None, tol=1e-2, bounds=bounds, **ways)
    for name, given in dearest(module.answers, data, 1):
        module.functions[name](**given)
    for name, given in dearest(module.answers, data, 8):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`max_work` of an ex"):
            module.functions[name](**given)
    worst = measure_worst(module, data)
    assert (worst.requests, worst.steps) == (4 * 3, "shared")
    assert worst.examples in {8, 4, 2, 1}
    assert worst.function in {"log_prob", "sample", "decode"}
    seconds = {"log_prob": 1.0, "sample": 3.0, "decode": 2.0}
    monkeypatch.setattr(
        "tfcnf.serving.worst._seconds",
        lambda module, name, given: (seconds[name], 0.5, name == "sample"),
    )
    told = measure_worst(module, data)
    assert (told.function, told.seconds, told.answered) == ("sample", 3.0, True)


def test_image_files_are_read_as_their_grey_levels():
    model = CNF((4, 4, 1), num_levels=17, filters=2, hidden_layers=1, alpha=0.05)
    module = make_module(model, 0.0, tol=1e-2)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 1), np.uint8)
    files = tf.stack([tf.io.encode_png(image) for image in pixels])
    levels = (pixels.astype(int) * 17 // 256).astype(np.uint8)
    np.testing.assert_array_equal(
        module.encode_bytes(files)["code_unitless"],
        module.encode_uint8(levels)["code_unitless"],
    )
    for bad, words in [
        ([tf.io.encode_png(pixels[0, :3])], r"image files must be of height"),
        ([b"text"], "image"),
        (files[None], "image must be a list of image files"),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            module.encode_bytes(tf.convert_to_tensor(bad))


def test_keras_own_export_names_the_way():
    model = InfoCNF((2,), 2, filters=2, hidden_layers=1)
    with pytest.raises(ValueError, match=r"launch/export\.py .* Received: filepath="):
        model.export("folder")


@pytest.fixture
def export(served_run, in_memory, digits, monkeypatch):
    """A function that exports the run to a path; what is saved is a stub."""
    config = json.loads((served_run / "config.json").read_text())
    entropy = Entropy(-90.0, 10.0, 0.3, 1437, TOL, 6)
    monkeypatch.setattr("tfcnf.serving.export.kept_entropy", lambda *_, **__: entropy)
    monkeypatch.setattr("tfcnf.serving.export.model_card", lambda *_, **__: "new")

    def save(module, path, **_):
        Path(path, "assets").mkdir(parents=True)
        Path(path, "assets", "MODEL_CARD.md").write_text("new")
        Path(path, "saved_model.pb").touch()

    monkeypatch.setattr(tf.saved_model, "save", save)
    return lambda path, **options: export_run(
        str(served_run),
        str(path),
        config=config,
        model=in_memory,
        data=record_of(digits),
        read=lambda: digits.train,
        **options,
    )


def test_only_an_older_export_is_overwritten(export, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("precious")
    for overwrite, words in [(False, "exists"), (True, "something else")]:
        with pytest.raises(ValueError, match=rf"{words}.*Received: export_dir="):
            export(foreign, overwrite=overwrite)
    assert [path.name for path in foreign.iterdir()] == ["notes.txt"]
    older = tmp_path / "older"
    (older / "assets").mkdir(parents=True)
    (older / "assets" / "MODEL_CARD.md").write_text("old")
    (older / "more").touch()
    export(older, overwrite=True)
    assert (older / "assets" / "MODEL_CARD.md").read_text() == "new"
    assert not (older / "more").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "older"]


def test_a_failed_export_leaves_nothing(export, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
