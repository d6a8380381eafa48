import numpy as np
import pytest
import tensorflow as tf

from benchmarks import latent_ode_peer as peer
from tfcnf.data.spirals import Design, draw
from tfcnf.models.latent_ode import LatentODE
from tfcnf.seeds import normal
from tfcnf.types import Control


def test_our_step_runs():
    split = draw(Design(spirals=4, length=30, window=6), 0)
    peer.tfcnf_step(split.x, split.y, 1e-3)()


def test_both_are_timed_where_torch_is_there():
    pytest.importorskip("torch", reason="torch is an extra for benchmarks")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra for benchmarks")
    seconds = peer.seconds_per_step(4, 6, tol=1e-3, repeats=1, rounds=1)
    assert seconds["tfcnf"] > 0
    fastest = min(seconds["torch"], seconds["torch_1_thread"])
    assert seconds["ratio"] == pytest.approx(seconds["tfcnf"] / fastest)


def test_elbo_and_gradients_are_the_peers():
    torch = pytest.importorskip("torch", reason="torch is an extra for benchmarks")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra for benchmarks")
    split = draw(Design(spirals=20, length=500, window=100), 0)
    options = {"dynamics": "mlp:units=(20,20)", "tol": 1e-11, "dtype": "float64"}
    model = LatentODE(2, partition="none", seed=3, **options)
    parts = peer.torch_parts(2, (20, 20)).double()
    _copy(model, parts, torch)
    seed = tf.constant([1, 2])
    noise = normal([20, peer.LATENT], seed, tf.float64)
    with tf.GradientTape() as tape:
        terms, _ = model.terms(split.x, split.y, Control(seed=seed), True)
        loss = tf.reduce_mean(terms["loss"])
    ours = tape.gradient(loss, model.trainable_variables)
    x, t, noise = (
        torch.from_numpy(np.array(part, np.float64))
        for part in (split.x.values, split.x.times[0], noise)
    )
    elbo = peer.torch_elbo(parts, x, t=t, noise=noise, tol=1e-11)
    np.testing.assert_allclose(terms["elbo"], elbo.detach(), rtol=1e-7)
    (-elbo.mean()).backward()
    theirs = _in_our_order([p.grad.numpy() for p in parts.parameters()])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * abs(other).max())


def test_the_peer_learns(monkeypatch):
    pytest.importorskip("torch", reason="torch is an extra for benchmarks")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra for benchmarks")
    small = Design(spirals=8, length=30, window=6, room_after=0)
    monkeypatch.setitem(peer.DESIGNS, "spirals_reference", small)
    means = list(peer.running_elbo(0, steps=60, batch_size=8, tol=1e-3))
    assert len(means) == 60
    assert means[-1] > 0.95 * means[0]  # of a negative number
    assert means[:3] == list(peer.running_elbo(0, 3, 8, 1e-3))
    assert len(list(peer.running_elbo(0, 3, 4, 1e-3))) == 3  # the data again
    with pytest.raises(ValueError, match=r"must divide 8\. Received: batch_size=3"):
        next(peer.running_elbo(0, 1, batch_size=3))


def _copy(model, parts, torch):
    """Gives the peer the model's weights."""
    ours = [v.numpy() for v in model.trainable_variables]
    ours = [np.concatenate(ours[:2]), *ours[2:]]
    for parameter, value in zip(parts.parameters(), ours, strict=True):
        parameter.data = torch.from_numpy(value.T.astype(np.float64).copy())


def _in_our_order(theirs):
    """Kernels as ours are, that of the recurrence in two."""
    kernels = [part.T for part in theirs]
    return [kernels[0][:2], kernels[0][2:], *kernels[1:]]
