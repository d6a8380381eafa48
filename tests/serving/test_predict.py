import csv
import json
import shutil
import types
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfcnf
from tfcnf.data import arrays as foreign
from tfcnf.data import catalog
from tfcnf.serving import predict
from tfcnf.serving.export import make_module
from tfcnf.serving.question_files import open_images

LOAD = tf.saved_model.load  # tests load the same export once
NAMES = ["ant", "bee", "c, d", "é", *"456789"]


@pytest.fixture(scope="module")
def levels(digits):
    return digits.test.x[:9], digits.test.y[:9]


@pytest.fixture
def folder(tmp_path, levels):
    """Image files of the digits, 8 bits."""
    path = tmp_path / "images"
    path.mkdir()
    for i, image in enumerate(levels[0]):
        grey = np.round(image / 16 * 255).astype(np.uint8)
        (path / f"{i:02d}.png").write_bytes(tf.io.encode_png(grey).numpy())
    (path / "notes.txt").write_text("not an image")
    return path


@pytest.fixture
def arrays(tmp_path, levels):
    """An .npz of grey levels with labels."""
    path = tmp_path / "digits.npz"
    np.savez_compressed(path, image=levels[0], label=levels[1])
    return path


@pytest.fixture(autouse=True)
def loaded_once(request, served, monkeypatch):
    """Loading takes seconds; one test does it."""
    if "becomes_a_table" not in request.node.name:
        monkeypatch.setattr(tf.saved_model, "load", lambda _: served)


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_table(folder, export_dir, served, levels, tmp_path, capsys):
    out = tmp_path / "answers.csv"
    number = predict.predict(str(export_dir), str(folder), out=str(out), batch_size=4)
    rows = read_csv(out)
    assert number == len(rows) == 9
    assert [row["example"] for row in rows] == [f"{i:02d}.png" for i in range(9)]
    expected = served.classify_uint8(levels[0])
    found = [int(row["classify/discriminative_class"]) for row in rows]
    np.testing.assert_array_equal(found, expected["discriminative_class"])
    found = [float(row["classify/generative_probability_3"]) for row in rows]
    probability = expected["generative_probability"][:, 3]
    np.testing.assert_allclose(found, probability, atol=1e-4)
    nats = served.marginal_log_prob_uint8(levels[0])["log_prob_nats"]
    found = [float(row["marginal_log_prob/log_prob_nats"]) for row in rows]
    np.testing.assert_allclose(found, nats, atol=1e-2)  # batches of 4, not of 9
    assert "9/9" in capsys.readouterr().out


def test_arrays_become_arrays(arrays, export_dir, served, levels, tmp_path):
    out = tmp_path / "answers.npz"
    questions = ["log_prob", "encode"]
    predict.predict(
        str(export_dir),
        str(arrays),
        out=str(out),
        questions=questions,
        batch_size=4,
        tol=1e-3,
    )
    with np.load(out) as file:
        found = dict(file)
    parts = [slice(0, 4), slice(4, 8), slice(8, 9)]
    label = levels[1].astype(np.int32)
    for name, answers in {
        "log_prob/log_prob_nats": [
            served.log_prob_uint8(levels[0][p], label[p], 1e-3)["log_prob_nats"]
            for p in parts
        ],
        "encode/code_unitless": [
            served.encode_uint8(levels[0][p], 1e-3)["code_unitless"] for p in parts
        ],
    }.items():
        np.testing.assert_array_equal(found[name], np.concatenate(answers))
    assert found["example"].tolist() == [str(i) for i in range(9)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("answers.npz", "digits.npz"),
    ]


def test_class_folders_give_the_labels_of_their_names(
    folder, arrays, named_export, levels, tmp_path
):
    for i, label in enumerate(levels[1].ravel()):
        place = folder / "test" / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / f"{i:02d}.png", place / f"{i:02d}.png")
    options = {"questions": ["log_prob"], "batch_size": 9}
    found = {}
    for images in (folder, arrays):
        out = tmp_path / f"{images.name}.csv"
        predict.predict(named_export, str(images), out=str(out), **options)
        for row in read_csv(out):
            found.setdefault(images, []).append(
                (row["example"][-6:-4], float(row["log_prob_nats"]))
            )
    ours = [nats for _, nats in sorted(found[folder])]
    np.testing.assert_allclose(ours, [n for _, n in found[arrays]], atol=1e-3)
    shutil.move(folder / "test" / NAMES[levels[1][0, 0]], folder / "test" / "dog")
    with pytest.raises(ValueError, match="folders that have the names of the export's"):
        predict.predict(
            named_export, str(folder), out=str(tmp_path / "x.csv"), **options
        )


