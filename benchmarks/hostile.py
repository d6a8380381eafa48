"""The hostile suite: a model server under requests that are meant to hold it.

Needs the extra "serve". One server answers all requests in turn.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfcnf.models.passes import STEPS
from tfcnf.runs.run import Run
from tfcnf.serving.bounds import Bounds
from tfcnf.serving.export import make_module
from tfcnf.serving.worst import dearest

ROOT = Path(__file__).parents[1]
PORT = 18_080
PATIENCE = 300  # seconds
COUNT = 1000
BOUNDS = Bounds()
Request = dict[str, Any]


def run(workdir: str | None, log: Callable[[str], None]) -> dict[str, Any]:
    """Times and answers of `COUNT` hostile requests and of the worst allowed ones.

    Args:
        workdir: run folder of a model of images with one label of classes.
        log: takes a line of progress.

    Raises:
        ValueError: without a run folder.
    """
    if workdir is None:
        raise ValueError(
            "the hostile suite needs the run folder of a model. "
            "Received: checkpoint=None"
        )
    trained = Run(workdir)
    shape, classes = trained.model.event_shape, trained.model.labels[0].num_classes
    with tempfile.TemporaryDirectory() as folder:
        saved = trained.export(str(Path(folder, "saved")), bounds=BOUNDS)
        with server(str(saved), PORT) as process:
            worst = []
            for asked in dear_requests(trained):
                worst.append(_time(asked, process.pid))
                name = asked["parameters"]["signature_name"]
                status, seconds = worst[-1]["status"], worst[-1]["cpu_seconds"]
                log(f"dearest {name}: {status}, {seconds:.2f} CPU s")
            memory = [_memory(process.pid)]
            answers = []
            for number, asked in enumerate(requests(shape, classes, COUNT)):
                answers.append(_time(asked, process.pid))
                if (number + 1) % 100 == 0:
                    memory.append(_memory(process.pid))
                    slowest = max(answer["cpu_seconds"] for answer in answers)
                    log(
                        f"{number + 1} requests, slowest {slowest:.2f} CPU s, "
                        f"{memory[-1]:.2f} GiB"
                    )
    return {"worst_allowed": worst, "answers": answers, "memory_gib": memory}


def summarise(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row: requests by answer, times, and memory before and after."""
    answers = results["answers"]
    seconds = [answer["cpu_seconds"] for answer in answers]
    worst = results["worst_allowed"]
    refused = [answer["text"] for answer in answers if answer["status"] != 200]
    return [
        {
            "requests": len(answers),
            "answered": len(answers) - len(refused),
            "refused": len(refused),
            "refused_in_one_line": sum("\n" not in text for text in refused),
            "server_errors": sum(answer["status"] >= 500 for answer in answers),
            "median_cpu_s": statistics.median(seconds),
            "slowest_cpu_s": max(seconds),
            "slowest_wall_s": max(answer["seconds"] for answer in answers),
            "dearest_cpu_s": max(answer["cpu_seconds"] for answer in worst),
            "memory_before_gib": results["memory_gib"][0],
            "memory_after_gib": results["memory_gib"][-1],
        }
    ]


