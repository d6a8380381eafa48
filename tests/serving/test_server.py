"""An export behind HTTP; the server's package is the extra "serve"."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import hostile

PORT = 18_090
SCRIPT = Path(__file__).parents[2] / "launch" / "serve.py"
IMAGE = np.linspace(0.1, 0.9, 128, dtype=np.float32).reshape(2, 8, 8, 1)
LABEL = np.int32([1, 2])
there = importlib.util.find_spec("mlserver") is not None
needs_server = pytest.mark.skipif(not there, reason="mlserver is not installed")


@pytest.fixture(scope="module")
def ask(export_dir):
    with hostile.server(str(export_dir), PORT):
        yield lambda name, **given: hostile.ask(PORT, hostile.request(name, **given))


@needs_server
def test_an_answer_over_http_is_that_of_the_saved_model(ask, served):
    answer = ask("log_prob", image=IMAGE, label=LABEL)
    assert answer["status"] == 200
    outputs = {x["name"]: x["data"] for x in answer["outputs"]}
    for name, value in served.log_prob(IMAGE, LABEL).items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-6)


@needs_server
@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("nothing", {}, "signature_name must be one of classify"),
        ("classify", {"image": IMAGE[..., 0]}, r"image must have shape"),
        ("classify", {"other": LABEL}, "inputs of classify must be among"),
        ("classify", {"tol": np.float32(1e-9)}, "tol must be at least 1e-06"),
        ("log_prob", {}, "inputs of log_prob are"),
        ("log_prob", {"label": np.int64([1, 2**40])}, "label must be in the range of"),
        ("log_prob", {"label": np.float32([1, 2])}, "label must be of type int32"),
    ],
)
def test_what_is_refused_is_told_in_one_line(ask, name, change, words):
    answer = ask(name, **({"image": IMAGE} | change))
    assert answer["status"] == 400
    assert answer["text"].startswith(words)
    assert "\n" not in answer["text"]


@needs_server
def test_a_refused_request_holds_no_other_up(ask):
    for _ in range(10):
        assert ask("log_prob", image=IMAGE)["status"] == 400
        assert ask("log_prob", image=IMAGE, label=LABEL)["status"] == 200


@pytest.mark.skipif(there, reason="mlserver is installed")
def test_without_its_package_the_extra_is_named():
    command = [sys.executable, SCRIPT, "--export_dir=nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert 'pip install "tfcnf[serve]"' in done.stderr.splitlines()[-1]