@pytest.fixture
def named_export(export_dir, tmp_path):
    """What `predict` reads of an export beside the graph, with names of classes."""
    folder = tmp_path / "named"
    shutil.copytree(export_dir / "assets", folder / "assets")
    (folder / "saved_model.pb").touch()
    (folder / "assets" / "labels.json").write_text(json.dumps([NAMES]))
    return str(folder)


@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_classes_are_answered_by_name(ending, arrays, named_export, served, levels):
    out = arrays.with_name(f"answers.{ending}")
    predict.predict(named_export, str(arrays), out=str(out), questions=["classify"])
    answers = served.classify_uint8(levels[0])
    expected = [NAMES[k] for k in answers["discriminative_class"].numpy()]
    if ending == "npz":
        with np.load(out) as file:
            assert file["discriminative_class_name"].tolist() == expected
            assert file["generative_class_name"].shape == (9,)
        return
    rows = read_csv(out)
    assert [row["discriminative_class_name"] for row in rows] == expected
    found = [float(row["generative_probability_c, d"]) for row in rows]
    probability = answers["generative_probability"][:, 2]
    np.testing.assert_allclose(found, probability, atol=1e-5)


def test_a_question_that_the_export_cannot_answer_is_refused(
    arrays, export_dir, served, monkeypatch, tmp_path
):
    module = types.SimpleNamespace(classify=served.classify)
    monkeypatch.setattr(tf.saved_model, "load", lambda _: module)
    with pytest.raises(ValueError, match="made without the training data"):
        predict.predict(
            str(export_dir),
            str(arrays),
            out=str(tmp_path / "x.csv"),
            questions=["ood_score"],
        )


@pytest.mark.parametrize("labelled", [True, False])
def test_an_export_answers_what_its_labels_allow(labelled, tmp_path, monkeypatch):
    sizes = {"num_scales": 1, "flows_per_block": 1, "filters": 2, "hidden_layers": 1}
    options = {"num_levels": 17, "seed": 0, "alpha": 0.05} | sizes
    labels = [tfcnf.Real(mean=[90.0], scale=[50.0]), tfcnf.Categorical(3)]
    model = tfcnf.InfoCNF((4, 4, 1), labels=labels, **options)
    if not labelled:
        del options["alpha"]
        model = tfcnf.CNF((4, 4, 1), **options)
    module = make_module(model, None, tol=1e-2)
    folder = tmp_path / "export"
    signatures = {name: module.functions[name] for name in ("log_prob", "encode")}
    plain = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures, plain)
    (folder / "assets").mkdir(exist_ok=True)
    about = {"event_shape": [4, 4, 1], "num_levels": 17}
    (folder / "assets" / "images.json").write_text(json.dumps(about))
    names = [[], ["ant", "bee", "cat"]] if labelled else []
    (folder / "assets" / "labels.json").write_text(json.dumps(names))
    loaded = LOAD(str(folder))
    monkeypatch.setattr(tf.saved_model, "load", lambda _: loaded)
    x = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1) % 17
    y = np.array([[12.5, 0], [80.25, 2]])
    np.savez(tmp_path / "x.npz", image=x, **({"label": y} if labelled else {}))

    def ask(name, questions=None):
        out = tmp_path / f"{name}.csv"
        where = str(folder), str(tmp_path / "x.npz")
        predict.predict(*where, out=str(out), questions=questions)
        return read_csv(out)

    first, _ = ask("default")
    if labelled:
        assert first["generative_class_name"] in {"ant", "bee", "cat"}
        with pytest.raises(ValueError, match="has a label of no stated distribution"):
            ask("marginal", ["marginal_log_prob"])
    else:
        with pytest.raises(ValueError, match="has no label of classes"):
            ask("classes", ["classify"])
        nats = module.marginal_log_prob_uint8(x)["log_prob_nats"][0]
        assert float(first["log_prob_nats"]) == pytest.approx(float(nats), abs=1e-3)
    given = [tf.constant(y, tf.float32)] if labelled else []
    nats = module.log_prob_uint8(x, *given)["log_prob_nats"]
    found = [float(row["log_prob_nats"]) for row in ask("known", ["log_prob"])]
    np.testing.assert_allclose(found, nats, atol=1e-3)