@contextlib.contextmanager
def server(export_dir: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the export in a process of its own, ready for requests.

    Raises:
        RuntimeError: where it does not start within two minutes.
    """
    script = ROOT / "launch" / "serve.py"
    command = [sys.executable, str(script), f"--export_dir={export_dir}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, f"--port={port}"], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        try:
            _wait(process, port)
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def ask(port: int, asked: Request) -> dict[str, Any]:
    """Status, outputs or the text of the refusal, and seconds.

    Raises:
        TimeoutError: where no answer comes for `PATIENCE` seconds.
    """
    url = f"http://127.0.0.1:{port}/v2/models/flow/infer"
    body = asked.get("raw") or json.dumps(asked).encode()
    header = {"Content-Type": "application/json"}
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, body, header), timeout=PATIENCE
        ) as response:
            status, text = response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read().decode()
    seconds = time.perf_counter() - start
    if status == 200:
        outputs = json.loads(text)["outputs"]
        return {"status": status, "seconds": seconds, "outputs": outputs}
    # a failure of the server itself is told in its own words
    with contextlib.suppress(json.JSONDecodeError):
        text = json.loads(text).get("error", text)
    return {"status": status, "seconds": seconds, "text": text}


def _time(asked: Request, pid: int) -> dict[str, Any]:
    """Status, text of a refusal, and seconds: by the clock and of the server's CPU."""
    before = _cpu_seconds(pid)
    answer = ask(PORT, asked)
    answer.pop("outputs", None)
    return answer | {"cpu_seconds": _cpu_seconds(pid) - before}


def dear_requests(trained: Run) -> Iterator[Request]:
    """The dearest requests within the bounds, of several sizes.

    A larger one fails at fewer steps; the first makes kernels.
    """
    answers = make_module(trained.model, None, tol=1e-5, bounds=BOUNDS).answers
    for part in (64, 1, 2, 4, 5, 6, 8):
        count = BOUNDS.max_batch // part
        for name, given in dearest(answers, trained.source.train, count):
            yield request(name, **given | {"steps": given["steps"][None]})


def requests(shape: Any, classes: int, count: int) -> Iterator[Request]:
    """Requests of random functions with one or two inputs made hostile."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        batch = int(rng.choice([1, 1, 2, 2, 7, 7, 100, 100, 1000, 1001, 3000]))
        name = str(rng.choice(["log_prob", "classify", "encode", "decode", "sample"]))
        given: dict[str, Any] = {"tol": np.float32(rng.choice([1e-5, 1e-3, 1.0]))}
        if name in ("log_prob", "classify", "encode"):
            given["image"] = rng.choice([0.0, 1.0], (batch, *shape)).astype(np.float32)
        if name in ("log_prob", "sample"):
            given["label"] = rng.integers(classes, size=batch).astype(np.int32)
        if name == "sample":
            given["temperature"] = np.float32(rng.choice([1.0, 50.0]))
            given["seed"] = np.int32(rng.integers(2**31))
        if name == "decode":
            dims = int(np.prod(shape))
            scale = rng.choice([1.0, 1e3, 1e30])
            given["code"] = (scale * rng.normal(size=(batch, dims))).astype(np.float32)
        if rng.random() < 0.5:
            given["steps"] = [str(rng.choice([*STEPS, "own"], p=[0.4, 0.5, 0.1]))]
        made = request(name, **_spoil(rng, given))
        if rng.random() < 0.05:
            made["parameters"]["signature_name"] = str(rng.choice(["", "__init__"]))
        if rng.random() < 0.05:
            made = {"raw": json.dumps(made).encode()[: rng.integers(1, 200)]}
        yield made


def _spoil(rng: np.random.Generator, given: dict[str, Any]) -> dict[str, Any]:
    """One input changed in value, shape or type, left out, or a further one."""
    name = str(rng.choice(list(given)))
    value = np.asarray(given[name])
    change = rng.integers(8)
    if change == 0:
        return {key: given[key] for key in given if key != name}
    if change == 1:
        return given | {"other": value}
    if change == 2:
        return given | {name: value[..., None]}
    if change == 3:
        return given | {name: value.reshape(-1)[:0]}
    if change == 4:
        extreme = rng.choice([np.nan, np.inf, -1e38, 1e38])
        return given | {name: np.full(value.shape, extreme, np.float32)}
    if change == 5:
        return given | {name: np.full(value.shape, "no number")}
    if change == 6:
        return given | {"tol": np.float32(rng.choice([0, -1, 1e-30, 1e-6, 1e30]))}
    return given


def request(name: str, **given: Any) -> Request:
    """A request of a function of the export, as JSON takes it."""
    inputs = [
        {
            "name": key,
            "shape": list(np.shape(value)),
            "datatype": _datatype(np.asarray(value)),
            "data": np.asarray(value).ravel().tolist(),
        }
        for key, value in given.items()
    ]
    return {"parameters": {"signature_name": name}, "inputs": inputs}


def _datatype(value: np.ndarray[Any, Any]) -> str:
    if value.dtype.kind == "U":
        return "BYTES"
    return {"f": "FP", "i": "INT", "u": "UINT"}[value.dtype.kind] + str(
        8 * value.dtype.itemsize
    )


def _memory(pid: int) -> float:
    """Resident memory of a process, GiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def _cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    text = Path(f"/proc/{pid}/stat").read_text()
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            ready = f"http://127.0.0.1:{port}/v2/models/flow/ready"
            with urllib.request.urlopen(ready):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start. Received: port={port}")
