"""The order, the skipping and the refusals of a sweep; nothing is trained."""

import copy
import json
import os
import pickle
import runpy
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from tfcnf.models.failures import RunsFailed
from tfcnf.models.finite import DivergenceError
from tfcnf.ode.status import SolverError
from tfcnf.run_state import note_training, read_state
from tfcnf.runs import sweep
from tfcnf.runs.config import check_config
from tfcnf.tolerances.policy import TolerancePolicy
from tfcnf.training.preemption import Preempted

ROOT = Path(__file__).parents[1]
BAD = {  # tolerance of an arm -> how its training fails
    0.5: SolverError("cnf_0: the step limit was reached"),
    0.25: DivergenceError("the loss is not finite"),
    0.125: ValueError("images must be square. Received: x"),
    0.0625: BrokenProcessPool(),
}


@pytest.fixture
def arms(make_config):
    other = make_config()
    other["model"]["tol"] = 1e-3
    return {"small": {"a": make_config(), "b": other}}


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that were trained, in order."""
    names = []

    def train(config, folder, data_dir):
        path = Path(folder)
        names.append("/".join(path.parts[-3:]))
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.json").write_text(json.dumps(config))
        if config["model"]["tol"] in BAD:
            raise BAD[config["model"]["tol"]]
        (path / "checkpoints").mkdir(exist_ok=True)
        (path / "checkpoints" / "ckpt-1.index").touch()
        for name, value in [("metadata", {}), ("eval", {})]:
            (path / f"{name}.json").write_text(json.dumps(value))

    monkeypatch.setattr(sweep, "_train", train)
    return names


def test_every_arm_is_trained_with_the_first_seed_first(arms, trained, tmp_path):
    sweep.run(arms, (3, 5), out=str(tmp_path))
    assert trained == [
        *("small/a/seed_3", "small/b/seed_3", "small/a/seed_5", "small/b/seed_5")
    ]
    config = json.loads((tmp_path / "small/b/seed_5/config.json").read_text())
    assert (config["seed"], config["model"]["tol"]) == (5, 1e-3)


def test_the_same_command_trains_what_is_missing(arms, trained, tmp_path, capsys):
    sweep.run(arms, (0,), out=str(tmp_path))
    (tmp_path / "small/b/seed_0/eval.json").unlink()
    (tmp_path / "small/b/seed_0/checkpoints/ckpt-1.index").unlink()
    (tmp_path / "small/b/seed_0/checkpoints").rmdir()
    sweep.run(arms, (0,), out=str(tmp_path))
    assert trained == ["small/a/seed_0", "small/b/seed_0", "small/b/seed_0"]
    out = capsys.readouterr().out
    assert "a/seed_0 (1 of 2): finished before" in out
    assert "b/seed_0 (2 of 2): about 0:00 h left" in out


def test_another_configuration_is_refused_before_anything(arms, trained, tmp_path):
    sweep.run(arms, (0,), out=str(tmp_path))
    changed = copy.deepcopy(arms)
    changed["small"]["b"]["model"]["filters"] = 7
    with pytest.raises(ValueError, match=r"filters=2.* Received: config.model"):
        sweep.run(changed, (0, 1), out=str(tmp_path))
    assert len(trained) == 2


@pytest.mark.parametrize("tol", BAD)
def test_a_bad_arm_does_not_stop_the_others(tol, arms, trained, tmp_path, capsys):
    arms["small"]["a"]["model"]["tol"] = tol
    with pytest.raises(RunsFailed, match=r"^1 of 2 runs failed: .*a/seed_0$"):
        sweep.run(arms, (0,), out=str(tmp_path))
    assert trained == ["small/a/seed_0", "small/b/seed_0"]
    reason = str(BAD[tol]) or "its process was killed"
    rows = capsys.readouterr().out.splitlines()[-2:]
    folder = tmp_path / "small" / "a" / "seed_0"
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells[0] == [str(folder), f"failed: {reason}"]
    assert cells[1][1] == "finished"
    assert read_state(folder)[:2] == ("failed", reason)


def test_a_run_that_was_evaluated_but_not_trained_to_its_end_is_resumed(
    arms, trained, tmp_path
):
    folder = tmp_path / "small" / "a" / "seed_0"
    folder.mkdir(parents=True)
    note_training(folder)
    for name in ("config", "eval"):
        (folder / f"{name}.json").write_text("{}")
    sweep.run(arms, (0,), out=str(tmp_path))
    assert trained == ["small/a/seed_0", "small/b/seed_0"]


def test_a_finished_run_of_fewer_epochs_is_trained_on(arms, trained, tmp_path):
    sweep.run(arms, (0,), out=str(tmp_path))
    arms["small"]["b"]["training"]["epochs"] = 7
    for _ in range(2):
        sweep.run(arms, (0,), out=str(tmp_path))
    assert trained == ["small/a/seed_0", "small/b/seed_0", "small/b/seed_0"]


def test_names_of_arms_stay_below_the_folder(arms, trained, tmp_path):
    out = tmp_path / "out"
    sweep.run({"../..": {"/x/../y": arms["small"]["a"]}}, (0,), out=str(out))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(list(out.glob("*/*/seed_0/eval.json"))) == 1


def test_a_stopped_training_is_told_from_a_killed_one():
    told = pickle.loads(pickle.dumps(Preempted()))
    assert isinstance(told, Preempted)
    assert told.code == 143


@pytest.mark.parametrize("variant", ["", "regime=small", "regime=large,smoke"])
def test_the_table_of_the_digits_is_accepted(variant):
    sweep_config = read_sweep("digits", variant)
    for name, config in accepted_arms(sweep_config):
        if "1e-" in name:
            assert config["model"]["tol"] == float(name.split("_")[-1])
    if variant != "regime=large,smoke":
        assert len(sweep_config["arms"]["batch_128"]) == 13
    if variant != "regime=small":
        arms = sweep_config["arms"]["batch_718"]
        assert len(arms) == 9
        check_special_arms(arms)


def read_sweep(name, variant):
    table = runpy.run_path(str(ROOT / "configs" / "sweeps" / f"{name}.py"))
    return table["get_config"](variant).to_dict()


def accepted_arms(sweep_config):
    """(name, configuration) of arms that are what regime and name say."""
    for regime, arms in sweep_config["arms"].items():
        for name, config in arms.items():
            check_config(config)
            assert regime == f"batch_{config['training']['batch_size']}"
            model, _, policy = name.partition("_")
            assert config["model_name"] == model
            found = [p for p in TolerancePolicy.known if policy.startswith(p)]
            assert config["model"]["policy"] == (found[0] if found else "fixed")
            yield name, config


def check_special_arms(arms):
    """Plain arms have a smaller learning rate, 2x arms twice the flows."""
    rates = {name: arm["optimizer"]["learning_rate"] for name, arm in arms.items()}
    flows = {name: arm["model"]["flows_per_block"] for name, arm in arms.items()}
    for name in arms:
        is_plain, is_large = name.endswith("_plain"), name.endswith("_2x")
        assert (rates[name] < max(rates.values())) == is_plain
        assert flows[name] == min(flows.values()) * (2 if is_large else 1)


@pytest.mark.parametrize("variant", ["data=cifar10", "data=mnist,regime=large,smoke"])
def test_the_table_of_the_papers_is_accepted(variant):
    sweep_config = read_sweep("papers", variant)
    for name, config in accepted_arms(sweep_config):
        assert config["data"] == variant.split(",")[0].removeprefix("data=")
        assert (config["model"].get("dropout") == 0.0) == ("no_dropout" in name)
    if "smoke" not in variant:
        check_special_arms(sweep_config["arms"]["batch_8000"])
        assert len(sweep_config["arms"]["batch_900"]) == 8
        assert len(sweep_config["seeds"]) == 3


@pytest.mark.parametrize("variant", ["", "smoke"])
def test_the_table_of_the_labels_pairs_every_arm_with_its_control(variant):
    arms = read_sweep("labels", variant)["arms"]["labels"]
    assert len(arms) == 7
    for config in arms.values():
        check_config(config)
    assert arms["all"]["training"]["labels"] == 0
    for labels in (5, 10, 50):
        semi, alone = (
            arms[f"{labels}_{name}"] for name in ("with_unlabelled", "alone")
        )
        assert semi["training"]["labels"] == labels
        assert semi["training"]["labelled_part"] < 1
        assert alone["training"] == semi["training"] | {"labelled_part": 1.0}
        assert semi | {"training": None} == alone | {"training": None}


@pytest.mark.parametrize("variant", ["", "smoke"])
def test_the_table_of_precisions_differs_in_them_alone(variant):
    arms = read_sweep("precision", variant)["arms"]["digits"]
    for config in arms.values():
        check_config(config)
    full, half = (arms[name] for name in ("float32", "bfloat16"))
    assert half["model"].pop("dtype") == "mixed_bfloat16"
    assert full["model"].pop("dtype") == "float32"
    assert half == full
    with pytest.raises(ValueError, match=r"dtype must be .* Received: dtype='float16'"):
        check_config(full | {"model": full["model"] | {"dtype": "float16"}})


@pytest.mark.parametrize(
    "variant", ["", "data=spirals", "study=parity", "smoke", "budget=standard"]
)
def test_the_table_of_the_spirals_is_accepted(variant):
    sweep_config = read_sweep("spirals", variant)
    ((folder, arms),) = sweep_config["arms"].items()
    plain = []
    for partition, config in arms.items():
        check_config(config)
        assert config["model"].pop("partition") == partition
        plain.append(config)
    assert all(config == plain[0] for config in plain)  # of equal budget
    if variant == "study=parity":
        assert (folder, plain[0]["data"]) == ("parity", "spirals_reference")
        assert set(arms) == {"none", "code"}
    else:
        assert folder == plain[0]["data"]
        assert list(arms) == ["code", "head", "none"]
        goes_on = plain[0]["model"]["dynamics"] == "oscillators"
        assert goes_on == (variant == "budget=standard")
    once = variant in ("study=parity", "smoke")
    assert len(sweep_config["seeds"]) == (1 if once else 3)


@pytest.mark.parametrize("size", ["data=spirals", "budget=standard"])
def test_the_study_of_the_logs_has_no_other_sizes(size):
    with pytest.raises(ValueError, match=f"study=parity .* Received: {size}"):
        read_sweep("spirals", f"study=parity,{size}")


ORPHAN = """
import os, time
from tfcnf.runs.sweep import run_apart
from tfcnf.training.preemption import Preemption

