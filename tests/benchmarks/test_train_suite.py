"""The train suite: turns, the judge, targets, resuming, and torch's equal loss."""

import json

import numpy as np
import pytest

from benchmarks import train, train_worker
from benchmarks.network import trained_weights
from tfcnf.runs.build import build_model


class Judge:
    """Finds what the weights say."""

    def measure(self, weights):
        bits, error = weights
        return {"bits_per_dim": float(bits), "test_error": float(error)}


class Improving:
    """A process of a contender that is better after each epoch."""

    begun: list = []
    rate = 0.1

    def __init__(self, name, command, environment):
        self.name = name
        self.begun.append(name)

    def ask(self, line):
        command, number, *path = line.split()
        if command == "prepare":
            return {"cpu": 2.0, "wall": 3.0}
        if self.name == "torch:seminorm":
            raise RuntimeError("No module named 'torchdiffeq'")
        epochs = int(number) + 1
        np.savez(path[0], 2.3 - self.rate * epochs, 6.0 - epochs)
        cost = 40.0 if self.name == "torch" else 4.0
        return {"cpu": cost, "wall": cost, "nfe_forward": 8.0, "nfe_backward": 7.0}

    def close(self):
        pass


@pytest.fixture
def begun(monkeypatch):
    monkeypatch.setattr(train, "Judge", lambda config: Judge())
    monkeypatch.setattr(train, "Process", Improving)
    monkeypatch.setattr(Improving, "begun", [])
    return Improving.begun


def test_each_trains_until_the_targets_and_a_killed_suite_goes_on(begun, tmp_path):
    lines = []
    results = train.run(lines.append, folder=tmp_path)
    assert [len(fit["curve"]) for fit in results["fits"]] == [3, 3, 3, 3, 0]
    assert len(lines) == 4 * 3 + 1
    assert [line.partition(": ")[0] for line in lines[:5]] == list(train.CONTENDERS)
    path = tmp_path / "digits" / "torch" / "fit.json"
    fit = json.loads(path.read_text())
    fit["curve"] = fit["curve"][:2]
    path.write_text(json.dumps(fit))
    begun.clear()
    names = ["tfcnf:learned", "torch"]
    again = train.run(lines.append, contenders=names, folder=tmp_path)
    assert begun == ["torch"]
    assert again["fits"] == [results["fits"][1], results["fits"][3]]


def test_time_to_a_target_is_a_ratio_of_cpu_seconds(begun, tmp_path):
    rows = train.summarise(train.run(lambda line: None, folder=tmp_path))
    found = {(row["contender"], row["target"]): row for row in rows}
    assert {contender for contender, _ in found} == {*train.CONTENDERS} - {
        "torch:seminorm"
    }
    ours, peer = (found[name, "2.1 bits/dim"] for name in ("tfcnf:1e-5", "torch"))
    assert (ours["epochs"], ours["cpu_s"], ours["wall_s"]) == (2, 10.0, 11.0)
    assert ours["ratio"] == pytest.approx(10 / 82)
    assert (peer["ratio"], peer["nfe"], peer["start_cpu_s"]) == (1.0, 15.0, 2.0)
    assert found["torch", "5 % error"]["epochs"] == 1


def test_a_target_that_is_not_reached_is_told_as_such(begun, tmp_path, monkeypatch):
    monkeypatch.setattr(Improving, "rate", 0.0)
    results = train.run(
        lambda line: None, contenders=["torch"], budget=100.0, folder=tmp_path
    )
    rows = train.summarise(results)
    assert rows[0] == {
        "size": "digits",
        "contender": "torch",
        "target": "2.2 bits/dim",
        "state": "not reached in 122 s of CPU",
    }
    assert rows[-1]["state"] == "reached"
    with pytest.raises(ValueError, match=r"positive. Received: budget=0"):
        train.run(lambda line: None, budget=0, folder=tmp_path)


def test_a_folder_of_another_training_is_refused(begun, tmp_path, monkeypatch):
    ask = {"contenders": ["tfcnf:1e-5"], "folder": tmp_path}
    train.run(lambda line: None, **ask)
    monkeypatch.setattr(train, "TIGHT", 1e-4)
    with pytest.raises(ValueError, match=r"another file. Received: .*tfcnf_1e-5"):
        train.run(lambda line: None, **ask)


