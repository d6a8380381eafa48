import pytest

from tfcnf.benchmarks import latent_ode_peer as peer
from tfcnf.data.spirals import Design, draw


def test_our_step_runs():
    split = draw(Design(spirals=4, length=30, window=6), 0)
    peer.tfcnf_step(split.x, split.y, 1e-3)()


def test_both_are_timed_where_torch_is_there():
    pytest.importorskip("torch", reason="torch is an extra for benchmarks")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra for benchmarks")
    seconds = peer.seconds_per_step(4, 6, 1e-3, repeats=1, rounds=1)
    assert seconds["tfcnf"] > 0
    fastest = min(seconds["torch"], seconds["torch_1_thread"])
    assert seconds["ratio"] == pytest.approx(seconds["tfcnf"] / fastest)
