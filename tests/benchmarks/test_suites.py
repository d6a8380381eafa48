"""The benchmarks' networks agree with each other, and their files become reports."""

import json
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import gpu, machine, memory, modules, serve, start, step, suites, train
from benchmarks import report as drawn
from benchmarks.network import Size, layers_of, make_arrays, plan, weight_names
from benchmarks.tfcnf_contender import TfcnfContender
from benchmarks.trained import load_arrays
from tfcnf.flows.cnf import CNFLayer
from tfcnf.flows.multiscale import build_multiscale
from tfcnf.ode.dynamics import ConvDynamics
from tfcnf.runs.run import Run
from tfcnf.tolerances.fixed import FixedTolerance
from tfcnf.types import Control

SMALL = Size(2, 8, 8, 1, True)


@pytest.fixture(scope="module")
def arrays(monkeypatch_module):
    return make_arrays(SMALL, 0)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.network.HIDDEN", (4,))
        yield patch


def test_the_plan_is_the_multiscale_flow(arrays):
    contender = TfcnfContender(SMALL, arrays, tol=1e-9, dtype="float64")
    layers = []

    def make_flow():
        layers.append(
            CNFLayer(
                ConvDynamics((4,), dtype="float64"),
                FixedTolerance(1e-9, dtype="float64"),
                dtype="float64",
            )
        )
        return layers[-1]

    flow = build_multiscale((8, 8, 1), make_flow)
    flow.build((None, 8, 8, 1))
    for k, layer in enumerate(layers):
        layer.dynamics.set_weights([arrays[name] for name in weight_names(arrays, k)])
    assert [layer.dynamics.state_shape[1:] for layer in layers] == plan(SMALL)[1]
    z, log_det, nfe = contender.forward()
    np.testing.assert_allclose(z, flow(arrays["input"]).z, rtol=1e-7)
    assert log_det.shape == (2,)
    assert nfe > 0


@pytest.fixture(params=["torch", "diffrax"])
def family(request):
    if request.param == "torch":
        pytest.importorskip("torchdiffeq")
        yield request.param
        return
    pytest.importorskip("diffrax")
    import jax

    # the solver suite computes in float64 in the same process
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    yield request.param
    jax.config.update("jax_enable_x64", before)