def test_both_sides_have_the_same_configuration_but_for_tolerances():
    learned, fixed, peer = (
        train.make_config(name) for name in ("tfcnf:learned", "tfcnf:1e-5", "torch")
    )
    assert fixed == peer
    assert fixed["model"]["tol"] == 1e-5
    assert {key for key in fixed if fixed[key] != learned[key]} == {"model"}
    different = {k for k, v in fixed["model"].items() if v != learned["model"][k]}
    assert different == {"tol", "policy", "policy_options", "reinforce"}


def test_saving_is_no_part_of_an_epochs_time(tmp_path, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(train_worker.time, "process_time", lambda: next(clock))

    class Saving:
        def epoch(self, number):
            return {"nfe_forward": float(number)}

        def save(self, epochs):
            self.saved = epochs, next(clock)

        def weights(self):
            return [np.ones(2)]

    one = Saving()
    answer = train_worker.answer(one, f"epoch 4 {tmp_path / 'weights.npz'}")
    assert (answer["cpu"], answer["nfe_forward"]) == (1, 4.0)
    assert one.saved == (5, 2)
    with np.load(tmp_path / "weights.npz") as arrays:
        np.testing.assert_array_equal(arrays["arr_0"], 1)


@pytest.fixture
def tiny(config, data_dir, monkeypatch):
    """A configuration of seconds, with one step an epoch."""
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    config["model"] |= {"num_scales": 2, "tol": 1e-4}
    config["training"]["batch_size"] = 1437
    return config


def test_torch_has_the_loss_of_tfcnf(tiny, tmp_path):
    pytest.importorskip("torchdiffeq")
    import torch

    torch.set_num_threads(1)
    from benchmarks.train_torch import TorchContender

    peer = TorchContender(tiny, tmp_path)
    model = build_model(tiny, peer.source)
    rng = np.random.default_rng(0)
    for weight in trained_weights(model):
        weight.assign(weight.numpy() + 0.1 * rng.normal(size=weight.shape))
    peer.model = model
    peer.prepare()
    x, y = peer.source.train.x, peer.source.train.y
    ours = model.test_on_batch(x, y, return_dict=True)
    with torch.no_grad():
        image, label = peer.flow.image(x), torch.tensor(y.reshape(-1)).long()
        theirs = float(peer.loss(image, label, training=False))
    # each draws its own noise, which moves the mean of 1,437 images by some 0.003
    np.testing.assert_allclose(theirs, float(ours["loss"]), atol=0.02)
    assert float(ours["cross_entropy"]) != pytest.approx(np.log(10), abs=0.05)


@pytest.mark.slow
def test_a_torch_training_goes_on_where_it_was(tiny, tmp_path):
    pytest.importorskip("torchdiffeq")
    from benchmarks.train_torch import TorchContender

    peer = TorchContender(tiny, tmp_path)
    peer.prepare()
    peer.epoch(0)
    peer.save(1)
    expected = peer.epoch(1), peer.weights()
    kept = [weight.copy() for weight in expected[1]]
    again = TorchContender(tiny, tmp_path)
    again.prepare()
    again.restore(1)
    assert again.epoch(1) == expected[0]
    for found, weight in zip(again.weights(), kept, strict=True):
        np.testing.assert_array_equal(found, weight)


@pytest.mark.slow
def test_the_judge_measures_what_tfcnf_trained(tiny, tmp_path):
    from benchmarks.train_tfcnf import TfcnfContender

    contender = TfcnfContender(tiny, tmp_path)
    contender.prepare()
    judge = train.Judge(tiny)
    before = judge.measure(contender.weights())
    nfe = contender.epoch(0)
    assert nfe["nfe_forward"] >= 24
    contender.save(1)
    after = judge.measure(contender.weights())
    assert after["bits_per_dim"] < before["bits_per_dim"]
    expected = contender.epoch(1), contender.weights()
    contender.restore(1)
    assert judge.measure(contender.weights()) == after
    assert contender.epoch(1) == expected[0]
    for found, weight in zip(contender.weights(), expected[1], strict=True):
        np.testing.assert_array_equal(found, weight)
