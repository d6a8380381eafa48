"""The public names: flat, with an example each, and without the extras."""

import inspect
import re
import subprocess
import sys
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcnf

CLASSES = [name for name in tfcnf.__all__ if inspect.isclass(getattr(tfcnf, name))]
EXTRAS = [
    "matplotlib",
    "ml_collections",
    "pandas",
    "PIL",
    "scipy",
    "sklearn",
    "tensorboard",
    "tensorflow_datasets",
]


def example(name):
    return re.findall(
        r"```python\n(.*?)```", inspect.getdoc(getattr(tfcnf, name)), re.S
    )


@pytest.mark.parametrize("name", CLASSES)
def test_the_example_of_every_public_class_runs(name):
    own = getattr(tfcnf, name).__doc__
    assert "```python" in (own or ""), "the class needs an example in its docstring"
    names = {"tfcnf": tfcnf, "tf": tf, "np": np, "keras": keras}
    for code in example(name):
        exec(code, names | {"dataclass": dataclass})


def test_all_names_are_there_and_every_class_of_them_is_public():
    assert len(set(tfcnf.__all__)) == len(tfcnf.__all__) > 50
    for name in tfcnf.__all__:
        assert getattr(tfcnf, name) is not None
    families = [tfcnf.Solver, tfcnf.Gradient, tfcnf.Trace, tfcnf.TolerancePolicy]
    for family in [*families, tfcnf.Cost, tfcnf.AutonomousField]:
        for made in family.known.values():
            if made.__module__.startswith("tfcnf."):
                assert getattr(tfcnf, made.__name__) is made


KNOWN = """
import keras, tfcnf
from tfcnf import losses
assert keras.saving.get_registered_object("tfcnf>InfoCNF")
"""


# `import tfcnf` comes first in SCRIPT
@pytest.mark.parametrize(
    "first",
    [
        "from tfcnf.models.infocnf import InfoCNF",
        pytest.param("import keras", marks=pytest.mark.slow),
    ],
)
def test_keras_knows_the_models_whatever_is_imported_first(first):
    subprocess.run([sys.executable, "-c", first + KNOWN], check=True)


def test_the_names_are_listed():
    assert {"InfoCNF", "SolverError", "__version__"} < set(dir(tfcnf))


SCRIPT = f"""
import sys
for name in {EXTRAS}:
    sys.modules[name] = None
import tfcnf
{KNOWN}
import numpy as np
import tensorflow as tf

tf.config.optimizer.set_experimental_options({{"disable_meta_optimizer": True}})
x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
y = (x[:, :1] > 0).astype("int32")
small = dict(hidden_layers=1, filters=8, flows_per_block=1, tol=1e-2)
model = tfcnf.InfoCNF((2,), labels=2, **small)
model.compile("adam")
history = model.fit(x, y, batch_size=32, epochs=1, verbose=0)
assert np.isfinite(history.history["loss"]).all()
assert model.sample([0, 1]).shape == (2, 2)
assert len(tfcnf.load("pinwheel").train) == 20000
for name in ("digits", "two_moons", "some.npz"):
    try:
        tfcnf.load(name)
    except ImportError as error:
        print(error)
"""


def test_the_library_does_without_the_packages_of_the_scripts(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert 'pip install "tfcnf[train]"' in line
        assert re.search(r"Received: no module (tensorflow_datasets|sklearn|PIL)", line)
