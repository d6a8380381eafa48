"""Certificates by seed: what is trained, and that a stopped run goes on."""

import json

import pytest

from benchmarks import certificates as bench
from tfcnf.data import mixture1d


@pytest.fixture(scope="module")
def data():
    return mixture1d.load()


def test_the_loose_kind_pays_for_evaluations_without_a_bound(data):
    model = bench.trained("loose", 0, data, epochs=0)
    assert model.samples_tolerances
    assert model.reinforce.price == bench.PRICE
    assert model.reinforce.gap == 0
    assert not bench.trained("tight", 0, data, epochs=0).samples_tolerances


@pytest.mark.parametrize("last", ["Warning: too loose.", "The model was trained well."])
def test_a_model_is_warned_of_where_a_sentence_says_so(monkeypatch, last):
    class Stub:
        def compute(self, model, data):
            return {}

        def measures(self, arrays):
            return iter(())

        def verdict(self, measures):
            return ["The loosest tolerance is 0.1.", last]

    monkeypatch.setattr(bench, "Certificate", Stub)
    found = bench.certify(None, None)
    assert found["warned"] == last.startswith("Warning")
    assert found["verdict"][1] == last


def test_a_run_goes_on_from_its_file(tmp_path, monkeypatch, capsys):
    path, made = tmp_path / "found.json", []
    path.write_text(json.dumps({"loose/0": {"warned": True}}))
    monkeypatch.setattr(
        bench, "trained", lambda kind, seed, *rest: made.append((kind, seed))
    )
    said = {"warned": False, "verdict": ["fine"]}
    monkeypatch.setattr(bench, "certify", lambda *_: said)
    bench.FLAGS(["certificates", "--seeds=2", f"--out={path}"])
    bench.main()
    assert made == [("tight", 0), ("loose", 1), ("tight", 1)]
    assert "loose: warned of 1 of 2\ntight: warned of 0 of 2" in capsys.readouterr().out
    assert len(json.loads(path.read_text())) == 4