def test_peers_solve_the_same_problem(arrays, family):
    from benchmarks.worker import make

    size = SMALL._replace(is_multiscale=False)
    ours = make("tfcnf:adjoint", size, arrays, 1e-6)
    peer = make(family, size, arrays, 1e-6)
    for found, expected in zip(peer.forward()[:2], ours.forward()[:2], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for found, expected in zip(peer.step()[0], ours.step()[0], strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_contender_that_disagrees_is_not_timed(tmp_path):
    class Wrong:
        name = "wrong"

        def ask(self, command, patience=None):
            path = command.partition(" ")[2]
            np.savez(path, z=np.ones(3), log_det=np.ones(2), gradient=np.ones(4))
            return {"seconds": 0.0, "nfe_forward": 1, "nfe_backward": 1}

    truth = {"z": np.ones(3), "log_det": np.ones(2), "gradient": np.ones(4)}
    path = tmp_path / "outputs.npz"
    assert "skipped" not in step._compare(Wrong(), truth, 1e-5, path)
    for name in truth:
        other = truth | {name: truth[name] + 0.1}
        assert "disagrees" in step._compare(Wrong(), other, 1e-5, path)["skipped"]


def test_a_contender_that_cannot_start_says_why(tmp_path):
    path = tmp_path / "absent.npz"
    command = step._worker("tfcnf:adjoint", path, SMALL, 1e-5)
    process = step.Process("tfcnf:adjoint", command)
    with pytest.raises(RuntimeError, match=r"No such file.*absent"):
        process.ask("forward")


RESULTS = {
    "step": {
        "sizes": [
            {
                "name": "tiny",
                "overhead": {
                    "solve": 0.5,
                    "evaluation": 0.05,
                    "convolutions": 0.04,
                    "nfe": 8,
                },
                "rows": [
                    {
                        "contender": name,
                        "nfe_forward": 8,
                        "nfe_backward": 7,
                        "errors": {"z": 1e-6},
                        "forward": [1.0, 2.0, 9.0],
                        "step": [2.0, factor, 50.0],
                        "step_cpu": [1.0, factor / 2, 9.0],
                    }
                    for name, factor in [("tfcnf:adjoint", 3.0), ("torch", 6.0)]
                ],
            }
        ]
    },
    "start": {
        "case": {
            "import": 1.0,
            "build": 2.0,
            "trace": 5.0,
            "first_step": 9.0,
            "second_step": 9.5,
            "import_cpu": 1.5,
            "build_cpu": 2.5,
            "trace_cpu": 5.5,
            "first_step_cpu": 10.5,
            "second_step_cpu": 11.5,
            "graph": {"nodes": 30, "functions": 2, "rooms": {"ode": 20, "other": 5}},
            "peak_gib": 1.0,
        }
    },
    "memory": {"adjoint": [{"steps": 3, "peak_gib": 1.0}]},
    "serve": {
        "cases": [
            {
                "question": "classify",
                "batch": 64,
                "difference": 1e-6,
                "seconds": {
                    serve.SAVED: [3.0, 2.0, 9.0],
                    serve.GRAPH: [3.0],
                    serve.EAGER: [4.0, 4.0, 1.0],
                },
                "floor": {"nfe": [8, 14], "evaluation": [0.01, 0.1]},
            }
        ]
    },
    "gpu": {
        "rows": [
            {
                "size": "8x8x1",
                "contender": name,
                "batch": 4,
                "devices": devices,
                "first": [9.0, 9.0],
                "steps": [[2.0, cpu], [9.0, 9.0], [1.0, 0.1]],
                "nfe_forward": 8.0,
                "nfe_backward": 7.0,
                "device": "CPU:0",
                "peak_gib": None,
            }
            for name, devices, cpu in [
                ("float32", 1, 1.0),
                ("float32, 2 devices", 2, 1.0),
            ]
        ]
    },
    "train": {
        "budget": 9.0,
        "targets": train.TARGETS,
        "units": train.UNITS,
        "fits": [
            {
                "size": "digits",
                "contender": "torch",
                "start": {"cpu": 1.0, "wall": 2.0},
                "curve": [
                    {
                        "bits_per_dim": 2.2,
                        "test_error": 4.0,
                        "cpu": 3.0,
                        "wall": 3.0,
                        "nfe_forward": 8.0,
                        "nfe_backward": 7.0,
                    }
                ],
            }
        ],
    },
    "tables": {
        "fits": [
            {
                "table": "diabetes",
                "contender": "tfcnf",
                "seed": 0,
                "rate": 1e-3,
                "test_nll": 5.5,
                "seconds": 3.0,
                "coverage": {
                    f"{level} %/{name}": value
                    for level in (50, 80, 95)
                    for name, value in [("low", 0.0), ("coverage", 0.7), ("high", 1.0)]
                },
            }
        ]
    },
}


def test_ratios_are_of_medians():
    ours, peer = step.summarise(RESULTS["step"])
    assert (ours["ratio"], peer["ratio"]) == (0.5, 1.0)
    assert (ours["cpu_ratio"], peer["step_cpu_s"]) == (0.5, 3.0)
    assert ours["overhead"] == pytest.approx(1.25)
    assert ours["conv_share"] == pytest.approx(0.8)


def test_overhead_is_of_medians_and_the_floor_of_all_layers():
    (row,) = serve.summarise(RESULTS["serve"])
    assert row["overhead"] == pytest.approx(3.0 / 4.0)
    assert row["saved model (images/s)"] == pytest.approx(64 / 3.0)
    assert row["floor (images/s)"] == pytest.approx(64 / 1.48)
    assert row["over_floor"] == pytest.approx(3.0 / 1.48)


@pytest.mark.slow
def test_the_serve_suite_measures_a_run(finished_run, data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    monkeypatch.setattr(serve, "BATCHES", (2,))
    lines = []
    results = serve.run(str(finished_run), lines.append, rounds=1)
    classify, log_prob = results["cases"]
    for case in (classify, log_prob):
        assert all(len(times) == 1 for times in case["seconds"].values())
        assert case["floor"]["nfe"][0] >= 8
        assert case["difference"] < 1e-4
    assert len(lines) == 2
    with pytest.raises(ValueError, match="Received: checkpoint=None"):
        serve.run(None, lines.append)


def test_steps_of_several_devices_are_compared_by_the_image():
    one, two = gpu.summarise(RESULTS["gpu"])
    assert (one["step_s"], one["step_cpu_s"], one["ratio"]) == (2.0, 1.0, 1.0)
    assert (two["images"], two["images_per_s"]) == (8, 4.0)
    assert (two["ratio"], two["cpu_ratio"]) == (0.5, 0.5)


def test_a_case_of_the_gpu_suite_that_fails_says_why(monkeypatch):
    def fails(module, asked):
        if json.loads(asked)["compiled"]:
            raise subprocess.CalledProcessError(1, module, stderr="x\nno XLA here\n")
        return {"steps": [[2.0, 1.0]]}

    monkeypatch.setattr(gpu, "answer", fails)
    names = ["float32", "float32, XLA", "float32, 2 devices"]
    results = gpu.run(lambda line: None, sizes=["8x8x1"], contenders=names, batch=2)
    found = {row["contender"]: row.get("skipped") for row in results["rows"]}
    assert found == dict.fromkeys(names) | {"float32, XLA": "no XLA here"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [{"devices": 2}, {"compiled": True}, {"dtype": "mixed_float16"}], ids=str
)
def test_a_step_is_timed_on_logical_cpus(case):
    one = {"dtype": "float32", "compiled": False, "devices": 1, "steps": 2}
    options = gpu.SIZES["8x8x1"]["options"] | {"num_scales": 1, "filters": 2}
    size = {"event_shape": [8, 8, 1], "batch": 2, "options": options}
    found = modules.answer("gpu_step", json.dumps(size | one | case))
    assert len(found["steps"]) == 2
    assert found["first"][0] > found["steps"][0][0]
    assert np.isfinite(found["loss"])
    assert (found["nfe_forward"], found["peak_gib"]) == (8.0, None)


def test_stages_are_differences():
    (row,) = start.summarise(RESULTS["start"])
    assert (row["trace_s"], row["first_step_s"], row["to_first_step_s"]) == (3, 4, 9)
    assert (row["import_cpu_s"], row["first_step_cpu_s"]) == (1.5, 5)
    assert (row["nodes"], row["functions"], row["nodes_ode"]) == (30, 2, 20)


@pytest.mark.parametrize("suite", RESULTS)
def test_a_suites_file_becomes_a_report(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(f"benchmarks.{suite}.run", lambda *_, **__: RESULTS[suite])
    path = tmp_path / "figures.json"
    suites.run(suite, str(path))
    record = json.loads(path.read_text())
    assert record["machine"]["packages"]["tensorflow"] == tf.__version__
    report = drawn.write(str(path))
    assert machine.describe()["processor"] in report.read_text()
    assert (tmp_path / "figures.png").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"exists; choose another. Received: out="):
        suites.run(suite, str(path))


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"from 0 to 5. Received: sizes=\['9'\]"):
        suites.run("step", str(tmp_path / "x.json"), sizes=["9"])
    with pytest.raises(ValueError, match=r"one of .* Received: contenders='jax"):
        suites.run("step", str(tmp_path / "x.json"), contenders=["jax"])
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"other\.json is damaged \('suite' is mis"):
        drawn.write(str(path))


def test_memory_rows_keep_their_gradient():
    (row,) = memory.summarise(RESULTS["memory"])
    assert row == {"gradient": "adjoint", "steps": 3, "peak_gib": 1.0}


def test_a_runs_trained_network_is_a_size_of_the_step_suite(
    finished_run, data_dir, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    size, arrays = load_arrays(str(finished_run), 0)
    assert size == (360, 8, 8, 1, True, 1, 1)
    contender = TfcnfContender(size, arrays, tol=1e-5)
    (layer,) = layers_of(Run(str(finished_run)).model)
    found = contender.forward()[0]
    z = layer(arrays["input"].astype(np.float32), control=Control(tol=1e-5)).z
    np.testing.assert_allclose(found, np.reshape(z, [360, -1]), atol=1e-3)
    assert np.abs(found - arrays["input"].reshape(360, -1)).max() > 0.1