def tell_and_sleep():
    with Preemption().watch():  # as a training that saves and returns
        print(os.getpid(), flush=True)
        time.sleep(600)

if __name__ == "__main__":
    run_apart(tell_and_sleep)
"""


def test_a_killed_sweep_leaves_no_training_behind(tmp_path):
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while _is_there(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    left_behind = _is_there(child)
    if left_behind:
        os.kill(child, signal.SIGKILL)
    assert not left_behind


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("variant", ["", "smoke"])
def test_the_regularised_sweep_has_each_tolerance_with_and_without_costs(variant):
    arms = read_sweep("regularised", variant)["arms"]["front"]
    pairs = [name for name in arms if f"{name}_costs" in arms]
    assert len(pairs) == 9
    assert len(arms) == 20
    for name, config in arms.items():
        check_config(config)
        has_costs = "costs" in name
        assert has_costs == any(config["model"]["costs"].values())
        assert ("steer" in name) == (config["model"]["steer"] > 0)
    for name in pairs:
        paid = copy.deepcopy(arms[f"{name}_costs"])
        paid["model"]["costs"] = arms[name]["model"]["costs"]
        assert paid == arms[name]


@pytest.mark.parametrize("variant", ["", "smoke", "data=mnist_5k", "bfloat16"])
def test_the_models_on_mnist_have_one_network_and_budget(variant):
    sweep_config = read_sweep("mnist", variant)
    assert sweep_config["seeds"] == (0,)
    ((data, arms),) = sweep_config["arms"].items()
    assert data == ("mnist_5k" if "5k" in variant else "mnist")
    for config in arms.values():
        check_config(config)
        assert config["data"] == data
        assert config["model"]["dtype"] == (
            "mixed_bfloat16" if variant == "bfloat16" else "float32"
        )
        assert config["evaluation"]["tol"] >= (1e-3 if variant == "bfloat16" else 1e-5)
    kinds = {name: config["model_name"] for name, config in arms.items()}
    plain = ("cnf", "ccnf", "infocnf")
    assert all(kinds[name] == name for name in plain)
    sizes = ("filters", "num_scales", "hidden_layers", "tol", "costs", "solver")
    same = [{key: arms[name]["model"][key] for key in sizes} for name in plain]
    assert same[0] == same[1] == same[2]
    assert all(arms[name]["training"] == arms["cnf"]["training"] for name in plain)
    free = copy.deepcopy(arms["infocnf_no_cost"])
    assert free["model"]["costs"]["kinetic_energy"] == 0
    free["model"]["costs"] = arms["infocnf"]["model"]["costs"]
    assert free == arms["infocnf"]
    assert arms["infocnf_learned"]["model"]["policy"] == "learned"
    is_short = "5k" not in variant and variant != "smoke"
    assert (arms["cnf"]["training"]["epochs"] == 3) == is_short