def test_two_factors_keep_their_names_apart():
    names = [["ant", "bee"], ["x", "y", "z"]]
    named = predict._name(
        {"a_class_0": np.array([1, 0, -1]), "a_class_1": np.array([2, 2, -1])}, names
    )
    assert named["a_class_name_0"].tolist() == ["bee", "ant", ""]
    assert named["a_class_name_1"].tolist() == ["z", "z", ""]
    assert predict._heads(names)["_probability_1"] == names[1]


def test_floats_are_taken_as_they_are(export_dir, served, levels, tmp_path):
    image = ((levels[0] + 0.25) / 17).astype(np.float64)
    np.savez(tmp_path / "floats.npz", image=image)
    out = tmp_path / "x.csv"
    predict.predict(
        str(export_dir),
        str(tmp_path / "floats.npz"),
        out=str(out),
        questions=["encode"],
    )
    (first, *_) = read_csv(out)
    code = served.encode(image.astype(np.float32))["code_unitless"].numpy()
    found = [float(first[f"code_unitless_{i}"]) for i in range(64)]
    np.testing.assert_allclose(found, code[0], atol=1e-5)


def test_only_a_batch_is_read_at_a_time(tmp_path, monkeypatch):
    image = np.zeros([1000, 8, 8, 1], np.uint8)
    image[:, 0, 0, 0] = np.arange(1000) % 17
    np.savez_compressed(tmp_path / "many.npz", image=image)
    taken = []
    take = foreign._take

    def spy(stream, count, last):
        taken.append(count // 64)
        return take(stream, count, last)

    monkeypatch.setattr(foreign, "_take", spy)
    source = open_images(str(tmp_path / "many.npz"), 17)
    batches = [batch["image"] for batch in source.batches((8, 8, 1), 300)]
    assert taken == [300, 300, 300, 100]
    np.testing.assert_array_equal(np.concatenate(batches), image)


def test_eight_bits_become_grey_levels(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    (tmp_path / "a.PNG").write_bytes(tf.io.encode_png(grey).numpy())
    for count in (256, 17, 2):
        (batch,) = open_images(str(tmp_path), count).batches((16, 16, 1), 1)
        expected = np.arange(256) * count // 256
        np.testing.assert_array_equal(batch["image"].ravel(), expected)


def all_images(path, shape=(8, 8, 1), levels=17, **options):
    source = open_images(str(path), levels)
    batches = list(source.batches(shape, 2, **options))
    return source.names, np.concatenate([batch["image"] for batch in batches])


def test_folders_are_read_as_for_training(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    files = {
        "0/a.png": grey,
        "2/b.gif": grey,
        "10/c.bmp": np.repeat(grey[..., None], 3, 2),
    }
    for name, pixels in files.items():
        (tmp_path / name).parent.mkdir()
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "0" / "._a.png").write_text("of a file manager")
    for name in ("0", "2", "10"):
        for i in range(4):
            Image.fromarray(grey).save(tmp_path / name / f"z{i}.png")
    names, images = all_images(tmp_path, levels=256)
    assert names[::5] == list(files)
    assert (images == grey[..., None]).all()
    source = catalog.get(str(tmp_path))
    assert source.class_names == (("0", "2", "10"),)
    assert source.event_shape == (8, 8, 3)  # one file has colours
    assert (source.train.x == grey[..., None]).all()


@pytest.mark.parametrize("order", "CF")
def test_arrays_are_read_as_for_training(order, tmp_path):
    x = np.arange(320).reshape(5, 8, 8) % 17
    y = np.array([0, 1, 2, 1, 0], np.int64)
    np.savez(
        tmp_path / "own.npz",
        x_train=x,
        y_train=y,
        x_test=np.asarray(x, order=order),
        y_test=y,
    )
    names, images = all_images(tmp_path / "own.npz")
    assert names == list("01234")
    np.testing.assert_array_equal(images[..., 0], x)
    source = catalog.get(str(tmp_path / "own.npz"))
    np.testing.assert_array_equal(source.test.x, images)
    batches = open_images(str(tmp_path / "own.npz"), 17).batches((8, 8, 1), 2, np.int32)
    labels = np.concatenate([batch["label"] for batch in batches])
    np.testing.assert_array_equal(labels, y)
    assert labels.dtype == np.int32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": np.array([0.0, 2.5])}, "there must be integer labels"),
        ({"label": np.array([2**32 + 3, 0])}, "from 0 to 4294967299"),
        ({"image": np.full([2, 8, 8, 1], 2**32 + 3)}, "from 4294967299 to 4294967299"),
        ({"image": np.zeros([2, 1, 8, 8])}, "x.transpose(0, 2, 3, 1) puts"),
        ({"image": np.zeros([2, 8, 8, 1], bool)}, "integers or floats"),
        ({"image": np.zeros([2, 0, 8, 1])}, "at least one image"),
        ({"label": np.array(3)}, "a label for each image"),
    ],
)
def test_arrays_are_looked_at_before_they_are_narrowed(changes, message, tmp_path):
    good = {"image": np.zeros([2, 8, 8, 1], np.uint8), "label": np.zeros([2], int)}
    np.savez(tmp_path / "bad.npz", **(good | changes))
    with pytest.raises(ValueError, match="Received: ") as failure:
        all_images(tmp_path / "bad.npz", labels=np.int32)
    assert message in str(failure.value)


