"""Pictures of samples on their way, of arrays made by hand."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tfcnf.diagnostics import Paths
from tfcnf.diagnostics.figures import save_animation

TIMES = np.linspace(1, 0, 16)
RNG = np.random.default_rng(0)


def half_circles(shape):
    """200 ways of length pi, between points at distance 2."""
    angle = np.pi * TIMES
    way = np.stack([np.cos(angle), np.sin(angle)], -1)
    path = np.tile(way, [200, 1, 1])[..., -shape[0] :]
    return {"positions": path, "times": TIMES, "rows": np.arange(200) % 10}


def images():
    path = RNG.random((10, 16, 8, 8, 1))
    return {"positions": path, "times": TIMES, "rows": np.arange(10)}


def test_the_lengths_of_ways():
    measures = dict(Paths().measures(half_circles((2,))))
    assert measures["length"] == pytest.approx(np.pi, rel=0.01)
    assert measures["straight"] == pytest.approx(2)
    assert measures["detour"] == pytest.approx(np.pi / 2, rel=0.01)


@pytest.mark.parametrize(
    "arrays", [half_circles((2,)), half_circles((1,)), images()], ids=["2", "1", "8x8"]
)
def test_an_animation_has_a_small_frame_for_each_time(arrays, tmp_path):
    diagnostic, path = Paths(), tmp_path / "paths.gif"
    (draw,) = diagnostic.figures(arrays).values()
    assert isinstance(draw(), Figure)
    (frames,) = diagnostic.animations(arrays).values()
    save_animation(frames(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["paths.gif"]
    assert path.stat().st_size < 300_000
    with Image.open(path) as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == 16
        first = np.asarray(gif.convert("L"), int)
        gif.seek(15)
        last = np.asarray(gif.convert("L"), int)
    assert np.abs(first - last).max() > 100  # something has moved
