"""The contract of every diagnostic, on tiny models; their examples run."""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pandas
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfcnf import InfoCNF, Real
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource, Density, Split
from tfcnf.data.spirals import Design, draw, labels
from tfcnf.data.tables import from_frame
from tfcnf.diagnostics import Diagnostic, Slices
from tfcnf.models.latent_ode import LatentODE

RNG = np.random.default_rng(0)
SMALL = {"filters": 2, "hidden_layers": 1, "flows_per_block": 1, "seed": 0}
OWN = [d for d in Diagnostic.known.values() if d.__module__.startswith("tfcnf.")]


def images():
    """InfoCNF and images of 4x4 pixels."""

    def split(count):
        x = RNG.integers(0, 17, (count, 4, 4, 1)).astype(np.uint8)
        return Split(x, np.arange(count, dtype=np.int32)[:, None] % 3)

    data = DataSource("images", split(30), split(12), (3,), 17)
    return InfoCNF((4, 4, 1), 3, num_levels=17, num_scales=1, **SMALL), data


def factors():
    """InfoCNF and images with a class and a number."""
    _, data = images()
    train, test = (
        Split(part.x, np.hstack([part.y, RNG.normal(size=(len(part), 1))]))
        for part in (data.train, data.test)
    )
    data = DataSource("factors", train, test, (3, Real(1)), 17)
    return InfoCNF(**data.model_keywords(), num_scales=1, **SMALL), data


def gates():
    """InfoCNF with learned tolerances."""
    _, data = images()
    options = {"num_levels": 17, "num_scales": 1, "policy": "learned", "tol": 1e-3}
    return InfoCNF((4, 4, 1), 3, **options, **SMALL), data


def points():
    """InfoCNF and points in the plane."""
    x = RNG.normal(size=(40, 2)).astype(np.float32)
    split = Split(x, np.arange(40, dtype=np.int32)[:, None] % 2)
    density = Density((-4.0, -4.0), (4.0, 4.0), 21)
    data = DataSource("points", split, split, (2,), 1, density=density)
    return InfoCNF((2,), 2, trace="exact", **SMALL), data


def spirals():
    """A latent ODE and a few spirals."""
    design = Design(spirals=6, length=60, window=12)
    train, test = draw(design, 0), draw(design, 1)
    window = float(test.x.times.max())
    data = SeriesSource("few", train, test, {}, labels(), window)
    small = {"encoder": "rnn:units=4", "dynamics": "mlp:units=(3,)", "decoder_units": 3}
    return LatentODE(**data.model_keywords(), **small, seed=0), data


def table():
    """InfoCNF and rows of a table with a condition and labels of two kinds."""
    columns = {name: RNG.normal(size=160) for name in ("a", "b", "age", "score")}
    frame = pandas.DataFrame(columns | {"kind": list("uv" * 80)})
    data = from_frame(frame, ["a", "b"], context=["age"], labels=["kind", "score"])
    options = SMALL | {"supervised_fraction": 1.0}
    return InfoCNF(**data.model_keywords(), **options), data


MADE = dict.fromkeys(("calibration", "gallery", "outliers", "paths"), images)
MADE |= dict.fromkeys(("pairs", "predictions", "intervals"), table)
MADE |= dict.fromkeys(("coverage", "ranks", "two_sample", "slices"), table)
MADE |= {"density": points, "trajectories": spirals, "learned_tolerances": gates}
MADE |= {"forecasts": spirals, "factors": factors, "certificate": points}
OF_VECTORS = ("calibration", "learned_tolerances", "coverage", "ranks", "two_sample")
OF_VECTORS += ("slices", "certificate")


@pytest.fixture(scope="module")
def made():
    """A function that gives the model and data for a diagnostic, made once."""
    kept = {}

    def make(key):
        if MADE[key] not in kept:
            kept[MADE[key]] = MADE[key]()
        return kept[MADE[key]]

    return make


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.key)
def test_a_diagnostic_computes_measures_and_plots(kind, made):
    (example,) = re.findall(r"```python\n(.*?)```", kind.__doc__, re.DOTALL)
    model, data = made(kind.key)
    told = {"model": model, "data": data}
    exec(textwrap.dedent(example), told)
    pyplot.close("all")
    diagnostic, arrays, measures = kind(), told["arrays"], told["measures"]
    assert measures == dict(diagnostic.measures(arrays))
    assert measures
    assert np.isfinite(list(measures.values())).all()
    assert all(isinstance(value, (int, float)) for value in measures.values())
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    shown = {name.rpartition("/")[2] for name in measures if "/" in name}
    assert set(kind.columns) <= shown
    ax = Figure().subplots()
    assert diagnostic.plot(arrays, ax) is ax
    assert ax.has_data()
    assert isinstance(diagnostic.plot(arrays), Axes)
    pyplot.close("all")
    figures = diagnostic.figures(arrays)
    assert set(figures) <= set(kind.files or (kind.key,))
    assert all(isinstance(draw(), Figure) for draw in figures.values())
    assert not pyplot.get_fignums()  # those of reports are not kept
    assert kind.title
    assert kind.caption
    other = DataSource(
        "points", *[Split(np.zeros([2, 3]), np.zeros([2, 1]))] * 2, (2,), 1
    )
    if kind.key not in OF_VECTORS:
        with pytest.raises(ValueError, match=rf"{kind.key} is for .* data='points'"):
            diagnostic.compute(model, other)


def test_slices_have_the_names_of_their_classes():
    size = np.random.default_rng(1).normal(size=160)
    grades, plants = list("AB" * 80), ["Rio", "Rio", "São Paulo", "São Paulo"] * 40
    frame = pandas.DataFrame({"size": size, "grade": grades, "plant": plants})
    data = from_frame(frame, "size", context="plant", labels="grade", test=0.5)
    model = InfoCNF(**data.model_keywords(), **SMALL | {"supervised_fraction": 1.0})
    slices = Slices()
    arrays = slices.compute(model, data, tol=1e-2)
    slices_of = {name.rpartition("/")[0] for name, _ in slices.measures(arrays)}
    named = {"grade A", "grade B", "plant Rio", "plant São Paulo"}
    assert slices_of == {"all", "slices"} | named


@pytest.mark.parametrize("key", ["ranks", "slices", "two_sample"])
def test_diagnostics_of_vectors_refuse_images(key):
    split = Split(np.zeros([2, 4, 4, 1], np.uint8), np.zeros([2, 1], np.int32))
    data = DataSource("images", split, split, (2,), 17)
    with pytest.raises(ValueError, match=rf"{key} is for .* data='images'"):
        Diagnostic.find(key)().compute(None, data)


def test_diagnostics_are_imported_without_matplotlib_and_scikit_learn():
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = sys.modules['sklearn'] = None\n"
        "from tfcnf.diagnostics import Calibration\n"
        "assert Calibration.key == 'calibration'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_no_attribute_of_the_package():
    with pytest.raises(ImportError, match="Kalibration"):
        from tfcnf.diagnostics import Kalibration  # noqa: F401