def test_labels_that_are_not_asked_for_do_not_matter(tmp_path):
    image = np.zeros([2, 8, 8, 1], np.uint8)
    np.savez(tmp_path / "x.npz", image=image, label=np.array([0.0, 2.5]))
    np.testing.assert_array_equal(all_images(tmp_path / "x.npz")[1], image)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saved_model": "nowhere"}, "Received: saved_model='nowhere'"),
        ({"images": "nowhere"}, "Received: images='nowhere'"),
        ({"out": "answers.txt"}, "must end in .csv or .npz"),
        ({"out": "missing/answers.csv"}, "in an existing folder"),
        ({"questions": ["clasify"]}, "Received: questions='clasify'"),
        ({"questions": []}, "there must be a question"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"tol": -1.0}, "Received: tol=-1.0"),
    ],
)
def test_bad_arguments_are_named(change, message, arrays, export_dir, tmp_path):
    given = {
        "saved_model": str(export_dir),
        "images": str(arrays),
        "out": str(tmp_path / "answers.csv"),
    }
    with pytest.raises(ValueError, match="Received: ") as failure:
        predict.predict(**(given | change))
    assert message in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["digits.npz"]


BAD = {
    "another size": ({"image": np.zeros([2, 7, 8, 1])}, "images must have shape"),
    "a NaN": ({"image": np.full([2, 8, 8, 1], np.nan)}, "images 0 to 1: image must be"),
    "a level too high": (
        {"image": np.full([2, 8, 8, 1], 17, np.uint8)},
        "grey levels 0..16",
    ),
    "a level below 0": ({"image": np.full([2, 8, 8, 1], -1)}, "must be grey levels"),
    "no image": ({"x": np.zeros([2])}, "must have an array `image`"),
    "no images": ({"image": np.zeros([0, 8, 8, 1])}, "at least one image"),
    "text": ({"image": np.array(["a", "b"])}, "integers or floats"),
    "labels too few": (
        {"image": np.zeros([2, 8, 8, 1]), "label": np.zeros([1], int)},
        "a label for each image",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_images_are_named_and_leave_no_file(name, export_dir, tmp_path):
    content, message = BAD[name]
    np.savez(tmp_path / "bad.npz", **content)
    out = tmp_path / "answers.npz"
    with pytest.raises(ValueError, match="Received") as failure:
        predict.predict(str(export_dir), str(tmp_path / "bad.npz"), out=str(out))
    assert message in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


def test_other_bad_sources_are_named(export_dir, folder, arrays, tmp_path):
    def refused(images, **options):
        out = str(tmp_path / "answers.csv")
        with pytest.raises(ValueError, match="Received: ") as failure:
            predict.predict(str(export_dir), str(images), out=out, **options)
        assert not list(tmp_path.glob("*answers*"))
        return str(failure.value)

    assert "an array `label` in an .npz" in refused(folder, questions=["log_prob"])
    assert "use --out=FILE.npz" in refused(arrays, questions=["reconstruct"])
    (folder / "03.png").write_bytes(b"not a picture")
    assert "cannot be read as an image" in refused(folder)
    large = tf.io.encode_png(np.zeros([9, 8, 1], np.uint8)).numpy()
    (folder / "03.png").write_bytes(large)
    assert "03.png' with [9, 8, 1]" in refused(folder)
    for path in folder.glob("*.png"):
        path.unlink()
    assert "the folder has no images" in refused(folder)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK")
    assert "the .npz file cannot be read" in refused(broken)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as file:
        file.writestr("a.txt", "a")
    assert "must have an array `image`" in refused(tmp_path / "other.npz")
