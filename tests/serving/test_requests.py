"""Good and bad requests, as TensorFlow Serving would put them to the signatures."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf

IMAGE = np.full((2, 8, 8, 1), 0.5, np.float32)
LEVELS = np.full((2, 8, 8, 1), 3, np.uint8)
LABEL = np.int32([1, 2])
CODE = np.zeros((2, 64), np.float32)
GOOD = {
    "log_prob": {"image": IMAGE, "label": LABEL},
    "marginal_log_prob": {"image": IMAGE},
    "ood_score": {"image": IMAGE},
    "classify": {"image": IMAGE},
    "encode": {"image": IMAGE},
    "reconstruct": {"image": IMAGE},
    "interpolate": {"image_a": IMAGE, "image_b": IMAGE, "num_images": np.int32(3)},
    "decode": {"code": CODE},
    "sample": {"label": LABEL, "seed": np.int32(0), "temperature": np.float32(1)},
}
OF_IMAGES = [name for name in GOOD if name not in ("decode", "sample")]
GOOD |= {
    name + "_uint8": {
        key: LEVELS if key.startswith("image") else value
        for key, value in GOOD[name].items()
    }
    for name in OF_IMAGES
}


def _binary(value):
    """Bytes in base64, as TensorFlow Serving takes them."""
    return base64.b64decode(value["b64"]) if value.keys() == {"b64"} else value


class Server:
    """Answers JSON by feeding a session, as TensorFlow Serving does.

    The real server was not installed: this is its REST format (row and columnar) and
    its way to run a signature, defaults and missing shapes included, written anew.
    """

    def __init__(self, path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path))
        self.table = loaded.signature_def

    def post(self, text):
        request = json.loads(text, object_hook=_binary)
        rows = request.get("instances")
        name = request.get("signature_name", "serving_default")
        if rows is not None:
            keys = rows[0].keys()
            assert all(row.keys() == keys for row in rows)
            request["inputs"] = {key: [row[key] for row in rows] for key in keys}
        outputs = self.run(name, request["inputs"])
        if rows is None:
            return json.dumps({"outputs": {k: v.tolist() for k, v in outputs.items()}})
        assert all(len(value) == len(rows) for value in outputs.values())
        answers = [
            {key: value[i].tolist() for key, value in outputs.items()}
            for i in range(len(rows))
        ]
        return json.dumps({"predictions": answers})

    def run(self, name, inputs):
        signature = self.table[name]
        feeds = {}
        for key, value in inputs.items():
            info = signature.inputs[key]
            feeds[info.name] = np.asarray(value, tf.as_dtype(info.dtype).as_numpy_dtype)
        fetches = {key: info.name for key, info in signature.outputs.items()}
        return self.session.run(fetches, feeds)


@pytest.fixture(scope="module")
def server(export_dir):
    return Server(export_dir)


def test_image_files_come_in_base64(server, served):
    pixels = np.full((8, 8, 1), 60, np.uint8)  # level 3 of 17
    file = base64.b64encode(tf.io.encode_png(pixels).numpy()).decode()
    text = json.dumps(
        {
            "signature_name": "encode_bytes",
            "instances": [{"image": {"b64": file}, "tol": 1e-3}] * 2,
        }
    )
    expected = served.encode_uint8(LEVELS, 1e-3)["code_unitless"]
    for row, code in zip(
        json.loads(server.post(text))["predictions"], expected, strict=True
    ):
        np.testing.assert_allclose(row["code_unitless"], code, atol=1e-5)


def test_too_many_files_are_not_opened(served):
    files = tf.fill([1001], b"no image")
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 1000"):
        served.encode_bytes(files)


@pytest.mark.parametrize("name", GOOD)
def test_columns_get_what_python_gets(name, server, served):
    expected = getattr(served, name)(**GOOD[name])
    columns = {key: value.tolist() for key, value in GOOD[name].items()}
    text = json.dumps({"signature_name": name, "inputs": columns})
    outputs = json.loads(server.post(text))["outputs"]
    assert set(outputs) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, atol=1e-4)


@pytest.mark.parametrize("name", GOOD)
def test_rows_get_what_python_gets(name, server, served):
    # what is said once in columns, each row says
    each = {key: np.resize(value, 2) for key, value in GOOD[name].items()}
    each |= {key: value for key, value in GOOD[name].items() if value.ndim}
    each |= {"tol": np.float32([1e-5, 1e-5])}
    if name == "sample":
        each["seed"] = np.int32([0, 5])
    expected = getattr(served, name)(**each)
    rows = [{key: value[i].tolist() for key, value in each.items()} for i in range(2)]
    text = json.dumps({"signature_name": name, "instances": rows})
    predictions = json.loads(server.post(text))["predictions"]
    assert set(predictions[0]) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose([p[key] for p in predictions], value, atol=1e-4)


def test_the_signatures_are_these_and_nothing_is_bound_to_a_batch(server):
    assert len(GOOD) == 9 + 7
    of_files = {f"{name}_bytes" for name in OF_IMAGES}
    assert set(server.table) - {"__saved_model_init_op"} == set(GOOD) | of_files
    for name, signature in server.table.items():
        if name in GOOD:
            options = {"steps", "tol", *_may(name)}
            assert set(signature.inputs) == set(GOOD[name]) | options
            assert options <= set(signature.defaults)


def _may(name):
    return {"num_images"} if name.startswith("interpolate") else set()


def changes(name):
    """Bad requests of a function: what is changed, and the words of the answer."""
    tol = "tol must be positive and finite"
    yield {"tol": np.float32(0)}, tol
    yield {"tol": np.float32("nan")}, tol
    yield {"tol": np.float32([])}, "tol must be one number"
    yield {"tol": np.float32(9e-7)}, "tol must be at least 1e-06, min_tol"
    yield {"steps": np.array(b"own")}, "steps must be one of those of this export, sha"
    yield {"steps": np.array([b"each", b"shared"])}, "steps must be one of"
    many = {
        key: np.resize(value, (1001, *value.shape[1:]))
        for key, value in GOOD[name].items()
        if value.ndim
    }
    yield many, r"the batch must be at most 1000, max_batch of this export.*1001"
    for key, value in GOOD[name].items():
        if key.startswith("image"):
            shape = rf"{key} must have shape \[batch, 8, 8, 1\]"
            yield {key: value[0]}, shape
            yield {key: value[:, :7]}, shape
            yield {key: value.reshape(2, 64)}, shape
            bad = value.copy()
            if value.dtype == np.float32:
                for number in (np.nan, np.inf):
                    bad[1, 2, 3] = number
                    yield {key: bad.copy()}, f"{key} must be finite numbers"
            else:
                bad[1, 2, 3] = 17
                yield {key: bad}, rf"{key} must be grey levels 0\.\.16"
    if "label" in GOOD[name]:
        yield {"label": np.int32([1, 10])}, r"label must be in 0\.\.9"
        yield {"label": np.int32([-1, 1])}, r"label must be in 0\.\.9"
        yield {"label": np.int32(1)}, r"label must have shape \[batch, 1\]"
        if name != "sample":
            yield {"label": np.int32([])}, "label must be one for each image"
            yield {"label": np.int32([1, 2, 3])}, "label must be one for each image"
    if name == "sample":
        yield {"temperature": np.float32(-1)}, "temperature must be at least 0"
        yield {"temperature": np.float32("inf")}, "temperature must be at least 0"
        yield {"temperature": np.float32([1, 1, 1])}, "temperature must be one number"
        yield {"seed": np.int32([1, 2, 3])}, "seed must be one number"
        yield {"seed": np.int32([[1]])}, "seed must be one number"
    if name == "decode":
        yield {"code": CODE[:, :63]}, r"code must have shape \[batch, 64\]"
        yield {"code": CODE + np.float32("nan")}, "code must be finite"
    if name.startswith("interpolate"):
        for num in (1, 101, [3, 4]):
            words = "num_images must be one number from 2 to 100"
            yield {"num_images": np.int32(num)}, words
        pairs = {key: np.resize(many[key], (11, 8, 8, 1)) for key in many}
        yield (
            pairs | {"num_images": np.int32(100)},
            r"the batch must be at most 1000.*1100",
        )
        other = GOOD[name]["image_a"][[0, 1, 1]]
        yield {"image_b": other}, "image_b must be as many as image_a"


@pytest.mark.parametrize("name", GOOD)
def test_a_bad_request_is_explained_and_the_next_good_one_answered(name, server):
    before = server.run(name, GOOD[name])
    for change, words in changes(name):
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            server.run(name, GOOD[name] | change)
    after = server.run(name, GOOD[name])
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


@pytest.mark.parametrize("name", GOOD)
def test_a_wrong_dtype_is_an_invalid_argument(name, served):
    signature = served.signatures[name]
    given = GOOD[name] | {"tol": np.float32(1e-5)}
    tensors = {key: tf.constant(value) for key, value in given.items()}
    tensors["steps"] = tf.constant("each")
    for key, value in tensors.items():
        if value.dtype == tf.string:
            other = tf.constant(1)
        else:
            other = tf.cast(value, tf.float32 if value.dtype.is_integer else tf.int64)
        with pytest.raises(tf.errors.InvalidArgumentError, match="was expected to be"):
            signature(**(tensors | {key: other}))
    assert signature(**tensors)


def test_a_thousand_requests_make_no_new_graphs(served):
    _ask_many(served, 30)
    functions = _functions()
    _ask_many(served, 100)
    assert _functions() == functions


@pytest.mark.slow
def test_a_thousand_requests_leave_memory_as_it_was(export_dir):
    served = tf.saved_model.load(str(export_dir))
    _ask_many(served, 300, largest=64)
    before = _resident_mib()
    _ask_many(served, 1000, largest=64)
    growth = _resident_mib() - before
    print(f"{before:.0f} MiB and {growth:+.1f} after 1,000 requests")
    assert growth < 20


def _ask_many(served, number, largest=16):
    rng = np.random.default_rng(0)
    names = ["log_prob", "classify", "sample", "marginal_log_prob_uint8"]
    for i in range(number):
        size = rng.integers(1, largest + 1)
        name = names[i % len(names)]
        inputs = {k: np.resize(v, (size, *v.shape[1:])) for k, v in GOOD[name].items()}
        if name == "sample":
            inputs = {"label": np.resize(LABEL, size), "seed": np.int32(i)}
        getattr(served, name)(**inputs)


def _functions():
    from tensorflow.python.eager import context

    return set(context.context().list_function_names())


def _resident_mib():
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_answered_with_nothing(name, server):
    empty = {k: v[:0] if v.ndim else v for k, v in GOOD[name].items()}
    for value in server.run(name, empty).values():
        assert value.shape[0] == 0


def test_an_image_outside_the_support_spoils_no_other(server):
    image = IMAGE.copy()
    image[1, 2, 3] = -0.06  # 0.05 / 0.9 is the margin
    for name in ("log_prob", "classify", "encode", "reconstruct", "ood_score"):
        good = server.run(name, GOOD[name])
        found = server.run(name, GOOD[name] | {"image": image})
        for key, value in found.items():
            np.testing.assert_allclose(value[0], good[key][0], atol=2e-3)
            if key.endswith("class"):
                assert value[1] == -1
            elif not key.startswith("standard_error"):
                assert not np.isfinite(value[1]).any(), key
        if name == "log_prob":
            assert found["log_prob_nats"][1] == -np.inf


def test_drawn_images_are_taken_back(server):
    label = np.arange(10, dtype=np.int32)
    image = server.run("sample", {"label": label})["image_black_0_white_1"]
    assert ((image < 0) | (image > 1)).any()
    nats = server.run("log_prob", {"image": image, "label": label})["log_prob_nats"]
    assert np.isfinite(nats).all()
